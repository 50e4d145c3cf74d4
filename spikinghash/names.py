"""Names that nobody knows, and what they may have been meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches


def meant(name: str, known: Iterable[str]) -> str:
    """``; did you mean ...?`` for the nearest of the ``known`` names; nothing where none is near.

    >>> meant("lohi1", ["loihi1", "loihi2", "x86_cpu"])
    "; did you mean 'loihi1'?"
    >>> meant("toaster", ["loihi1", "loihi2"])
    ''
    """
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
