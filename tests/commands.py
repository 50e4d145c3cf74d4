"""Commands, run in the process of the test."""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from spikinghash.cli import run


class Done(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


Call = Callable[..., Done]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command: its ``main`` (or typer application), then its arguments."""

    def call(main: Any, *arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            run(main)
        printed = capsys.readouterr()
        return Done(int(end.value.code or 0), printed.out, printed.err)

    return call
