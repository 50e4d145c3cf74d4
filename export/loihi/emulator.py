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
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from export.encoder.certificate import Bound, certify
from export.encoder.executor import population_names
from export.encoder.graph import Graph
from export.encoder.node import Map, Node
from export.encoder.operations import Lif, Output
from export.encoder.passes.quantise import streams
from export.loihi.arithmetic import LARGEST_POTENTIAL, SHIFT, Integers, NeuronState
from export.loihi.planes import WEIGHT_EXPONENT, planes
from export.loihi.registers import LARGEST_THRESHOLD
from spikinghash.errors import GraphError

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
    """Runs an integer graph, nothing lowered, in Loihi's arithmetic: exact sums, neurons in int64.

    Args:
        graph: the encoder, batch normalisation folded.

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
        self.synapses = {name: _synapses(node, name, extra.get(name, 0)) for name, node in graph.find(Map)}
        self.neurons = {name: _neurons(graph, name, node, extra[name]) for name, node in graph.find(Lif)}

    def trace(self, frames: Bits) -> LoihiTrace:
        """Codes of binary frames (B, T, 2, H, W), and the spikes of the layers that ``GraphExecutor.trace`` names."""
        values: dict[str, NDArray[np.integer]] = {}
        for name, node in self.graph.nodes.items():
            sources = [values[source] for source in self.graph.sources(name)]
            values[name] = self._evaluate(name, node, sources or [np.moveaxis(frames, 0, 1)])
        traced = {name: values[name] for name in population_names(self.graph)}
        for name in traced.keys() & self.synapses.keys():
            traced[name] = values[name] // _shifted(*self.synapses[name])
        codes = np.packbits(values[self.graph.only(Output)[0]].astype(np.uint8), axis=1)
        return LoihiTrace(codes, {name: np.moveaxis(value, 0, 1) for name, value in traced.items()})

    def _evaluate(self, name: str, node: Node, sources: list[NDArray[np.integer]]) -> NDArray[np.integer]:
        total = sum(sources[1:], start=sources[0])
        if isinstance(node, Lif):
            registers = self.neurons[name]
            bias = registers.bias_mantissa << registers.bias_exponent
            return lif_steps(total.astype(np.int64), registers.threshold, bias)
        if not isinstance(node, Map):
            return node.evaluate(name, torch.from_numpy(total)).numpy()
        mantissa, exponent = self.synapses[name]
        return _shifted(_accumulate(node, mantissa, total), exponent)


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


def _synapses(node: Map, name: str, extra: int) -> StoredWeights:
    weights = np.asarray(node.weight)
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
        if isinstance(source, Map) and source.bias is not None:
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


def _accumulate(node: Map, mantissa: Integers, spikes: NDArray[np.integer]) -> Integers:
    """Sums of the mantissas over the spikes (T, B, C, H, W): (T, B, *shape of the node).

    In float64, whose 53 bits hold all of them: the certificate bounds them by 24.
    """
    arriving = torch.from_numpy(np.ascontiguousarray(spikes)).double()
    return node.currents(arriving, torch.as_tensor(mantissa).double()).numpy().astype(np.int64)
