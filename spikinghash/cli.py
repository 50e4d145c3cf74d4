"""The frame of every command: one-line errors, exit codes, no traceback for bad input.

Exit codes: 0 done, 1 a comparison failed, 2 bad input or usage, 3 done but some inputs were skipped, 130 interrupted,
143 terminated.
"""

import contextlib
import functools
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer

from spikinghash.errors import SpikinghashError
from spikinghash.extras import told_of_extras
from spikinghash.files import reason

if TYPE_CHECKING:
    from rich.console import Console

SKIPPED = 3
INTERRUPTED = 130
TERMINATED = 143
BROKEN_PIPE = 141
"""As a shell has it for programs that SIGPIPE ends."""
MOST_WORKERS = 1024
"""Threads or processes that a command can be asked for."""
PLAIN_WIDTH = 160
"""Columns where no terminal tells a width, so that tables in pipes and logs are whole."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: a command ends as it does at Ctrl-C, with all that is to be cleaned up."""


def wide_console() -> "Console":
    """A console for tables: as wide as the terminal, or ``PLAIN_WIDTH`` without one."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


def run(command: Callable[..., Any] | Mapping[str, Callable[..., Any]] | str, name: str | None = None) -> None:
    """Run ``command`` as a program and exit.

    Args:
        command: a function with typer-annotated parameters, several of them by name, or the module whose ``main`` is
            either; what it imports may be missing, which is told as all errors are.
        name: what its help calls it; by default what it was started as.
    """
    if isinstance(command, str):
        command = _imported(command)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    if isinstance(command, Mapping):
        for subcommand, one in command.items():
            app.command(subcommand)(_framed(one))
    else:
        app.command()(_framed(command))
    with _ended_by_signals() as came:
        try:
            app(prog_name=name)
        except SystemExit as end:  # Typer takes what comes while it reads the arguments for Ctrl-C
            if came and end.code == INTERRUPTED:
                print("terminated", file=sys.stderr)
                sys.exit(TERMINATED)
            raise


def _imported(module: str) -> Callable[..., Any] | Mapping[str, Callable[..., Any]]:
    try:
        with told_of_extras():
            main: Callable[..., Any] | Mapping[str, Callable[..., Any]] = importlib.import_module(module).main
            return main
    except SpikinghashError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[list[int]]:
    """Within the context SIGTERM and SIGHUP raise ``Terminated``, unless they are ignored, as by nohup.

    The list takes the numbers of those that came.
    """
    came: list[int] = []

    def end(number: int, frame: object) -> None:
        came.append(number)
        raise Terminated

    main = threading.current_thread() is threading.main_thread()
    numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if main and signal.getsignal(each) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield came
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _framed(command: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(command)
    def framed(*args: Any, **kwargs: Any) -> None:
        try:
            with told_of_extras():
                command(*args, **kwargs)
            sys.stdout.flush()  # a full disk behind it is told here
        except SpikinghashError as error:
            raise _end(f"error: {error}", error.exit_code) from None
        except Terminated:
            raise _end("terminated", TERMINATED) from None
        except KeyboardInterrupt:
            raise _end("interrupted", INTERRUPTED) from None
        except OSError as error:  # of the disk, a device, the network: never of the project's own making
            raise _end_of(error) from None
        except MemoryError:
            raise _end("error: not enough memory: use fewer or smaller inputs, or a larger machine", 2) from None

    return framed


def _end_of(error: OSError) -> typer.Exit:
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still unwritten goes nowhere
    if isinstance(error, BrokenPipeError):  # the reader of the output has seen enough
        return typer.Exit(BROKEN_PIPE)
    where = "" if error.filename is None else f"{error.filename}: "
    return _end(f"error: {where}{reason(error)}", SpikinghashError.exit_code)


def _end(message: str, exit_code: int) -> typer.Exit:
    print(message, file=sys.stderr)
    return typer.Exit(exit_code)
