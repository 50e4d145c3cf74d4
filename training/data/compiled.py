"""Loops over events, compiled where that pays."""

import sys
from types import ModuleType


def kernels() -> ModuleType | None:
    """``training.data.kernels``, if Numba is loaded: to load it takes as long as thousands of recordings in NumPy.

    So it is where encoders are compiled and many recordings come, and not where a few are encoded.
    """
    if "numba" not in sys.modules:
        return None
    from training.data import kernels

    return kernels
