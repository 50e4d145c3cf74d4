"""Equal bytes on every machine: figures of the report carry six digits."""

from typing import Any

_DIGITS = 6


def rounded(value: Any) -> Any:
    """``value`` (a tree of dicts, lists and plain values) with every float cut to six significant digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
