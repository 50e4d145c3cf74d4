"""The integer network in Loihi's fixed-point arithmetic, as Lava 0.10's bit-accurate models compute it.

How the network is laid into Loihi's registers:

- **Weights.** As ``export.loihi.planes`` stores them, one synapse each.
- **Grid.** f extra bits per residual stream: 1 where the worst-case potential leaves room in 24 bits, 0 elsewhere.
  Potentials then have 6 + f fractional bits, 6 of them from the shift of currents and thresholds. A neuron that last
  reset n steps ago needs n - 1 to be exact, so windows of T <= 7 + f steps give the spikes of the integer network, and
  longer ones drift by truncation.
- **Thresholds.** ``vth = floor(threshold) 2^f``: the potentials of the integer network are multiples of 2^-(T-1), so
  that none lies between the whole number and its threshold 2^-(T+1) above.
- **Biases.** ``bias_mant`` is the sum of the biases that reach a neuron, ``bias_exp = 6 + f``.

Attention is carried out by coincidence gates, which have no memory and are exact: their counts are formed in integers.

``network_emulator`` runs lowered graphs, and shares neurons, weights and limits with this one. They step differently: a
lowered graph may hold cycles and goes step by step; this one goes layer by layer, all steps of a layer at once, which
the blocks in time of a wave mixer need and which makes thousands of recordings affordable.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from export.encoder.certificate import Bound, certify
from export.encoder.graph import Graph
from export.encoder.node import Array, Linear, Node
from export.encoder.operations import Attention, Conv, Counter, Dense, Input, Lif, Output, WaveMixer
from export.encoder.passes.quantise import streams
from export.loihi.arithmetic import LARGEST_POTENTIAL, SHIFT, Integers, NeuronState
from export.loihi.planes import WEIGHT_EXPONENT, planes
from export.loihi.registers import LARGEST_THRESHOLD
from spikinghash.errors import GraphError
from training.model.wave_mixer import from_blocks, to_blocks

Bits = NDArray[np.uint8]

BIAS_MANTISSA = range(-(2**12), 2**12)
HALF = 2048
"""The decay dv of ``v <- v/2 + a``."""


class StoredWeights(NamedTuple):
    """Weights ``mantissa * 2^exponent`` as Loihi stores them."""

    mantissa: Integers
    """Even, in [-254, 254]; shape of the node's weights."""
    exponent: int
    """weight_exp."""


class LayerRegisters(NamedTuple):
    """Registers of a population."""

    threshold: int
    """vth: spikes where ``v > vth << 6``."""
    bias_mantissa: Integers
    """(C, 1, 1)."""
    bias_exponent: int


class LoihiTrace(NamedTuple):
    """What ``LoihiEmulator.trace`` returns."""

    codes: Bits
    """Packed, (B, K/8), first bit most significant."""
    spikes: dict[str, NDArray[np.integer]]
    """(B, T, C, H, W) by layer; coincidence counts for an attention."""


def lif_steps(current: Integers, threshold: int, bias: Integers | int = 0, decay: int = HALF) -> Bits:
    """Spikes of neurons without current memory (du = 4095) that start at rest.

    ``v <- clip(tz(v (4096 - dv) / 4096) + wrap(a << 6) + bias); s = v > (vth << 6); v <- (1 - s) v``, where tz
    truncates toward zero (``PyLifModelBitAcc`` of Lava 0.10).

    Args:
        current: a at each step, (T, ...).
        threshold: vth.
        bias: ``bias_mant << bias_exp``, added at every step.
        decay: dv, in 4096ths per step.
    """
    neurons = NeuronState(current.shape[1:], decay, threshold, bias)
    return np.stack([neurons.step(a) for a in current]).astype(np.uint8)


class LoihiEmulator:
    """Runs an integer graph, nothing lowered, in Loihi's arithmetic: int64 throughout, no floating point.

    Args:
        graph: of ``Input``, ``Lif``, ``Conv``, ``Dense``, ``WaveMixer``, ``Attention``, ``Counter`` and ``Output``.

    Attributes:
        synapses: registers of each linear map, by node name.
        neurons: registers of each population, by node name.

    Raises:
        GraphError: the graph is not an integer one, or a register is too small for its worst case: the layer, the
            actual value and the limit are named. So no run can overflow, whatever its frames.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        bounds = {bound.population: bound for bound in certify(graph).bounds}
        extra = _extra_bits(graph, bounds)
        self.synapses = {name: _synapses(node, name, extra.get(name, 0)) for name, node in _linear(graph)}
        self.neurons = {name: _neurons(graph, name, node, extra[name]) for name, node in graph.find(Lif)}

    def trace(self, frames: Bits) -> LoihiTrace:
        """Codes of binary frames (B, T, 2, H, W), and the spikes of the layers that ``GraphExecutor.trace`` names."""
        values: dict[str, NDArray[np.integer]] = {}
        for name, node in self.graph.nodes.items():
            sources = [values[source] for source in self.graph.sources(name)]
            values[name] = self._evaluate(name, node, sources, frames)
        traced = {name: values[name] for name, node in self.graph.nodes.items() if isinstance(node, Lif)}
        for name, _ in self.graph.find(Attention):
            traced[name] = values[name] // _shifted(*self.synapses[name])
        codes = np.packbits(values[self.graph.only(Output)[0]].astype(np.uint8), axis=1)
        return LoihiTrace(codes, {name: np.moveaxis(value, 0, 1) for name, value in traced.items()})

    def _evaluate(self, name: str, node: Node, sources: list[NDArray[np.integer]], frames: Bits) -> NDArray[np.integer]:
        if isinstance(node, Input):
            return np.moveaxis(frames, 0, 1)
        total = sum(sources[1:], start=sources[0])
        if isinstance(node, Lif):
            registers = self.neurons[name]
            bias = registers.bias_mantissa << registers.bias_exponent
            return lif_steps(total.astype(np.int64), registers.threshold, bias)
        if isinstance(node, Counter):
            return (total.sum(axis=0) >= node.votes).reshape(total.shape[1], -1)
        if isinstance(node, Output):
            return total
        mantissa, exponent = self.synapses[name]
        return _shifted(_accumulate(node, mantissa, total), exponent)


def _linear(graph: Graph) -> Iterator[tuple[str, Linear | Attention]]:
    for name, node in graph.nodes.items():
        if isinstance(node, Linear | Attention):
            yield name, node


def _extra_bits(graph: Graph, bounds: dict[str, Bound]) -> dict[str, int]:
    """The f of each map and population, one per stream, since a map may drive several of its populations."""
    extra: dict[str, int] = {}
    for stream in streams(graph):
        worst = max(stream.neurons, key=lambda name: _peak(bounds[name]))
        peak = _peak(bounds[worst]) << SHIFT
        if peak > LARGEST_POTENTIAL:
            raise GraphError(
                f"node {worst}: its potential can reach {peak}, Loihi's 24 bits hold {LARGEST_POTENTIAL}: "
                f"quantise with largest_bits={17 + graph.time_steps} or less"
            )
        extra |= dict.fromkeys((*stream.maps, *stream.neurons), int(2 * peak <= LARGEST_POTENTIAL))
    return extra


def _peak(bound: Bound) -> int:
    """Limit of ``|sum_k a_{t-k} 2^-k|``. The synaptic current alone stays below it too: it is a less its bias."""
    return math.ceil(2 * max(-bound.lowest, bound.highest))


def _weights(node: Linear | Attention) -> Array:
    if isinstance(node, Attention):
        return np.array(node.weight)
    return node.weight


def _synapses(node: Linear | Attention, name: str, extra: int) -> StoredWeights:
    weights = _weights(node)
    on_grid = sparse.csr_matrix(np.reshape(weights, (1, -1)).astype(np.int64) << extra)
    try:
        (plane,) = planes(on_grid)
    except ValueError:  # two, or more than two hold
        raise GraphError(
            f"node {name}: weights up to {np.abs(weights).max():g} do not fit int8 times a power of two, at most "
            f"2^{WEIGHT_EXPONENT[-1] + 1 - extra}: quantise first"
        ) from None
    return StoredWeights(plane.mantissa.toarray().reshape(np.shape(weights)), plane.exponent)


def _neurons(graph: Graph, name: str, lif: Lif, extra: int) -> LayerRegisters:
    threshold = math.floor(lif.threshold) << extra
    if threshold > LARGEST_THRESHOLD:
        raise GraphError(
            f"node {name}: threshold {threshold}, Loihi's are at most {LARGEST_THRESHOLD}: quantise it coarser"
        )
    bias = np.zeros(lif.shape[0], np.int64)
    for source in map(graph.nodes.__getitem__, graph.sources(name)):
        if isinstance(source, Linear) and source.bias is not None:
            bias += source.bias.astype(np.int64)
    largest = int(bias[np.abs(bias).argmax()])
    if largest not in BIAS_MANTISSA:
        raise GraphError(
            f"node {name}: bias {largest}, Loihi's are {BIAS_MANTISSA[0]} to {BIAS_MANTISSA[-1]}: quantise it coarser"
        )
    return LayerRegisters(threshold, bias.reshape(-1, 1, 1), SHIFT + extra)


def _shifted(accumulated: Integers, exponent: int) -> Integers:
    """Sums of mantissas as currents. Mantissas are even: a shift to the right by one loses nothing."""
    return accumulated << exponent if exponent > 0 else accumulated >> -exponent


def _accumulate(node: Node, mantissa: Integers, spikes: NDArray[np.integer]) -> Integers:
    """Sums of the mantissas over the spikes (T, B, C, H, W): (T, B, *shape of the node)."""
    if isinstance(node, Attention):
        return mantissa * _coincidences(node, spikes)
    steps, samples = spikes.shape[:2]
    if isinstance(node, Dense):
        fan_in = math.prod(node.source_shape)
        rows = spikes.reshape(-1, fan_in)
        return _synaptic_sum(rows, mantissa.reshape(-1, fan_in)).reshape(steps, samples, *node.shape)
    if isinstance(node, Conv):
        currents = _convolve(node, mantissa, spikes.reshape(-1, *node.source))
        return currents.reshape(steps, samples, *node.shape)
    assert isinstance(node, WaveMixer)
    blocks = to_blocks(torch.from_numpy(np.ascontiguousarray(spikes)), node.levels, len(mantissa)).numpy()
    mixed = np.stack([_synaptic_sum(rows, weight) for rows, weight in zip(blocks, mantissa, strict=True)])
    return from_blocks(torch.from_numpy(mixed), torch.Size(spikes.shape), node.levels).numpy()


def _synaptic_sum(rows: NDArray[np.integer], weight: Integers) -> Integers:
    """Spikes (N, fan-in) by weights (out, fan-in): (N, out). Only spikes cost time, as in the hardware."""
    return np.asarray(sparse.csr_array(rows).astype(np.int64) @ np.ascontiguousarray(weight.T))


def _convolve(node: Conv, mantissa: Integers, spikes: NDArray[np.integer]) -> Integers:
    """Convolve spikes (N, C, H, W) with ``mantissa``: (N, out, H', W')."""
    out, _, *kernel = mantissa.shape
    border = (node.padding, node.padding)
    padded = np.pad(spikes, ((0, 0), (0, 0), border, border))
    windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(kernel), axis=(2, 3))
    strided = windows[:, :, :: node.stride, :: node.stride].transpose(0, 2, 3, 1, 4, 5)
    currents = _synaptic_sum(strided.reshape(-1, mantissa[0].size), mantissa.reshape(out, -1))
    return currents.reshape(len(spikes), *node.shape[1:], out).transpose(0, 3, 1, 2)


def _coincidences(node: Attention, qkv: NDArray[np.integer]) -> Integers:
    """``(V K^T) Q`` per time step and head; ``qkv`` holds q, k and v as thirds of its channels."""
    steps, samples, _, height, width = qkv.shape
    shape = (steps, samples, 3, node.heads, node.shape[0] // node.heads, height * width)
    q, k, v = np.moveaxis(qkv.astype(np.int64).reshape(shape), 2, 0)
    return (v @ k.swapaxes(-1, -2) @ q).reshape(steps, samples, *node.shape)
