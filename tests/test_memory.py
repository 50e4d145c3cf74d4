"""Freed memory is kept: once the heap has grown, no page of a large array is new."""

import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys
import torch
from training.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(25):
    before = faults()
    torch.ones(16_000_000)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_large_arrays_are_taken_again_without_page_faults() -> None:
    keep, default = (
        int(subprocess.run([sys.executable, "-c", _PROGRAM, mode], capture_output=True, check=True, timeout=60).stdout)
        for mode in ("keep", "default")
    )
    assert keep < 100
    assert default > 10 * 100
