"""How the C library hands memory out while a network is trained."""

import ctypes
import platform

_MMAP_MAX = -4  # M_MMAP_MAX, M_TRIM_THRESHOLD: mallopt(3)
_TRIM_THRESHOLD = -1
_LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the process keep memory that it has freed, where the C library is glibc.

    A training step frees and takes arrays of some 30 MB many times. By default glibc gives such blocks back to the
    system at once, and the next step pays for 4-kilobyte pages anew: tens of thousands of page faults, a fifth of a
    step (``benchmarks/training.py``). What is kept is the peak, which the process needs again in the next step.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, _LARGEST)
