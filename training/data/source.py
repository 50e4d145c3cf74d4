"""What every data set is to those who make frames of it: a key for the cache, and recordings in a fixed order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.data.recordings import Recording

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Recordings:
    """The recordings of a data set, opened one by one."""

    labels: NDArray[np.int64]
    """Class of each, counted from 0; shape (recordings,)."""
    ids: Sequence[str]
    """Name of each."""
    frames: Callable[[int, int, int], Frames]
    """``frames(index, time_steps, size)`` of shape (T, 2, size, size)."""
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


def frames_of(read: Callable[[int], Recording]) -> Callable[[int, int, int], Frames]:
    """The ``frames`` of ``Recordings`` that are events."""
    return lambda index, time_steps, size: read(index).frames(time_steps, size)


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
    frames: Callable[[Path, int, int], Frames],
    **key: Any,
) -> Source:
    """All ``wanted`` files ``root/CLASS/*``, sorted; the class is the folder's name.

    Args:
        suffixes: of such files, for messages.
        what: the files hold, for messages.
        frames: ``frames(path, time_steps, size)`` of a file, shape (T, 2, size, size).
        key: all that frames depend on beside the files.

    Raises:
        RecordingError: there are none.
    """
    folders = sorted(folder for folder in root.glob("*") if folder.is_dir() and not folder.name.startswith("."))
    paths = [path for folder in folders for path in sorted(folder.iterdir()) if wanted(path)]
    paths = [path for path in paths if not path.name.startswith(".")]
    if not paths:
        raise RecordingError(
            f"{root}: 0 {what} found, at least 1 is needed; give the folder that holds CLASS/FILE with one of "
            f"{', '.join(suffixes)}"
        )

    def open_files() -> Recordings:
        ids = [path.relative_to(root).as_posix() for path in paths]
        labels = class_labels([path.parent.name for path in paths])
        return Recordings(labels, ids, lambda index, time_steps, size: frames(paths[index], time_steps, size))

    classes = tuple(sorted({path.parent.name for path in paths}))
    return Source({"files": file_key(paths, root), **key}, open_files, classes)
