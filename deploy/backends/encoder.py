"""What every backend offers: frames in, packed codes out, and a trace of what the layers did."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import SpikinghashError
from training.data.facts import DataFacts

Codes = NDArray[Any]
"""Packed codes, uint8 (B, K/8); of an encoder with a classification head the spikes of each class, int32 (B, K)."""
Frames = NDArray[np.uint8]
RunNumbers = Literal["integer", "float", "fixed"]
"""What a network computes with: its own numbers, or Loihi's fixed point."""
Executor = Literal["processes", "local"]
"""Lava's own runtime, an OS process per Lava process; or the same process models inside one."""


@dataclass(frozen=True)
class Trace:
    """What an encoder did on a batch of B recordings."""

    codes: Codes
    counts: dict[str, NDArray[np.int64]]
    """Spikes of each layer in the window, (B,); coincidences for an attention."""
    spikes: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Spikes of each layer, (B, T, C, H, W), where the backend shows them."""


class Encoder(Protocol):
    """A loaded encoder."""

    backend: str
    """Its name, as `--backend` takes it."""
    time_steps: int
    size: int
    bits: int
    classes: tuple[str, ...]
    """Names of the classes of a classification head; empty where the answers are codes."""
    data: DataFacts | None
    """What it was trained on; ``None`` where its file does not say."""

    def encode(self, frames: Frames) -> Codes:
        """Packed codes (B, K/8), or spikes per class (B, K), of frames (B, T, 2, H, W)."""

    def trace(self, frames: Frames) -> Trace:
        """``encode``, with the activity of the layers."""


def checked_frames(frames: Frames, time_steps: int, size: int) -> Frames:
    """``frames`` (B, T, 2, H, W), contiguous: compiled code checks neither shape nor values.

    Raises:
        SpikinghashError: they have another shape, or hold other values than 0 and 1.
    """
    shape = (time_steps, 2, size, size)
    if frames.shape[1:] != shape or frames.dtype != np.uint8:
        raise SpikinghashError(f"frames are {frames.dtype} {frames.shape[1:]} per recording: uint8 {shape} is needed")
    if frames.size and frames.max() > 1:
        raise SpikinghashError(f"frames hold {frames.max()}: give 0 and 1")
    return np.ascontiguousarray(frames)


def totals(spikes: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.int64]]:
    """Spikes of each layer in the window, (B,), of spikes (B, ...)."""
    return {name: value.sum(axis=tuple(range(1, value.ndim)), dtype=np.int64) for name, value in spikes.items()}
