"""The frame of every command: one-line errors, exit codes, no traceback for bad input.

Exit codes: 0 done, 1 a comparison failed, 2 bad input or usage, 3 done but some inputs were skipped, 130 interrupted.
"""

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

import typer
from rich.console import Console

from spikinghash.errors import SpikinghashError

SKIPPED = 3
INTERRUPTED = 130
PLAIN_WIDTH = 160
"""Columns where no terminal tells a width, so that tables in pipes and logs are whole."""


def wide_console() -> Console:
    """A console for tables: as wide as the terminal, or ``PLAIN_WIDTH`` without one."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


def run(command: Callable[..., Any] | Mapping[str, Callable[..., Any]]) -> None:
    """Run ``command`` (a function with typer-annotated parameters, or several by name) as a program and exit."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    if isinstance(command, Mapping):
        for name, one in command.items():
            app.command(name)(_framed(one))
    else:
        app.command()(_framed(command))
    app()


def _framed(command: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(command)
    def framed(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except SpikinghashError as error:
            raise _end(f"error: {error}", error.exit_code) from None
        except KeyboardInterrupt:
            raise _end("interrupted", INTERRUPTED) from None

    return framed


def _end(message: str, exit_code: int) -> typer.Exit:
    print(message, file=sys.stderr)
    return typer.Exit(exit_code)
