"""Progress of long work, on standard error; where no one watches, there is none."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # rich takes a tenth of a second, which only a terminal has to wait for
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

Item = TypeVar("Item")


def track(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Iterate over ``items`` below a bar that says ``what`` is done; of a single item there is none."""
    if total < 2 or not sys.stderr.isatty():
        yield from items
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with shown(*columns) as progress:
        yield from progress.track(items, total, description=what)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Within the context it is shown that ``what`` is done, and for how long: for work that has no steps to count."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    with shown(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()) as progress:
        progress.add_task(what, total=None)
        yield


def shown(*columns: "ProgressColumn", transient: bool = True) -> "Progress":
    """A display of ``columns``; several may be shown at once. What is printed meanwhile goes where it would anyway."""
    from rich.progress import Progress

    console = _console()
    return Progress(
        *columns,
        console=console,
        transient=transient,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not console.is_terminal,
    )


@cache
def _console() -> "Console":
    """The one console: displays on it know of each other."""
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True, highlight=False)
