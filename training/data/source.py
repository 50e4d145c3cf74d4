"""What every data set is to those who make frames of it: a key for the cache, and recordings in a fixed order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from spikinghash.files import visible_files
from training.data.reader import Reader, binned
from training.data.recordings import Recording

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Rows:
    """What one recording gives: itself, or its windows."""

    frames: Frames
    """Shape (rows, T, 2, size, size)."""
    windows: NDArray[np.int64]
    """Start and end of each, and the time from its first to its last event, shape (rows, 3); microseconds."""
    sensor: tuple[int, int] = (0, 0)
    """Width and height; zeros for what is no recording of events."""


@dataclass(frozen=True)
class Recordings:
    """The recordings of a data set, opened one by one."""

    labels: NDArray[np.int64]
    """Class of each, counted from 0; shape (recordings,)."""
    ids: Sequence[str]
    """Name of each."""
    rows: Callable[[int, int, int], Rows]
    """``rows(index, time_steps, size)``."""
    test: NDArray[np.bool_] | None = None
    """Which recordings are the data set's official test set; ``None`` where it has none."""


@dataclass(frozen=True)
class Source:
    """A data set that was found, not yet read."""

    key: Mapping[str, Any]
    """All that the recordings depend on, fit for JSON: a changed file or parameter changes it."""
    open: Callable[[], Recordings]
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of the labels."""


def rows_of(read: Callable[[int], Recording], reader: Reader) -> Callable[[int, int, int], Rows]:
    """The ``rows`` of ``Recordings`` that are events; ``reader`` cuts them."""

    def rows(index: int, time_steps: int, size: int) -> Rows:
        parts, frames = binned(reader.cut(read(index)), time_steps, size)
        spans = [part.span for part in parts]
        windows = [(*(part.window or (0, span)), span) for part, span in zip(parts, spans, strict=True)]
        return Rows(frames, np.array(windows, np.int64), parts[0].sensor[:2])

    return rows


def file_key(paths: Sequence[Path], base: Path) -> list[tuple[str, int, int]]:
    """Name, bytes and time of change of each file: another file in its place has another key."""
    stats = [path.stat() for path in paths]
    return [
        (path.relative_to(base).as_posix(), stat.st_size, stat.st_mtime_ns)
        for path, stat in zip(paths, stats, strict=True)
    ]


def class_labels(names: Sequence[str]) -> NDArray[np.int64]:
    """Number the classes ``names`` (one per recording) in the order of the alphabet."""
    return np.unique(np.array(names, dtype=str), return_inverse=True)[1].astype(np.int64)


def class_folders(
    root: Path,
    wanted: Callable[[Path], bool],
    suffixes: Sequence[str],
    what: str,
    rows: Callable[[Path, int, int], Rows],
    **key: Any,
) -> Source:
    """All ``wanted`` files ``root/CLASS/FILE`` and ``root/CLASS/SESSION/FILE``, sorted; see ``class_of``.

    Args:
        suffixes: of such files, for messages.
        what: the files hold, for messages.
        rows: ``rows(path, time_steps, size)`` of a file.
        key: all that frames depend on beside the files.

    Raises:
        RecordingError: there are none.
    """
    paths = sorted(path for path in visible_files(root) if path.parent != root and wanted(path))
    if not paths:
        raise RecordingError(
            f"{root}: 0 {what} found, at least 1 is needed; give the folder that holds CLASS/FILE or "
            f"CLASS/SESSION/FILE with one of {', '.join(suffixes)}"
        )

    names = [class_of(path, root) for path in paths]

    def open_files() -> Recordings:
        ids = [path.relative_to(root).as_posix() for path in paths]
        return Recordings(class_labels(names), ids, lambda index, *sizes: rows(paths[index], *sizes))

    return Source({"files": file_key(paths, root), **key}, open_files, tuple(sorted(set(names))))


def class_of(path: Path, root: Path) -> str:
    """Class of the recording ``path`` in the folder ``root``: the first folder below it.

    >>> class_of(Path("set/cup/monday/1.aedat4"), Path("set"))
    'cup'
    >>> class_of(Path("set/cup/1.aedat4"), Path("set/cup"))
    'cup'
    """
    parts = path.relative_to(root).parts
    return parts[0] if len(parts) > 1 else root.name
