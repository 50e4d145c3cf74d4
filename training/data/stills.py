"""Static images as ON and OFF frames that are repeated at every time step.

A pixel is ON where the image is brighter than its neighbourhood and OFF where it is darker, by a contrast threshold on
log intensity: what an event camera reports when the image appears before a ground of the local mean. Nothing is drawn
at random, so that an image has one code.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from spikinghash.arrays import map_array
from spikinghash.errors import RecordingError, in_one_line
from training.data.events import EVENT_DTYPE
from training.data.recordings import Recording

PICTURES = (".png", ".jpg", ".jpeg")
"""Suffixes that are pictures wherever they are met."""
SUFFIXES = (*PICTURES, ".npy")
SHOWN = 64
"""Pixels across in which a page shows an image."""
CONTRAST = 0.1
"""Smallest difference of log intensity that is marked."""
NEIGHBOURHOOD = 4
"""The local mean is taken over a window of 1/4 of the image's width and height."""

Frames = NDArray[np.uint8]
_DARK = 0.1  # intensity of black where white is 1, as of a screen


@dataclass(frozen=True)
class Still(Recording):
    """An image in the place of a recording: its frames are those that a training on images sees.

    Its events are one for every pixel of the frame that it is shown in, all at one moment.
    """

    image: PIL.Image.Image | None = None
    """Grey levels, 0 to 255."""

    def frames(self, time_steps: int, size: int) -> Frames:
        """The same frame (2, size, size) at every step; see ``image_to_frames``."""
        assert self.image is not None
        return image_to_frames(_scaled(self.image, size), time_steps, self.name)


def load_still(path: Path, name: str | None = None) -> Still:
    """The picture ``path``; ``name`` stands for the path in messages.

    Raises:
        RecordingError: the file is damaged or of another kind, or no pixel differs from its neighbourhood.
    """
    shown = name or str(path)
    try:
        image = _decoded(path)
    except RecordingError as error:
        raise RecordingError(str(error).replace(str(path), shown)) from None
    channel, y, x = np.nonzero(image_to_frames(_scaled(image, SHOWN), 1, shown)[0])
    events = np.zeros(len(x), EVENT_DTYPE)
    events["x"], events["y"], events["p"] = x, y, channel == 0
    return Still(events, (SHOWN, SHOWN, 2), shown, image=image)


def read_image(path: Path, size: int) -> NDArray[np.float32]:
    """Grey levels from 0 to 1 of the image ``path``, scaled to ``size`` x ``size`` pixels.

    A ``.npy`` holds grey levels (height, width): bytes, or floats from 0 to 1.

    Raises:
        RecordingError: the file is damaged or of another kind.
    """
    return _scaled(_decoded(path), size)


def _decoded(path: Path) -> PIL.Image.Image:
    try:
        return _from_array(path) if path.suffix.lower() == ".npy" else _from_picture(path)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}") from None
    except (OSError, ValueError, SyntaxError, EOFError, PIL.Image.DecompressionBombError) as error:
        text = in_one_line(error)
        raise RecordingError(f"{path}: damaged, or no image: {text}; leave it out or save it again") from None


def _scaled(image: PIL.Image.Image, size: int) -> NDArray[np.float32]:
    larger = min(image.size) > size
    scaled = image.resize((size, size), PIL.Image.Resampling.BOX if larger else PIL.Image.Resampling.BILINEAR)
    return np.asarray(scaled, np.float32) / np.float32(255)


def _from_picture(path: Path) -> PIL.Image.Image:
    with PIL.Image.open(path) as image:
        sixteen_bits = image.mode.startswith("I")
        return image.convert("F").point(lambda value: value / 257) if sixteen_bits else image.convert("L").convert("F")


def _from_array(path: Path) -> PIL.Image.Image:
    array = map_array(path)
    if array.ndim != 2 or array.dtype.kind not in "uf" or not array.size:
        raise ValueError(f"an array of shape {array.shape} and type {array.dtype} instead of grey levels (H, W)")
    values = np.asarray(array, np.float32) * (255 if array.dtype.kind == "f" else 1)
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 255):
        raise ValueError("grey levels outside 0 to 1 (floats) or 0 to 255 (bytes)")
    return PIL.Image.fromarray(values)


def image_to_frames(image: NDArray[np.float32], time_steps: int, name: str = "image") -> Frames:
    """ON and OFF of ``image`` (height, width; 0 to 1), shape (T, 2, height, width), the same at every step.

    Raises:
        RecordingError: no pixel differs from its neighbourhood.
    """
    from scipy.ndimage import uniform_filter  # slow to import, and recordings need none

    light = _DARK + (1 - _DARK) * image
    window = [max(3, length // NEIGHBOURHOOD) for length in image.shape]
    contrast = np.log(light / uniform_filter(light, window, mode="nearest"))
    frame = np.stack([contrast > CONTRAST, contrast < -CONTRAST]).astype(np.uint8)
    if not frame.any():
        raise RecordingError(f"{name}: no pixel differs from its neighbourhood by {CONTRAST:.0%}; leave the image out")
    return np.repeat(frame[None], time_steps, axis=0)
