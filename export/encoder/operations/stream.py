"""The residual stream as a population of its own."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from export.encoder.layout import polyphase_shape
from export.encoder.node import Dialect, Node, Shape


@dataclass(frozen=True)
class Stream(Node):
    """Emits, without memory, the sum of the currents that arrive: graded values, which its readers share.

    It holds currents as they come into a LIF, so that its readers take them as they are: a LIF's ``gain`` is on the
    maps in front of the stream. Biases stay with the LIFs. So a value is the sum of some weights of one LIF, without
    its bias b. With currents in [low, high], b included, it is at most ``max(-low, high) + |b|`` and thus twice
    ``max(-low, high)``: the bits that the certificate proves for that LIF hold it, gain included.
    """

    shape: Shape
    spiking: ClassVar[bool] = True

    def relaid(self, name: str, source: int, own: int) -> "Stream":
        """The same values in another order."""
        return replace(self, shape=polyphase_shape(self.shape, own))

    def gain(self, dialect: Dialect) -> float:
        """That of the LIFs behind it."""
        return dialect.lif_gain

    def to_nir(self, name: str, dialect: Dialect, gain: float) -> Any:
        """The node of the same name."""
        return dialect.stream(self.shape)
