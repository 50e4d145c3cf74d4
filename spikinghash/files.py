"""Files that are either whole or absent, folders that go with their process, and files that are looked at first."""

import contextlib
import errno
import fcntl
import functools
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from spikinghash.errors import WriteError

LARGEST_DOCUMENT = 256 * 2**20
"""Bytes of a config, a report, counts or figures: more are refused unread."""
_PART = ".part-"
_TEMPORARY = re.compile(r"\..*\.part-[a-z0-9_]{8}(\.[^.]*)?")
_LONGEST_STEM = 64
"""Letters of a final name that the temporary one takes over, so that it is no longer than file systems allow."""


def as_path(path: str | Path) -> Path:
    """``path`` as a path; itself if it is one, since to parse it anew takes as long as to open the file."""
    return path if isinstance(path, Path) else Path(path)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def visible_files(folder: Path) -> Iterator[Path]:
    """The files in ``folder`` and all folders below, without what is hidden there; ``folder`` itself may be hidden."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


@contextlib.contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``final``; rename it to ``final`` on success, delete it on any failure.

    The temporary name keeps the suffix of ``final``, since some writers choose their format by it. What a process that
    was killed left of the same file is deleted.

    Raises:
        WriteError: the disk is full or read-only, a folder or a device is there, or the like; what was there stays.
    """
    final = Path(final)
    try:
        with _temporary(final) as temporary:
            yield temporary
    except OSError as error:
        raise WriteError(f"{final}: cannot be written: {reason(error)}: make room there, or write elsewhere") from None


@contextlib.contextmanager
def _temporary(final: Path) -> Iterator[Path]:
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder of that name is there")
    if final.exists() and not final.is_file():  # who may, would put a file in its place
        raise OSError(errno.EINVAL, "a device or a pipe is there")
    sweep_folder(final.parent)
    handle, temporary = _open_beside(final)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def _open_beside(final: Path) -> tuple[int, Path]:
    """A new file beside ``final``, locked for as long as it is open: so it is seen that its writer lives."""
    while True:
        prefix = f".{final.stem[:_LONGEST_STEM]}{_PART}"
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=final.suffix, dir=final.parent)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_SH)  # shared, since HDF5 takes such a one to read it
        if os.fstat(handle).st_nlink:  # else it was swept before it was locked
            return handle, Path(name)
        os.close(handle)


@functools.cache  # once is enough, and folders may be large
def sweep_folder(folder: Path) -> None:
    """Delete the temporary files in ``folder`` whose writers were killed."""
    for left in [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)]:
        with contextlib.suppress(OSError), left.open("rb") as file:  # a living writer has the lock
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


@contextlib.contextmanager
def private_folder(prefix: str = "snh-job-", parent: Path | None = None) -> Iterator[Path]:
    """Yield a folder that only this user can enter, in ``parent`` or among temporary files; it is removed at the end.

    Folders with the name ``prefix`` that processes left when they were killed are removed at the start. A process holds
    a lock on its folder, which ends with it, however it ends.
    """
    parent = parent or Path(tempfile.gettempdir())
    for left in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), _locked(left):
            shutil.rmtree(left)
    with contextlib.ExitStack() as held:
        folder = _locked_folder(prefix, parent, held)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(prefix: str, parent: Path, held: contextlib.ExitStack) -> Path:
    """A new folder, locked until ``held`` is closed."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with contextlib.suppress(BlockingIOError, FileNotFoundError):  # swept before it was locked
            handle = held.enter_context(_locked(folder))
            if os.path.samestat(os.fstat(handle), folder.stat()):
                return folder
        held.close()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Hold the lock on ``folder``, which is opened; OSError if another process does."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield handle
    finally:
        os.close(handle)


def beside(path: Path, suffix: str) -> Path:
    """``path`` with another suffix: where a command writes what is made of it, unless it is told a place.

    Raises:
        WriteError: ``path`` names no file.
    """
    if not path.name:
        raise WriteError(f"{path}: names no file, beside which {suffix} could be written: give a file")
    return path.with_suffix(suffix)


def reason(error: OSError) -> str:
    """Why ``error`` was raised, in one line."""
    text = error.strerror or str(error) or type(error).__name__
    return " ".join(text.split())


def require_file(path: Path, largest: int | None = None) -> None:
    """Refuse what is no file, as a device or a pipe, which may never end, or is larger than ``largest`` bytes.

    Raises:
        OSError: it is missing, cannot be reached, or is refused.
    """
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "a device or a pipe, give a file", str(path))
    if largest is not None and found.st_size > largest:
        raise OSError(errno.EFBIG, f"{found.st_size:,} bytes, at most {largest:,} are read", str(path))


def read_file(path: Path, largest: int = LARGEST_DOCUMENT) -> bytes:
    """All of a file, see ``require_file``.

    Raises:
        OSError: it cannot be read, or is refused.
    """
    require_file(path, largest)
    return path.read_bytes()
