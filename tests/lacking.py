"""What a machine may lack: tests that need it skip, except where nothing may be left out."""

import os
from typing import NoReturn

import pytest

STRICT = "SPIKINGHASH_NOTHING_SKIPPED"
"""Environment variable: set, as by ``.ci/run``, what would be skipped fails."""


def lacking(what: str) -> NoReturn:
    """Skip the test, or fail where nothing may be skipped; ``what`` is lacking, and how to get it."""
    if os.environ.get(STRICT):
        pytest.fail(f"{what}; {STRICT} is set, so nothing may be skipped")
    pytest.skip(what)
