"""Views of a recording: what another recording of the same thing might have been."""

import numpy as np
from numpy.typing import NDArray

from training.data.events import Events, SensorSize

SHIFT = 2
"""Pixels."""
DROPPED = 0.1
"""Share of the events."""
JITTER_US = 5_000.0
"""Standard deviation."""

_DIRECTIONS = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]


def view(
    events: Events,
    sensor: SensorSize,
    generator: np.random.Generator,
    shift: int = SHIFT,
    dropped: float = DROPPED,
    jitter_us: float = JITTER_US,
) -> Events:
    """A copy of ``events`` that was seen from a little aside, by a sensor that misses events and is late at times.

    Args:
        events: in order of time; they stay as they are.
        sensor: what moves out of it is lost.
        generator: what is drawn from.
        shift: pixels that the copy is moved, in one of eight directions.
        dropped: share of the events that are lost.
        jitter_us: standard deviation of what each time is late or early, normally distributed, in microseconds.

    Returns:
        Events in order of time.
    """
    x_step, y_step = _DIRECTIONS[generator.integers(len(_DIRECTIONS))]
    kept = generator.random(len(events)) >= dropped
    late = np.rint(generator.normal(0, jitter_us, len(events))).astype(np.int64)
    x, y = events["x"].astype(np.int64) + shift * x_step, events["y"].astype(np.int64) + shift * y_step
    kept &= (x >= 0) & (x < sensor[0]) & (y >= 0) & (y < sensor[1])
    seen = events.copy()
    seen["x"], seen["y"], seen["t"] = x, y, events["t"] + late
    return seen[kept][np.argsort(seen["t"][kept], kind="stable")]


def frame_views(
    frames: NDArray[np.uint8], generator: np.random.Generator, shift: int = SHIFT, dropped: float = DROPPED
) -> NDArray[np.uint8]:
    """As ``view``, where no events are at hand; times stay as they are.

    Args:
        frames: zeros and ones, (B, T, 2, H, W); they stay as they are.
        generator: what is drawn from.
        shift: pixels that each recording is moved, in one of eight directions; zeros move in.
        dropped: share of the pixels that are cleared.
    """
    height, width = frames.shape[-2:]
    padded = np.pad(frames, [(0, 0)] * 3 + [(shift, shift)] * 2)
    moves = [(shift * (1 + x), shift * (1 + y)) for x, y in _DIRECTIONS]
    chosen = generator.integers(len(moves), size=len(frames))
    starts = [moves[direction] for direction in chosen]
    moved = [one[..., y : y + height, x : x + width] for one, (x, y) in zip(padded, starts, strict=True)]
    return np.stack(moved) * (generator.random(frames.shape, np.float32) >= dropped)


def shifted(frames: NDArray[np.uint8], pixels: int, axis: int) -> NDArray[np.uint8]:
    """Frames (B, T, 2, H, W) moved by ``pixels`` along the axis -2 (down) or -1 (right); zeros move in."""
    moved = np.roll(frames, pixels, axis)
    edge = slice(0, pixels) if pixels >= 0 else slice(pixels, None)
    moved[(..., edge, slice(None)) if axis == -2 else (..., edge)] = 0
    return moved
