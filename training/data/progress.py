"""Progress of long work, on standard error."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import rich.console
import rich.progress

Item = TypeVar("Item")


def track(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Iterate over ``items`` below a bar that says ``what`` is done; where no one watches there is no bar."""
    console = rich.console.Console(stderr=True)
    yield from rich.progress.track(items, what, total, console=console, transient=True, disable=not console.is_terminal)
