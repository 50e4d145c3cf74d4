"""TOML documents that others wrote."""

from typing import Any

import tomllib


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of the TOML document ``text``.

    Raises:
        ValueError: it is no such document; where a line is at fault, the message names it.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
