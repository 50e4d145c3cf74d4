"""Spiking WaveMixer: fusion of wavelet subbands, as one linear map per block of space and time."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from export.encoder.node import Array, Linear, Shape


@dataclass(frozen=True)
class WaveMixer(Linear):
    """A linear map of each block of 2^L steps x 2^L x 2^L pixels, per group of channels."""

    shape: Shape
    levels: int
    weight: Array
    """(groups, out * 8^L, in * 8^L), channel major, then (t, y, x)."""
    bias: Array | None = None

    def fan_out_by_step(self) -> NDArray[np.int64]:
        """Entries of its block's map that a spike reaches, (2^L, C, H, W): by step of the block, channel and pixel."""
        n, (channels, height, width) = 2**self.levels, self.shape
        block = (self.weight != 0).sum(axis=1).reshape(channels, n, n, n).swapaxes(0, 1)
        return np.tile(block, (1, 1, height // n, width // n))

    def fan_out(self) -> NDArray[np.int64]:
        """Non-zero synapses that leave each neuron of the source, (C, H, W): the mean over the steps of a block.

        Rounded; ``fan_out_by_step`` is exact. They differ where weights are zero, as some are in an integer graph.
        """
        return self.fan_out_by_step().mean(axis=0).round().astype(np.int64)

    def macs(self) -> int:
        """Multiply-accumulates per time step."""
        return self.weight.shape[2] * prod(self.shape)
