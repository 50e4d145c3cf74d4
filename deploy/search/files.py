"""Recordings on disk: which there are, and what class each is of."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spikinghash.errors import SearchError
from spikinghash.files import visible_files
from training.data.reader import INPUTS, is_input
from training.data.source import class_of


@dataclass(frozen=True, order=True)
class RecordingFile:
    """A recording to be indexed."""

    path: Path
    """Absolute."""
    label: str
    """Its class."""
    size: int
    """Bytes of the file."""
    modified: int
    """When the file was last written, ns since 1970."""


def find_sources(place: Path, label: str | None = None) -> Iterator[RecordingFile]:
    """The recordings in the folder ``place`` and all folders below, in order of their paths; or the file ``place``.

    The label is ``label`` if given, else the first folder below ``place`` that a recording is in, as in training; that
    of recordings which lie in ``place`` itself is its name.

    Raises:
        SearchError: ``place`` is not there, or is a folder without a recording.
    """
    place = Path(os.path.abspath(place))
    if place.is_file():
        yield _source(place, label or place.parent.name)
        return
    if not place.is_dir():
        raise SearchError(f"{place}: no such file or folder")
    paths = sorted(filter(is_input, visible_files(place)))
    if not paths:
        raise SearchError(f"{place}: 0 recordings found, at least 1 is needed ({', '.join(INPUTS)})")
    for path in paths:
        yield _source(path, class_of(path, place) if label is None else label)


def passed_over(place: Path) -> Iterator[Path]:
    """The files in the folder ``place`` and below it that are neither recordings nor pictures; hidden ones apart."""
    return (path for path in visible_files(place) if path.is_file() and not is_input(path))


def _source(path: Path, label: str) -> RecordingFile:
    try:
        found = path.stat()
        size, modified = found.st_size, found.st_mtime_ns
    except OSError:  # gone since it was listed: reading it tells so
        size = modified = 0
    return RecordingFile(path, label, size, modified)
