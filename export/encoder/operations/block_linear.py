"""A linear map of the steps of a block: what a Spiking WaveMixer is in polyphase layout."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from export.encoder.node import Array, Linear, Shape


@dataclass(frozen=True)
class BlockLinear(Linear):
    """``z_j = sum_k W[j, k] s_k`` per pixel over blocks of B steps; j and k count the steps of a block."""

    shape: Shape
    weight: Array
    """(B out, B in, out channels, in channels)."""
    bias: Array | None = None

    @property
    def block(self) -> int:
        """Steps of a block, B."""
        return self.weight.shape[0]

    def fan_out(self) -> NDArray[np.int64]:
        """Non-zero synapses that leave each neuron of the source, (C, H, W): the mean over the steps of a block."""
        channels = (self.weight != 0).sum(axis=(0, 2)).mean(axis=0).round().astype(np.int64)
        return np.broadcast_to(channels[:, None, None], self.shape).copy()

    def macs(self) -> int:
        """Multiply-accumulates per time step."""
        return self.weight.size // self.block * prod(self.shape[1:])
