"""Results of finished chunks, kept when a later one fails, so that the same run goes on where it ended."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray

VERSION = 1
"""Of what the files hold and what the keys stand for."""


@contextmanager
def kept_results(graph: Path, spikes: NDArray[Any], settings: Sequence[object]) -> Iterator[Path | None]:
    """A folder in the user's cache for the outputs of one run: ``FIRST.npz`` per chunk of samples.

    It is removed when the run is done. A run that fails, or is killed, leaves it for the next one like it. Only one
    process at a time has it; another gets ``None``, and so does one whose cache cannot be written.

    Args:
        graph: the graph's file.
        spikes: the input.
        settings: whatever else the outputs depend on.
    """
    digest = hashlib.sha256(graph.read_bytes())
    digest.update(repr((VERSION, spikes.shape, spikes.dtype.str, *settings)).encode())
    digest.update(np.ascontiguousarray(spikes).data)
    folder = Path(platformdirs.user_cache_dir("spikinghash")) / "lava" / digest.hexdigest()[:16]
    handle = _take(folder)
    if handle is None:
        yield None
        return
    try:
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        with suppress(OSError):
            folder.rmdir()  # where nothing was done
        os.close(handle)


def _take(folder: Path) -> int | None:
    """Make and lock ``folder``; the lock goes with the process."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.access(folder, os.W_OK) and os.path.samestat(os.fstat(handle), folder.stat()):  # else just removed
            return handle
    except OSError:
        pass
    os.close(handle)
    return None
