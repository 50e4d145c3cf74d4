"""Where frames enter."""

from dataclasses import dataclass
from typing import ClassVar

from export.encoder.node import Node, Shape


@dataclass(frozen=True)
class Input(Node):
    """Binary frames."""

    shape: Shape
    spiking: ClassVar[bool] = True
