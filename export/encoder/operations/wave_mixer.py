"""Spiking WaveMixer: fusion of wavelet subbands, as one linear map per block of space and time."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from export.encoder.graph import Graph
from export.encoder.haar import BlockMap, join_levels, split_levels
from export.encoder.integer import Blocks, Convolution, Layer
from export.encoder.layout import polyphase_shape
from export.encoder.node import Array, CWriter, Linear, OnnxWriter, Shape, Value, stored_once, whole_numbers
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
        """By level: cells of members as rows of a batched product, coarser ones on the sums of their children."""
        blocks, inner = split_levels(self.weight, self.levels), self.shape[0] // self.groups
        children, cells = blocks.children, self._to_cells(blocks, writer, total)
        sums, levels = cells, []
        for level, kernel in enumerate(blocks.kernels):
            if level:
                sums = writer.op("ReduceSum", writer.reshape(sums, self.groups, -1, children, inner), writer.sizes(2))
            rows = writer.reshape(sums, self.groups, -1, children * inner)
            matrix = kernel.reshape(self.groups, children * inner, children * inner).swapaxes(1, 2)
            levels.append(writer.products(rows, matrix, f"weight_{level}" if level else "weight"))
        mixed = writer.reshape(levels.pop(), self.groups, -1, children, inner)
        if self.bias is not None:  # on the coarsest level, which has the fewest values
            bias = writer.weight(self.bias.reshape(self.groups, 1, 1, inner), "bias")
            mixed = writer.op("Add", mixed, bias)
        while levels:
            finer = writer.reshape(levels.pop(), self.groups, -1, children, inner)
            mixed = writer.op("Add", finer, writer.reshape(mixed, self.groups, -1, 1, inner))
        return self._from_cells(blocks, writer, mixed)

    def _axes(self, blocks: BlockMap, steps: int) -> tuple[list[int], list[int]]:
        """Sizes into which rows (T B H W, C) are split, and the order that brings the members of a cell together."""
        digits, levels = blocks.digits, blocks.levels
        whole = (steps, *self.shape[1:])
        t, y, x = (
            [size // side] + [digit] * levels for size, side, digit in zip(whole, blocks.sides, digits, strict=True)
        )
        sizes = [*t, -1, *y, *x, self.groups, self.shape[0] // self.groups]
        starts = [0, levels + 2, 2 * levels + 3]
        order = [len(sizes) - 2, 0, levels + 1, *starts[1:]]
        order += [start + 1 + level for level in range(levels) for start in starts]
        return sizes, [*order, len(sizes) - 1]

    def _to_cells(self, blocks: BlockMap, writer: OnnxWriter, rows: Value) -> Value:
        sizes, order = self._axes(blocks, writer.steps)
        return writer.op("Transpose", writer.reshape(rows, *sizes), perm=order)

    def _from_cells(self, blocks: BlockMap, writer: OnnxWriter, cells: Value) -> Value:
        sizes, order = self._axes(blocks, writer.steps)
        split = writer.reshape(cells, *(sizes[axis] for axis in order))
        back = [order.index(axis) for axis in range(len(order))]
        return writer.reshape(writer.op("Transpose", split, perm=back), -1, self.shape[0])

    def record(self, name: str, sources: tuple[str, ...]) -> Layer:
        """Taken apart by level; without levels, a 1x1 convolution in groups."""
        weight, bias = whole_numbers(self.weight, 0), whole_numbers(self.bias, self.shape[0])
        if self.levels == 0:
            flat = weight.reshape(self.shape[0], -1, 1, 1)
            return Convolution(name, sources, self.shape, flat, bias, groups=self.groups)
        split = split_levels(weight, self.levels)
        return Blocks(name, sources, self.shape, split.kernels, split.members, bias, split.sides)

    def recorded(self, name: str, record: Layer, time_steps: int) -> Self:
        """Its levels put together."""
        if not isinstance(record, Blocks):
            return super().recorded(name, record, time_steps)
        if max(record.sides) != 2**self.levels:
            self.refuse(name, f"of {self.levels} levels has a record of blocks {record.sides}: export it again")
        return self.filled(name, join_levels(record.block_map), record.bias)

    def to_c(self, record: Layer, writer: CWriter) -> None:
        """Level by level, or as the convolution that it is without levels."""
        if isinstance(record, Blocks):
            writer.mixer(record)
        else:
            assert isinstance(record, Convolution)
            writer.convolution(record)

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
