"""The integer network in NumPy alone: nothing to compile and little to load, for a few recordings.

A recording takes many times as long as on ``events``, whose compiled kernels take longer to load than a few recordings
take here. Currents are sums of whole numbers in the narrowest floating point that holds all of them, so that BLAS adds
them, and exactly; potentials are whole numbers as ``deploy.backends.events`` says.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.backends.encoder import Codes, Encoder, Frames, Trace, checked_frames, totals
from deploy.backends.events.check import check_network
from deploy.backends.events.width import choose_width
from export.encoder.haar import BlockMap
from export.encoder.integer import Blocks, Coincidences, Convolution, IntegerNetwork, Layer, Neurons, Whole
from training.data.facts import DataFacts

FEW = 16
"""Recordings: loading Numba and the compiled kernels takes longer than these take here."""


class NumpyEncoder:
    """An integer network, layer by layer. May be used from several threads at once.

    Args:
        network: the encoder.
        data: what it was trained on, where that is known.

    Raises:
        GraphError: layers do not fit each other, or hold numbers of more than 64 bits.
    """

    backend = "numpy"

    def __init__(self, network: IntegerNetwork, data: DataFacts | None = None) -> None:
        check_network(network)
        choose_width(network)
        self.network, self.data, self.classes = network, data, network.classes
        self.time_steps, self.size, self.bits = network.time_steps, network.size, network.bits

    def encode(self, frames: Frames) -> Codes:
        """Packed codes (B, K/8), or spikes per class (B, K), of frames (B, T, 2, H, W)."""
        frames = checked_frames(frames, self.time_steps, self.size)
        (last,) = self.network.vote.sources
        return self._answers([self._values(each)[last] for each in frames])

    def trace(self, frames: Frames) -> Trace:
        """``encode``, with the activity of the layers."""
        frames = checked_frames(frames, self.time_steps, self.size)
        values = [self._values(each) for each in frames]
        shapes = {layer.name: layer.shape for layer in self.network.layers}
        spikes = {
            name: np.array([each[name] for each in values]).reshape(-1, self.time_steps, *shapes[name])
            for name in self.network.populations
        }
        (last,) = self.network.vote.sources
        return Trace(self._answers([each[last] for each in values]), totals(spikes), spikes)

    def _answers(self, spikes: list[NDArray[Any]]) -> Codes:
        """What the spikes (T, C, H, W) of the last neurons say, of each recording."""
        counts = [each.sum(axis=0, dtype=np.int64).reshape(-1) for each in spikes]
        return self.network.answers(np.array(counts, np.int64).reshape(-1, self.bits))

    def _values(self, frames: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Spikes, currents or coincidences (T, C, H, W) of each layer, of one recording."""
        values: dict[str, NDArray[Any]] = {"input": frames}
        weights = {layer.name: layer.weight for layer in self.network.layers if isinstance(layer, Coincidences)}
        for layer in self.network.layers:
            sources = [values[name] for name in layer.sources]
            if isinstance(layer, Neurons):
                currents = (weights.get(name, 1) * values[name] for name in layer.sources)
                values[layer.name] = spikes_of(sum(currents), layer.threshold)
            else:
                values[layer.name] = currents_of(layer, sources[0])
        return values


class WarmingEncoder(NumpyEncoder):
    """In NumPy while few recordings are asked for, on ``events`` from then on: the same codes.

    Args:
        network: the encoder.
        threads: of ``events``; 0 for all cores.
        data: what it was trained on, where that is known.
    """

    backend = "events"

    def __init__(self, network: IntegerNetwork, threads: int = 0, data: DataFacts | None = None) -> None:
        super().__init__(network, data)
        self._threads, self._asked = threads, 0

    def encode(self, frames: Frames) -> Codes:
        """As ``NumpyEncoder``."""
        return super().encode(frames) if self._are_few(len(frames)) else self._compiled.encode(frames)

    def trace(self, frames: Frames) -> Trace:
        """As ``NumpyEncoder``."""
        return super().trace(frames) if self._are_few(len(frames)) else self._compiled.trace(frames)

    def _are_few(self, more: int) -> bool:
        self._asked += more
        return self._asked <= FEW

    @cached_property
    def _compiled(self) -> Encoder:
        from deploy.backends.events.encoder import EventsEncoder  # loads Numba

        return EventsEncoder(self.network, self._threads, self.data)


def spikes_of(current: Any, threshold: int) -> NDArray[np.uint8]:
    """Spikes (T, C, H, W) of neurons that get ``current``, whole numbers of that shape."""
    spikes = np.empty(current.shape, np.uint8)
    potential = np.zeros(current.shape[1:], np.int64)
    for t, arriving in enumerate(current):
        potential = (potential + 1 >> 1) + arriving  # half of it, rounded up
        spikes[t] = potential > threshold
        potential[spikes[t] == 1] = 0
    return spikes


def currents_of(layer: Layer, spikes: NDArray[np.uint8]) -> Whole:
    """What ``layer`` makes of spikes (T, C, H, W); of a product, its coincidences without their weight."""
    if isinstance(layer, Convolution):
        return _convolved(layer, spikes)
    if isinstance(layer, Blocks):
        return _mixed(layer, spikes)
    assert isinstance(layer, Coincidences)
    return layer.counts(spikes)


def _convolved(layer: Convolution, spikes: NDArray[np.uint8]) -> Whole:
    kernel, edge, step = layer.weight.shape[2:], layer.padding, layer.stride
    padded = np.pad(spikes, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))[:, :, ::step, ::step]
    steps, _, height, width = windows.shape[:4]
    rows = windows.reshape(steps, layer.groups, -1, height, width, *kernel).transpose(1, 0, 3, 4, 2, 5, 6)
    matrix = layer.weight.reshape(layer.groups, len(layer.weight) // layer.groups, -1)
    sums = _product(rows.reshape(layer.groups, steps * height * width, -1), matrix)
    maps = sums.reshape(layer.groups, steps, height, width, -1).transpose(1, 0, 4, 2, 3)
    return maps.reshape(steps, -1, height, width) + layer.bias.reshape(-1, 1, 1)


def _mixed(layer: Blocks, spikes: NDArray[np.uint8]) -> Whole:
    """Level by level, see ``BlockMap``."""
    blocks, (steps, channels, height, width), (t, y, x) = layer.block_map, spikes.shape, layer.sides
    groups = blocks.kernels.shape[1]
    split = spikes.reshape(steps // t, t, groups, -1, height // y, y, width // x, x)
    cells = split.transpose(2, 0, 4, 6, 1, 5, 7, 3).reshape(groups, -1, t * y * x, channels // groups)
    order = np.ravel_multi_index(tuple(blocks.members.T), layer.sides)
    mixed = np.empty((*cells.shape[:3], blocks.kernels.shape[3]), np.int64)
    mixed[:, :, order] = _by_level(blocks, cells[:, :, order])
    back = mixed.reshape(groups, steps // t, height // y, width // x, t, y, x, -1).transpose(1, 4, 0, 7, 2, 5, 3, 6)
    return back.reshape(steps, -1, height, width) + layer.bias.reshape(-1, 1, 1)


def _by_level(blocks: BlockMap, spikes: NDArray[np.uint8]) -> Whole:
    """Currents (groups, blocks, members, out) of spikes (groups, blocks, members, in)."""
    (groups, count, members, inner), children = spikes.shape, blocks.children
    outer = blocks.kernels.shape[3]
    result = np.zeros((groups, count, members, outer), np.int64)
    for level, kernel in enumerate(blocks.kernels):
        below = children**level
        sums = spikes.reshape(groups, -1, children, below, inner).sum(axis=3, dtype=np.int64)
        matrix = kernel.reshape(groups, children * outer, children * inner)
        sent = _product(sums.reshape(groups, -1, children * inner), matrix, most=below)
        result += np.repeat(sent.reshape(groups, -1, children, 1, outer), below, axis=3).reshape(result.shape)
    return result


def _product(rows: NDArray[Any], matrix: Whole, most: int = 1) -> Whole:
    """``rows`` (groups, n, in), of whole numbers from 0 to ``most``, times ``matrix`` (groups, out, in), transposed.

    Every partial sum is a whole number below that of all magnitudes, which the arithmetic holds.
    """
    largest = most * int(np.abs(matrix).sum(axis=-1).max(initial=0))
    dtype = np.float32 if largest < 2**24 else np.float64 if largest < 2**53 else np.int64
    return (rows.astype(dtype) @ matrix.swapaxes(1, 2).astype(dtype)).astype(np.int64)
