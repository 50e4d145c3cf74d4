"""Results of finished chunks, kept when a later one fails, so that the same run goes on where it ended."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray

VERSION = 1
"""Of what the files hold and what the keys stand for."""


class KeptResults:
    """A folder in the user's cache for the outputs of one run: ``FIRST.npz`` per chunk of samples.

    Only one run at a time has it: ``take`` moves it away, ``give_back`` returns it. A run that is killed outright
    loses it.

    Args:
        graph: the graph's file.
        spikes: the input.
        settings: whatever else the outputs depend on.
    """

    def __init__(self, graph: Path, spikes: NDArray[Any], settings: Sequence[object]) -> None:
        digest = hashlib.sha256(graph.read_bytes())
        digest.update(repr((VERSION, spikes.shape, spikes.dtype.str, *settings)).encode())
        digest.update(np.ascontiguousarray(spikes).data)
        self.folder = Path(platformdirs.user_cache_dir("spikinghash")) / "lava" / digest.hexdigest()[:16]

    def take(self, outputs: Path) -> None:
        """Move what is kept to the folder ``outputs``, which is made."""
        claimed = self.folder.with_name(f"{self.folder.name}.{os.getpid()}")
        outputs.mkdir()
        with suppress(OSError):  # nothing is kept, or another run has it
            self.folder.rename(claimed)
            shutil.copytree(claimed, outputs, dirs_exist_ok=True)
        shutil.rmtree(claimed, ignore_errors=True)

    def give_back(self, outputs: Path) -> bool:
        """Keep what is in ``outputs``; return whether anything is kept: not in a cache that cannot be written."""
        if not any(outputs.glob("*.npz")):
            return False
        claimed = self.folder.with_name(f"{self.folder.name}.{os.getpid()}")
        try:
            shutil.copytree(outputs, claimed)
            shutil.rmtree(self.folder, ignore_errors=True)
            claimed.rename(self.folder)
        except OSError:
            shutil.rmtree(claimed, ignore_errors=True)
            return False
        return True
