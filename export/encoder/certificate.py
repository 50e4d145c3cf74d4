"""Worst-case numbers: how many bits the membrane potentials of an integer graph can need."""

import math
from dataclasses import asdict, dataclass

import numpy as np

from export.encoder.graph import Graph
from export.encoder.node import Array, Linear, Node
from export.encoder.operations import Attention, Conv, Dense, Lif, WaveMixer
from spikinghash.errors import GraphError

MANTISSA = {"float32": 24, "float64": 53}


@dataclass(frozen=True)
class Bound:
    """Worst case of one population, from the weights alone."""

    population: str
    lowest: float
    """Smallest current a that any input can cause in one step."""
    highest: float
    """Largest current."""
    bits: int
    """Bits that hold every intermediate value of the neuron exactly."""


@dataclass(frozen=True)
class Certificate:
    """What is exact in which arithmetic. Inside it, all correct backends give the same codes bit for bit."""

    bounds: tuple[Bound, ...]
    bits: int
    """The largest of ``bounds``."""
    exact_in: str
    """``float32``, ``float64`` or ``not certified``."""

    def as_dict(self) -> dict[str, object]:
        """For metadata and reports."""
        return asdict(self)

    def __str__(self) -> str:
        worst = max(self.bounds, key=lambda bound: bound.bits)
        verdict = f"exact in {self.exact_in}" if self.exact_in in MANTISSA else "not certified"
        widest = f"widest: {worst.population}, currents {worst.lowest:g} to {worst.highest:g}"
        return f"{verdict}: at most {self.bits} bits ({widest})"


def certify(graph: Graph) -> Certificate:
    """The certificate of an integer graph.

    A neuron that last reset n steps ago holds ``sum_k a_{t-k} 2^-k``: a whole number and n - 1 fractional bits. Its
    magnitude stays below ``2 max |a|``. Simulators also form ``i - v`` with ``i = 2 a``, so that is what must fit.

    Raises:
        GraphError: a weight or bias is not a whole number, or a threshold lies where a potential can land.
    """
    bounds = tuple(_bound(graph, name, node) for name, node in graph.find(Lif))
    bits = max(bound.bits for bound in bounds)
    exact = next((name for name, mantissa in MANTISSA.items() if bits <= mantissa), "not certified")
    return Certificate(bounds, bits, exact)


def _bound(graph: Graph, name: str, lif: Lif) -> Bound:
    lowest, highest = np.zeros(1), np.zeros(1)
    for source in graph.sources(name):
        least, greatest = current_range(graph.nodes[source], source)
        lowest, highest = lowest + least, highest + greatest
    low, high = float(lowest.min()), float(highest.max())
    if not math.isclose(lif.threshold % 1.0, 2.0 ** -(graph.time_steps + 1), rel_tol=0, abs_tol=0):
        raise GraphError(
            f"node {name}: threshold {lif.threshold!r} is no whole number + 2^-{graph.time_steps + 1}: "
            "a potential could land on it, and > and >= would part"
        )
    magnitude = 4.0 * max(-low, high)
    whole = max(1, math.ceil(math.log2(magnitude + 1)))
    threshold_bits = math.ceil(math.log2(lif.threshold + 1)) + graph.time_steps + 1
    return Bound(name, low, high, max(whole + graph.time_steps - 1, threshold_bits))


def current_range(node: Node, name: str) -> tuple[Array, Array]:
    """Least and greatest current per output channel over all binary inputs, each of shape (C,) or (1,).

    Exact for a pixel far from the border; a bound elsewhere.
    """
    if isinstance(node, Attention):
        width, tokens = node.shape[0] // node.heads, node.shape[1] * node.shape[2]
        _require_whole(name, np.array([node.weight]))
        return np.zeros(1), np.array([node.weight * width * tokens])
    if not isinstance(node, Linear):
        raise GraphError(f"node {name}: a {type(node).__name__} sends no current: only linear maps drive a LIF")
    rows = _rows(node, name)
    bias = np.zeros(1) if node.bias is None else node.bias
    _require_whole(name, rows, bias)
    return np.minimum(rows, 0).sum(-1).min(-1) + bias, np.maximum(rows, 0).sum(-1).max(-1) + bias


def _rows(node: Linear, name: str) -> Array:
    """Weights as (channels, neurons of a channel that differ in weights, fan-in)."""
    if isinstance(node, WaveMixer):
        return node.weight.reshape(node.shape[0], 8**node.levels, -1)
    if isinstance(node, Conv):
        return node.weight.reshape(node.weight.shape[0], 1, -1)
    if isinstance(node, Dense):
        channels, height, width = node.shape
        return node.weight.reshape(channels, height * width, -1)
    raise GraphError(f"node {name}: certificates are made before the time blocks are lowered")


def _require_whole(name: str, *values: Array) -> None:
    for value in values:
        if np.any(value != np.round(value)):
            fraction = float(value[value != np.round(value)].flat[0])
            raise GraphError(f"node {name}: weight or bias {fraction!r} is no whole number: quantise the graph first")
