"""Whole data sets as binary frames, kept in the user's cache folder."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikinghash.arrays import Arrays
from spikinghash.errors import RecordingError
from spikinghash.progress import track
from training.config import DataName
from training.data import digits, images, nmnist, reversal
from training.data.binning import Crop
from training.data.cache import cached
from training.data.reader import Reader
from training.data.recordings import SUFFIXES, is_recording
from training.data.source import Frames, Recordings, Rows, Source, class_folders, rows_of
from training.data.windows import Windows

_VERSION = 3  # raise it when the same recordings make other frames

_MADE: dict[str, Callable[[Reader], Source]] = {"digits": digits.source, "reversal": reversal.source}
"""Data sets that need no folder."""


@dataclass(frozen=True)
class Dataset:
    """Recordings, or windows of them, as binary frames, with their classes."""

    frames: Frames
    """Shape (rows, T, 2, H, W), 0 or 1; channel 0 is ON, 1 is OFF. A row is a recording or a window of one."""
    labels: NDArray[np.int64]
    """Shape (rows,)."""
    ids: list[str]
    """A name for each row."""
    test: NDArray[np.bool_] | None = None
    """Which rows are the official test set; ``None`` where the data set has none."""
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of their numbers."""
    windows: NDArray[np.int64] | None = None
    """Start and end of each row in its file, and the time from its first to its last event: (rows, 3), microseconds."""
    sensor: tuple[int, int] | None = None
    """Width and height, where all recordings have the same."""
    of_file: tuple[str, ...] = ()
    """Name of the file that each row is of; empty: each row is a file."""
    skipped: tuple[str, ...] = ()
    """Why files were left out, a line each."""
    crop: Crop | None = None
    """Which square of the sensor is the frame."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def files(self) -> Sequence[str]:
        """Name of the file of each row."""
        return self.of_file or self.ids

    def names(self, labels: NDArray[np.int64]) -> list[str]:
        """Names of classes; their numbers where they have none."""
        return [self.name(label) for label in labels.tolist()]

    def name(self, label: int) -> str:
        """Name of a class; its number where it has none."""
        return self.classes[label] if label < len(self.classes) else str(label)


def load_dataset(
    name: DataName,
    *,
    time_steps: int = 8,
    size: int = 32,
    root: str | Path | None = None,
    sensor: tuple[int, int] | None = None,
    windows: Windows | None = None,
    stream: str | None = None,
    sort: bool = False,
    crop: Crop | None = None,
    skip: bool = False,
) -> Dataset:
    """Load a data set as frames; they are cached in the user's cache folder.

    Args:
        name: ``digits`` and ``reversal`` are made here; all others are read from ``root``.
        time_steps: frames per recording, T.
        size: height and width of the frames, in pixels.
        root: folder of the data set.
        sensor: width and height of the sensor, for files of ``folder`` that do not tell it.
        windows: how recordings are cut; ``None``: each is one row.
        stream: name or number of the stream of events, for files of ``folder`` that have several.
        sort: put events of ``folder`` in order of time however late they are.
        crop: which square of the sensor becomes the frame.
        skip: leave out files of ``folder`` that cannot be used; the data set says which and why.

    Raises:
        RecordingError: ``root`` is missing, or a recording cannot be used.
    """
    reader = Reader(None if sensor is None else (*sensor, 2), windows, stream, sort, crop)
    source = _find(name, root, reader)
    cut = None if windows is None else [windows.length, windows.hop]
    key = {"version": _VERSION, "recordings": source.key, "time_steps": time_steps, "size": size, "windows": cut}
    key |= {"crop": crop} if crop else {}  # caches of before it could be asked for stay valid
    arrays = cached(f"{name}-frames", key, lambda: _make(source.open(), name, time_steps, size))
    skipped = tuple(arrays["skipped"].tolist())
    if skipped and (not skip or not len(arrays["bits"])):
        others = "" if len(skipped) == 1 else f" (and {len(skipped) - 1} other files cannot be used)"
        raise RecordingError(skipped[0] + others)
    return replace(_dataset(arrays, source.classes, size), crop=crop)


def _dataset(arrays: Arrays, classes: tuple[str, ...], size: int) -> Dataset:
    """What is kept in the cache, as it is used."""
    frames = np.unpackbits(arrays["bits"], axis=-1, count=size)
    test, pixels = arrays["test"], tuple(arrays["sensor"].tolist())
    return Dataset(
        frames,
        arrays["labels"],
        arrays["ids"].tolist(),
        test if test.any() else None,
        classes,
        arrays["windows"],
        pixels if all(pixels) else None,
        tuple(arrays["files"].tolist()),
        tuple(arrays["skipped"].tolist()),
    )


def _find(name: DataName, root: str | Path | None, reader: Reader) -> Source:
    if name in _MADE:
        return _MADE[name](reader)
    if root is None:
        remedy = nmnist.REMEDY if name == "nmnist" else "give the folder that holds it"
        raise RecordingError(f"{name}: no folder given as data.root; {remedy}")
    root = Path(root)
    if not root.is_dir():
        raise RecordingError(f"{root}: no such folder (data.root of {name}); give the folder that holds it")
    if name == "nmnist":
        return nmnist.source(root, reader)
    if name == "folder":

        def rows(path: Path, time_steps: int, size: int) -> Rows:
            return rows_of(lambda _: reader.whole(path), reader)(0, time_steps, size)

        return class_folders(root, is_recording, SUFFIXES, "recordings", rows, sensor=reader.sensor, **_asked(reader))
    if name == "images":
        return images.source(root)
    from training.data import tonic_sets  # tonic imports torch

    return tonic_sets.source(name, root, reader)


def _asked(reader: Reader) -> dict[str, str | bool]:
    """What is asked for beside the sensor, where it is: caches of before it could be stay valid."""
    return {name: value for name, value in (("stream", reader.stream), ("sort", reader.sort)) if value}


def _make(recordings: Recordings, name: str, time_steps: int, size: int) -> Arrays:
    count, made, skipped = len(recordings.labels), [], []
    sources: list[int] = []
    for index in track(range(count), f"{name}: recordings to frames", count):
        try:
            rows = recordings.rows(index, time_steps, size)
            sources += [index] * len(rows.frames)
            made.append(replace(rows, frames=np.packbits(rows.frames, axis=-1)))
        except RecordingError as error:
            if name != "folder":
                raise
            skipped.append(str(error))
    return _arrays(recordings, sources, made, (time_steps, 2, size, (size + 7) // 8)) | {
        "skipped": np.array(skipped, dtype=str)
    }


def _arrays(recordings: Recordings, sources: list[int], made: list[Rows], shape: tuple[int, ...]) -> Arrays:
    """What is kept of the rows ``made``, whose frames are packed to ``shape``; ``sources``: the recording of each."""
    count, rows = len(recordings.labels), np.array(sources, np.int64)
    test = np.zeros(count, bool) if recordings.test is None else recordings.test
    windows = np.concatenate([np.zeros((0, 3), np.int64), *(each.windows for each in made)])
    files = [recordings.ids[index] for index in sources]
    sensors = {each.sensor for each in made}
    return {
        "bits": np.concatenate([np.zeros((0, *shape), np.uint8), *(each.frames for each in made)]),
        "labels": recordings.labels[rows],
        "ids": np.array(_row_names(files, windows), dtype=str),
        "files": np.array(files, dtype=str),
        "windows": windows,
        "test": test[rows],
        "sensor": np.array(sensors.pop() if len(sensors) == 1 else (0, 0)),
    }


def _row_names(files: list[str], windows: NDArray[np.int64]) -> list[str]:
    """Names of rows: that of the file where it is one row, with the time of the window where it is several."""
    counts = Counter(files)
    return [
        file if counts[file] == 1 else f"{file} {start / 1e6:g}-{end / 1e6:g} s"
        for file, (start, end, _) in zip(files, windows.tolist(), strict=True)
    ]
