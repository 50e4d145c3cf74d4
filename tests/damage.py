"""Damage to files, and the bounds within which it must be found out."""

import contextlib
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

BY_HAND = "FUZZ_EXAMPLES" in os.environ
"""Whether other damage is tried each time; elsewhere it is always the same, so that a change is what fails a test."""
AT_LEISURE = [pytest.mark.timeout(0)] * BY_HAND
"""For ``pytestmark``: by hand a kind may take longer than other tests, since each file is bounded by itself."""
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
"""Damaged files of each kind."""
LARGEST_MEMORY = 512 * 2**20
"""Over the size of the file."""
LONGEST_SECONDS = 2.0
"""Of CPU time."""
LONGEST_LINE = 1000


@contextlib.contextmanager
def bounded(size: int) -> Iterator[None]:
    """Within the context, only so much more memory can be had, and only so much time may be taken."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + LARGEST_MEMORY + size, before[1]))
    begin = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.process_time() - begin < LONGEST_SECONDS


def flipped(content: bytes, data: st.DataObject) -> bytes:
    """``content`` with one bit changed."""
    damaged = bytearray(content)
    damaged[data.draw(st.integers(0, len(content) - 1), "byte")] ^= 1 << data.draw(st.integers(0, 7), "bit")
    return bytes(damaged)


def cut(content: bytes, data: st.DataObject) -> bytes:
    """The beginning of ``content``."""
    return content[: data.draw(st.integers(0, len(content) - 1), "bytes left")]


def overwritten(content: bytes, data: st.DataObject) -> bytes:
    """``content`` with up to 64 random bytes in it."""
    begin = data.draw(st.integers(0, len(content) - 1), "begin")
    part = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), "seed of the part")).bytes(1 + begin % 64)
    return content[:begin] + part + content[begin + len(part) :]
