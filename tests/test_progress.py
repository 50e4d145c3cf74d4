"""Progress: a bar or a spinner for who watches, nothing for who does not, and never anything on standard output."""

import os
import pty
import subprocess
import sys

import pytest

from spikinghash.progress import track, working

SHOW = """
import time
from spikinghash.progress import track, working
with working("lowering"):
    for item in track(range(3), "encoding", 3):
        print(item, flush=True)
        time.sleep(0.15)
"""


def shown_on_a_terminal(script: str) -> tuple[str, str]:
    """Standard output, a pipe, and what a terminal at standard error gets to see."""
    ours, theirs = pty.openpty()
    variables = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=-1, stderr=theirs, env=variables, text=True) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # Linux, when the other end is closed
                break
            if not part:
                break
            seen += part
        os.close(ours)
        assert process.stdout
        return process.stdout.read(), seen.decode()


def test_a_terminal_sees_what_is_done_and_a_pipe_gets_the_output_alone() -> None:
    out, seen = shown_on_a_terminal(SHOW)
    assert out == "0\n1\n2\n"
    assert "lowering" in seen
    assert "encoding" in seen
    assert "3/3" in seen


def test_a_single_item_has_no_bar() -> None:
    out, seen = shown_on_a_terminal("from spikinghash.progress import track\nprint(*track('a', 'encoding', 1))")
    assert (out, seen) == ("a\n", "")


def test_nothing_is_shown_where_no_one_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with working("lowering"):
        assert list(track("abc", "encoding", 3)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")
