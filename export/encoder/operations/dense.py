"""Any linear map, written out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.encoder.node import Array, Linear, Shape


@dataclass(frozen=True)
class Dense(Linear):
    """Any linear map between two populations of which one has a 1x1 map."""

    weight: Array
    """(out channels, out height, out width, in channels, in height, in width)."""
    bias: Array | None = None
    """(out channels,)."""

    @property
    def source_shape(self) -> Shape:
        """Shape of the spikes."""
        return self.weight.shape[3], self.weight.shape[4], self.weight.shape[5]

    @property
    def shape(self) -> Shape:
        """Shape of the currents."""
        return self.weight.shape[0], self.weight.shape[1], self.weight.shape[2]

    def fan_out(self) -> NDArray[np.int64]:
        """Non-zero synapses that leave each neuron of the source, (C, H, W)."""
        return (self.weight != 0).sum(axis=(0, 1, 2))

    def macs(self) -> int:
        """Multiply-accumulates per time step."""
        return self.weight.size
