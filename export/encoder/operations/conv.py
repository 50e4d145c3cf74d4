"""Convolution, whole or in groups of channels."""

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from export.encoder.node import Array, Linear, Shape


@dataclass(frozen=True)
class Conv(Linear):
    """Two-dimensional convolution (cross-correlation, as in torch) with zero padding."""

    source: Shape
    weight: Array
    """(out, in / groups, kernel height, kernel width)."""
    bias: Array | None = None
    """(out,)."""
    stride: int = 1
    padding: int = 0
    groups: int = 1
    """Groups of channels that do not mix; as many as channels for a depthwise convolution."""

    @property
    def source_shape(self) -> Shape:
        """Shape of the spikes."""
        return self.source

    @property
    def shape(self) -> Shape:
        """Shape of the currents."""
        out, _, *kernel = self.weight.shape
        height, width = (
            (size + 2 * self.padding - taps) // self.stride + 1
            for size, taps in zip(self.source[1:], kernel, strict=True)
        )
        return out, height, width

    def fan_out(self) -> NDArray[np.int64]:
        """Non-zero synapses that leave each neuron of the source, (C, H, W): taps on the padding are none."""
        back = (torch.ones(1, *self.shape), torch.from_numpy(self.weight != 0).float())
        kernel = self.weight.shape[2:]
        rest = [
            size - ((out - 1) * self.stride - 2 * self.padding + taps)
            for size, out, taps in zip(self.source[1:], self.shape[1:], kernel, strict=True)
        ]
        counts = functional.conv_transpose2d(*back, None, self.stride, self.padding, rest, self.groups)
        return counts[0].numpy().astype(np.int64)

    def macs(self) -> int:
        """Multiply-accumulates per time step."""
        return self.weight.size * prod(self.shape[1:])
