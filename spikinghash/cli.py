"""The frame of every command: one-line errors, exit codes, no traceback for bad input.

Exit codes: 0 done, 1 a comparison failed, 2 bad input or usage, 3 done but some inputs were skipped, 130 interrupted.
"""

import sys
from collections.abc import Callable
from typing import Any

import typer

from spikinghash.errors import SpikinghashError


def run(command: Callable[..., Any]) -> None:
    """Run ``command`` (a function with typer-annotated parameters) as a program and exit."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(command)
    run_app(app)


def run_app(app: typer.Typer) -> None:
    """Run a typer application and exit with the project's exit codes."""
    try:
        app()
    except SpikinghashError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
