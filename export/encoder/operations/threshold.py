"""Units without memory."""

from dataclasses import dataclass
from typing import ClassVar

from export.encoder.node import Node, Shape


@dataclass(frozen=True)
class Threshold(Node):
    """A unit without memory: ``s = [a > threshold]``. With threshold n - 1/2 it is the AND of n spikes."""

    shape: Shape
    threshold: float
    spiking: ClassVar[bool] = True
