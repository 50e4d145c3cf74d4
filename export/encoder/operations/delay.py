"""Delay lines."""

from dataclasses import dataclass
from typing import Any, ClassVar

from export.encoder.node import Dialect, Node, Shape


@dataclass(frozen=True)
class Delay(Node):
    """Passes channel c on ``steps[c]`` time steps later."""

    shape: Shape
    steps: tuple[int, ...]
    spiking: ClassVar[bool] = True

    def widened(self, name: str) -> "Delay":
        """The valid line as the last channel, as late as the one before it."""
        return Delay((self.shape[0] + 1, *self.shape[1:]), (*self.steps, self.steps[-1]))

    def to_nir(self, name: str, dialect: Dialect, gain: float) -> Any:
        """The node of the same name."""
        return dialect.delay(self.shape, self.steps)
