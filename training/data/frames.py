"""Whole data sets as binary frames, kept in the user's cache folder."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikinghash.arrays import Arrays
from spikinghash.errors import RecordingError
from training.config import DataName
from training.data import digits, images, nmnist, reversal
from training.data.cache import cached
from training.data.progress import track
from training.data.recordings import SUFFIXES, is_recording, recording_frames
from training.data.source import Frames, Recordings, Source, class_folders

_VERSION = 2  # raise it when the same recordings make other frames

_MADE: dict[str, Callable[[], Source]] = {"digits": digits.source, "reversal": reversal.source}
"""Data sets that need no folder."""


@dataclass(frozen=True)
class Dataset:
    """Recordings as binary frames, with their classes."""

    frames: Frames
    """Shape (recordings, T, 2, H, W), 0 or 1; channel 0 is ON, 1 is OFF."""
    labels: NDArray[np.int64]
    """Shape (recordings,)."""
    ids: list[str]
    """A name for each recording."""
    test: NDArray[np.bool_] | None = None
    """Which recordings are the official test set; ``None`` where the data set has none."""
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of the labels."""

    def __len__(self) -> int:
        return len(self.labels)


def load_dataset(
    name: DataName,
    *,
    time_steps: int = 8,
    size: int = 32,
    root: str | Path | None = None,
    sensor: tuple[int, int] | None = None,
) -> Dataset:
    """Load a data set as frames; they are cached in the user's cache folder.

    Args:
        name: ``digits`` and ``reversal`` are made here; all others are read from ``root``.
        time_steps: frames per recording, T.
        size: height and width of the frames, in pixels.
        root: folder of the data set.
        sensor: width and height of the sensor, for files of ``folder`` that do not tell it.

    Raises:
        RecordingError: ``root`` is missing, or a recording cannot be used.
    """
    source = _find(name, root, sensor)
    key = {"version": _VERSION, "recordings": source.key, "time_steps": time_steps, "size": size}
    arrays = cached(f"{name}-frames", key, lambda: _make(source.open(), name, time_steps, size))
    frames = np.unpackbits(arrays["bits"], axis=-1, count=size)
    test = arrays["test"]
    return Dataset(frames, arrays["labels"], arrays["ids"].tolist(), test if test.any() else None, source.classes)


def _find(name: DataName, root: str | Path | None, sensor: tuple[int, int] | None) -> Source:
    if name in _MADE:
        return _MADE[name]()
    if root is None:
        remedy = nmnist.REMEDY if name == "nmnist" else "give the folder that holds it"
        raise RecordingError(f"{name}: no folder given as data.root; {remedy}")
    root = Path(root)
    if not root.is_dir():
        raise RecordingError(f"{root}: no such folder (data.root of {name}); give the folder that holds it")
    if name == "nmnist":
        return nmnist.source(root)
    if name == "folder":
        told = None if sensor is None else (*sensor, 2)
        read = functools.partial(recording_frames, sensor_size=told)
        return class_folders(root, is_recording, SUFFIXES, "recordings", read, sensor=told)
    if name == "images":
        return images.source(root)
    from training.data import tonic_sets  # tonic imports torch

    return tonic_sets.source(name, root)


def _make(recordings: Recordings, name: str, time_steps: int, size: int) -> Arrays:
    count = len(recordings.labels)
    bits = np.empty((count, time_steps, 2, size, (size + 7) // 8), np.uint8)
    for index in track(range(count), f"{name}: recordings to frames", count):
        bits[index] = np.packbits(recordings.frames(index, time_steps, size), axis=-1)
    test = np.zeros(count, bool) if recordings.test is None else recordings.test
    return {"bits": bits, "labels": recordings.labels, "ids": np.array(recordings.ids, dtype=str), "test": test}
