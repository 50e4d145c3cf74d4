"""Spiking neurons."""

from dataclasses import dataclass
from typing import ClassVar

from export.encoder.node import Node, Shape


@dataclass(frozen=True)
class Lif(Node):
    """``v <- v/2 + a; s = [v > threshold]; v <- (1 - s) v``, where a is the sum of the arriving currents."""

    shape: Shape
    threshold: float
    spiking: ClassVar[bool] = True
