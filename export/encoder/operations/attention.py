"""Spiking self-attention without its projections: the product of queries, keys and values."""

from dataclasses import dataclass
from math import prod

from export.encoder.node import Node, Shape


@dataclass(frozen=True)
class Attention(Node):
    """``weight * Q (K^T V)`` per time step and head; its source holds q, k and v as thirds of its channels."""

    shape: Shape
    heads: int
    weight: float

    @property
    def source_shape(self) -> Shape:
        """Shape of the spikes."""
        return 3 * self.shape[0], self.shape[1], self.shape[2]

    @property
    def width(self) -> int:
        """Channels of a head, d_h."""
        return self.shape[0] // self.heads

    @property
    def tokens(self) -> int:
        """Pixels, N."""
        return self.shape[1] * self.shape[2]

    def products(self) -> int:
        """ANDs of two spikes in K^T V per time step, and as many additions gated by a spike in Q (K^T V): N C d_h."""
        return prod(self.shape) * self.width
