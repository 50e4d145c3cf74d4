"""The tools whose files are read as these mean them, by name; ``export.nir.conventions`` has what they mean."""

from typing import Literal, get_args

Tool = Literal["norse", "snntorch", "spikingjelly", "sinabs"]
TOOLS: tuple[Tool, ...] = get_args(Tool)
"""Tools whose files can be read as they are meant."""
