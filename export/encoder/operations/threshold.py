"""Units without memory."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from export.encoder.layout import polyphase_shape
from export.encoder.node import Dialect, Node, Shape


@dataclass(frozen=True)
class Threshold(Node):
    """A unit without memory: ``s = [a > threshold]``. With threshold n - 1/2 it is the AND of n spikes."""

    shape: Shape
    threshold: float
    spiking: ClassVar[bool] = True

    def relaid(self, name: str, source: int, own: int) -> "Threshold":
        """The same units in another order."""
        return replace(self, shape=polyphase_shape(self.shape, own))

    def to_nir(self, name: str, dialect: Dialect, gain: float) -> Any:
        """The node of the same name, or a LIF that forgets."""
        return dialect.threshold(self.shape, self.threshold)
