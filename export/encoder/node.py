"""The base of all operations: a node of the encoder's graph, and what the walks over the graph ask it.

Shapes are (channels, height, width). Weights are float64; in an integer graph they hold whole numbers.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]
Array = NDArray[np.float64]


class Node:
    """Anything in the graph. Operations are frozen dataclasses, one per file of ``export.encoder.operations``."""

    if TYPE_CHECKING:

        @property
        def shape(self) -> Shape:
            """Shape of what it emits."""

    spiking: ClassVar[bool] = False
    """Whether it emits spikes rather than currents."""

    @property
    def source_shape(self) -> Shape:
        """Shape of what it takes in."""
        return self.shape


class Linear(Node):
    """A linear map of spikes to currents."""

    if TYPE_CHECKING:

        @property
        def weight(self) -> Array:
            """All weights, each kernel once."""

        @property
        def bias(self) -> Array | None:
            """(out channels,)."""

    def with_numbers(self, weight: Array, bias: Array | None) -> Self:
        """The same map with other numbers."""
        this: Any = self
        return replace(this, weight=weight, bias=bias)

    def fan_out(self) -> NDArray[np.int64]:
        """Non-zero synapses that leave each neuron of the source, (C, H, W)."""
        raise NotImplementedError

    def macs(self) -> int:
        """Multiply-accumulates per time step if nothing were sparse: zero weights and taps on the padding count."""
        raise NotImplementedError

    def stored_weights(self) -> Array:
        """The weights that are not zero, each kernel once, flat."""
        return self.weight[self.weight != 0]
