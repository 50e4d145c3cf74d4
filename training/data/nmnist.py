"""N-MNIST in tonic's folder layout: ``NMNIST/Train/DIGIT/ID.bin`` and ``NMNIST/Test/DIGIT/ID.bin``.

``tonic.datasets.NMNIST`` is not used, since it starts a download unless all recordings are there.
"""

from pathlib import Path

import numpy as np

from spikinghash.errors import RecordingError
from training.data.reader import Reader
from training.data.recordings import load_recording
from training.data.source import Recordings, Source, file_key, rows_of

REMEDY = "give the folder that holds NMNIST/Train/DIGIT/ID.bin"


def source(root: Path, reader: Reader) -> Source:
    """The recordings below ``root``; the folder Test, where it is there, is the official test set."""
    found = list_recordings(root)
    paths = [path for path, _ in found]
    ids = ["/".join(path.with_suffix("").parts[-3:]) for path in paths]
    test = np.array([name.startswith("Test/") for name in ids])

    def open_recordings() -> Recordings:
        labels = np.array([label for _, label in found], np.int64)
        rows = rows_of(lambda index: load_recording(paths[index]), reader)
        return Recordings(labels, ids, rows, test if test.any() and not test.all() else None)

    return Source({"files": file_key(paths, root)}, open_recordings, tuple("0123456789"))


def list_recordings(root: str | Path) -> list[tuple[Path, int]]:
    """Paths and labels of all recordings below ``root`` (the folder with ``NMNIST`` in it, or ``NMNIST`` itself).

    Raises:
        RecordingError: there are none, or a class folder is not named after a digit.
    """
    base = Path(root) / "NMNIST" if (Path(root) / "NMNIST").is_dir() else Path(root)
    folders = sorted(folder for split in ("Train", "Test") for folder in (base / split).glob("*") if folder.is_dir())
    found = [(path, _label(folder)) for folder in folders for path in sorted(folder.glob("*.bin"))]
    if not found:
        raise RecordingError(f"{root}: 0 N-MNIST recordings found, at least 1 is needed; {REMEDY}")
    return found


def _label(folder: Path) -> int:
    if folder.name not in set("0123456789"):
        raise RecordingError(f"{folder}: class folder {folder.name!r} is not a digit from 0 to 9; {REMEDY}")
    return int(folder.name)


def holds_recordings(root: Path) -> bool:
    """Whether ``root`` is laid out as N-MNIST."""
    base = root / "NMNIST" if (root / "NMNIST").is_dir() else root
    return any((base / part / digit).is_dir() for part in ("Train", "Test") for digit in "0123456789")
