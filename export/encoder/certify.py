"""Worst-case numbers: how many bits the membrane potentials of an integer graph can need."""

import math

import numpy as np

from export.encoder.certificate import MANTISSA, Bound, Certificate
from export.encoder.graph import Graph
from export.encoder.node import Map
from export.encoder.operations import Lif
from spikinghash.errors import GraphError


def certify(graph: Graph) -> Certificate:
    """The certificate of an integer graph.

    A neuron that last reset n steps ago holds ``sum_k a_{t-k} 2^-k``: a whole number and n - 1 fractional bits. Its
    magnitude stays below ``2 max |a|``. Simulators also form ``i - v`` with ``i = 2 a``, so that is what must fit. So
    must all sums on the way to a, in whatever order its synapses and biases are added: large ones may cancel out.

    Raises:
        GraphError: a weight or bias is not a whole number, or a threshold lies where a potential can land.
    """
    bounds = tuple(_bound(graph, name, node) for name, node in graph.find(Lif))
    bits = max(bound.bits for bound in bounds)
    exact = next((name for name, mantissa in MANTISSA.items() if bits <= mantissa), "not certified")
    return Certificate(bounds, bits, exact)


def _bound(graph: Graph, name: str, lif: Lif) -> Bound:
    lowest = highest = below = above = np.zeros(1)
    for source in graph.sources(name):
        node = graph.nodes[source]
        least, greatest = node.current_range(source)
        bias = node.bias if isinstance(node, Map) and node.bias is not None else np.zeros(1)
        lowest, highest = lowest + least, highest + greatest
        below, above = below + least - np.maximum(bias, 0), above + greatest - np.minimum(bias, 0)
    low, high = float(lowest.min()), float(highest.max())
    if not math.isclose(lif.threshold % 1.0, 2.0 ** -(graph.time_steps + 1), rel_tol=0, abs_tol=0):
        raise GraphError(
            f"node {name}: threshold {lif.threshold!r} is no whole number + 2^-{graph.time_steps + 1}: "
            "a potential could land on it, and > and >= would part"
        )
    whole = max(1, _bits(4.0 * max(-low, high)))
    threshold_bits = math.ceil(math.log2(lif.threshold + 1)) + graph.time_steps + 1
    partial_bits = _bits(max(-float(below.min()), float(above.max())))
    return Bound(name, low, high, max(whole + graph.time_steps - 1, threshold_bits, partial_bits))


def _bits(magnitude: float) -> int:
    """Bits of the whole numbers up to ``magnitude``."""
    return int(magnitude).bit_length()
