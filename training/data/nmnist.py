"""N-MNIST in tonic's folder layout: ``NMNIST/Train/DIGIT/ID.bin`` and ``NMNIST/Test/DIGIT/ID.bin``.

``tonic.datasets.NMNIST`` is not used, since it starts a download unless all recordings are there.
"""

from pathlib import Path

from spikinghash.errors import RecordingError

REMEDY = "give the folder that holds NMNIST/Train/DIGIT/ID.bin"


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
    if folder.name not in "0123456789":
        raise RecordingError(f"{folder}: class folder {folder.name!r} is not a digit from 0 to 9; {REMEDY}")
    return int(folder.name)
