"""Polyphase (space-to-depth) layout, in which a Spiking WaveMixer is a linear map per pixel.

A population (C, H, W) with factor f is stored as (f^2 C, H/f, W/f), channel ``(c f + ry) f + rx`` holding the pixels
(f Y + ry, f X + rx). Neurons do not care.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from export.encoder.integer import Shape

ScalarT = TypeVar("ScalarT", bound=np.generic)


def to_polyphase(values: NDArray[ScalarT], factor: int) -> NDArray[ScalarT]:
    """(..., C, H, W) to (..., f^2 C, H/f, W/f)."""
    *lead, channels, height, width = values.shape
    split = values.reshape(*lead, channels, height // factor, factor, width // factor, factor)
    moved = np.moveaxis(split, (-3, -1), (-4, -3))
    return moved.reshape(*lead, channels * factor**2, height // factor, width // factor)


def from_polyphase(values: NDArray[ScalarT], factor: int) -> NDArray[ScalarT]:
    """The inverse of ``to_polyphase``."""
    *lead, channels, height, width = values.shape
    split = values.reshape(*lead, channels // factor**2, factor, factor, height, width)
    moved = np.moveaxis(split, (-4, -3), (-3, -1))
    return moved.reshape(*lead, channels // factor**2, height * factor, width * factor)


def polyphase_shape(shape: Shape, factor: int) -> Shape:
    """Shape of a population stored with ``factor``."""
    return shape[0] * factor**2, shape[1] // factor, shape[2] // factor
