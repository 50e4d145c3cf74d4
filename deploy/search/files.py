"""Recordings on disk: which there are, what class each is of, and the one way to their events and frames."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError, SearchError
from training.data.frames import events_to_frames
from training.data.recordings import SUFFIXES as SUFFIXES
from training.data.recordings import Recording, SensorSize, load_recording

MAX_BYTES = 256 * 2**20
"""A larger file is refused unread: its events, decoded, would take gigabytes."""


@dataclass(frozen=True, order=True)
class Source:
    """A recording to be indexed."""

    path: Path
    """Absolute."""
    label: str
    """Its class."""
    size: int
    """Bytes of the file."""
    modified: int
    """When the file was last written, ns since 1970."""


def read_events(path: Path, sensor: SensorSize | None = None, name: str | None = None) -> Recording:
    """Events of the recording ``path``, and its sensor.

    Args:
        path: a file of one of the formats ``SUFFIXES``.
        sensor: width, height, polarities, for files that do not tell their sensor.
        name: stands for the path in messages.

    Raises:
        RecordingError: the recording cannot be used.
    """
    try:
        _check_file(path)
        return load_recording(path, sensor)
    except RecordingError as error:
        message = str(error) if name is None else str(error).replace(str(path), name)
        raise RecordingError(message) from None


def read_frames(path: Path, time_steps: int, size: int, sensor: SensorSize | None = None) -> NDArray[np.uint8]:
    """Frames (T, 2, size, size) of the recording ``path``; as ``read_events``."""
    recording = read_events(path, sensor)
    return events_to_frames(recording.events, recording.sensor, time_steps, size, str(path))


def find_sources(place: Path, label: str | None = None) -> Iterator[Source]:
    """The recordings in the folder ``place`` and all folders below, in order of their paths; or the file ``place``.

    The label is ``label`` if given, else the name of the folder that a recording is in.

    Raises:
        SearchError: ``place`` is not there, or is a folder without a recording.
    """
    place = Path(os.path.abspath(place))
    if place.is_file():
        yield _source(place, label)
        return
    if not place.is_dir():
        raise SearchError(f"{place}: no such file or folder")
    paths = sorted(path for path in place.rglob("[!.]*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise SearchError(f"{place}: 0 recordings found, at least 1 is needed ({', '.join(SUFFIXES)})")
    for path in paths:
        yield _source(path, label)


def _source(path: Path, label: str | None) -> Source:
    try:
        found = path.stat()
        size, modified = found.st_size, found.st_mtime_ns
    except OSError:  # gone since it was listed: reading it tells so
        size = modified = 0
    return Source(path, path.parent.name if label is None else label, size, modified)


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}") from None
    if not path.is_file():
        raise RecordingError(f"{path}: not a file")
    if size > MAX_BYTES:
        raise RecordingError(f"{path}: {size} bytes, at most {MAX_BYTES} are read; cut the recording into parts")
