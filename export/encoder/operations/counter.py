"""The vote over the steps of a window."""

from dataclasses import dataclass
from typing import ClassVar

from export.encoder.node import Node, Shape


@dataclass(frozen=True)
class Counter(Node):
    """Spikes when the currents received since its last spike add up to ``votes``."""

    shape: Shape
    votes: int
    spiking: ClassVar[bool] = True
