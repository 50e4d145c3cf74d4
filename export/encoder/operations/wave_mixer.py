"""Spiking WaveMixer: fusion of wavelet subbands, as one linear map per block of space and time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from export.encoder.graph import Graph
from export.encoder.layout import polyphase_shape
from export.encoder.node import Array, Linear, OnnxWriter, Shape, Value, stored_once
from export.encoder.operations.block_linear import BlockLinear
from export.encoder.operations.norm import add_norm, array
from training.model.encoder import WaveBranch
from training.model.wave_mixer import from_blocks, to_blocks


@dataclass(frozen=True)
class WaveMixer(Linear):
    """A linear map of each block of 2^L steps x 2^L x 2^L pixels, per group of channels."""

    shape: Shape
    levels: int
    weight: Array
    """(groups, out * 8^L, in * 8^L), channel major, then (t, y, x)."""
    bias: Array | None = None

    @property
    def groups(self) -> int:
        """Groups of channels that do not mix."""
        return self.weight.shape[0]

    def scaled(self, scale: Array) -> Array:
        """All rows of a channel alike."""
        return self.weight * np.repeat(scale, 8**self.levels).reshape(self.groups, -1, 1)

    def currents(self, spikes: Tensor, weight: Tensor) -> Tensor:
        """One matrix product per group, of all blocks."""
        blocks = to_blocks(spikes, self.levels, self.groups)
        return from_blocks(blocks @ weight.transpose(1, 2), spikes.shape, self.levels)

    def rows(self) -> Array:
        """One row per member of a block."""
        return self.weight.reshape(self.shape[0], 8**self.levels, -1)

    def stored_weights(self) -> Array:
        """What the Haar transform repeats once."""
        (groups, out, inp), block = self.weight.shape, 8**self.levels
        split = self.weight.reshape(groups, out // block, block, inp // block, block).transpose(0, 1, 3, 2, 4)
        return stored_once(split.reshape(-1, block * block))

    def share_factors(self, source: int, own: int) -> tuple[int, int]:
        """The same on both sides, and so large that a block of pixels is one pixel."""
        factor = max(source, own, 2**self.levels)
        return factor, factor

    def relaid(self, name: str, source: int, own: int) -> BlockLinear:
        """A map of channels over the steps of a block; ``own`` is a multiple of 2^L."""
        n, groups = 2**self.levels, self.groups
        width, repeats = self.shape[0] // groups, own // n
        kernel = self.weight.reshape(groups, width, n, n, n, width, n, n, n)
        # Axes: group, out channel, out (t, y, x), in channel, in (t, y, x). Blocks do not mix: neither across groups
        # nor, where the layout holds several blocks per pixel, across blocks.
        apart = (np.eye(groups), np.eye(repeats), np.eye(repeats))
        weight = np.einsum("gotyxisuv,gh,ab,cd->tsgoaycxhibudv", kernel, *apart, optimize=True)
        shape = polyphase_shape(self.shape, own)
        bias = None if self.bias is None else np.repeat(self.bias, own**2)
        return BlockLinear(shape, weight.reshape(n, n, shape[0], shape[0]), bias)

    def to_onnx(self, name: str, writer: OnnxWriter, total: Value) -> Value:
        """Blocks of (2^L)^3 steps and pixels, per channel group, as rows of one batched matrix product."""
        (channels, height, width), steps = self.shape, writer.steps
        n, groups = 2**self.levels, self.groups
        inner, volume = channels // groups, n**3
        split = writer.reshape(total, steps // n, n, -1, height // n, n, width // n, n, groups, inner)
        moved = writer.op("Transpose", split, perm=[7, 0, 2, 3, 5, 1, 4, 6, 8])
        blocks = writer.reshape(moved, groups, -1, volume * inner)
        kernel = self.weight.reshape(groups, inner, volume, inner, volume).transpose(0, 4, 3, 2, 1)
        mixed = writer.products(blocks, kernel.reshape(groups, volume * inner, volume * inner))
        split = writer.reshape(mixed, groups, steps // n, -1, height // n, width // n, n, n, n, inner)
        rows = writer.reshape(writer.op("Transpose", split, perm=[1, 5, 2, 3, 6, 4, 7, 0, 8]), -1, channels)
        return rows if self.bias is None else writer.op("Add", rows, writer.weight(self.bias, "bias"))

    def fan_out_by_step(self) -> NDArray[np.int64]:
        """Entries of its block's map that a spike reaches, (2^L, C, H, W): by step of the block, channel and pixel."""
        n, (channels, height, width) = 2**self.levels, self.shape
        block = (self.weight != 0).sum(axis=1).reshape(channels, n, n, n).swapaxes(0, 1)
        return np.tile(block, (1, 1, height // n, width // n))

    def fan_out(self) -> NDArray[np.int64]:
        """The mean over the steps of a block, rounded; ``fan_out_by_step`` is exact.

        They differ where weights are zero, as some are in an integer graph.
        """
        return self.fan_out_by_step().mean(axis=0).round().astype(np.int64)


def add_wave_branch(graph: Graph, branch: WaveBranch, name: str, source: str) -> str:
    """Add a trained Spiking WaveMixer and its normalisation behind ``source``."""
    mixer = WaveMixer(graph.nodes[source].shape, branch.mixer.levels, array(branch.mixer.kernel()))
    return add_norm(graph, branch.norm.norm, name, graph.add(name, mixer, source))
