"""Delay lines."""

from dataclasses import dataclass
from typing import ClassVar

from export.encoder.node import Node, Shape


@dataclass(frozen=True)
class Delay(Node):
    """Passes channel c on ``steps[c]`` time steps later."""

    shape: Shape
    steps: tuple[int, ...]
    spiking: ClassVar[bool] = True
