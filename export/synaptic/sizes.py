"""How much a population stores and what it would compute densely, from its nodes."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from export.encoder.natural import FLOAT_BITS, weight_bits
from export.nir.metadata import Metadata
from export.nir.synapse_matrix import LINEAR_NODES, output_shape
from export.synaptic.populations import Population


def stored_weights(nodes: Iterable[nir.NIRNode]) -> NDArray[np.float64]:
    """The weights of linear nodes that are not zero, each kernel once."""
    values = [np.ravel(getattr(node, "weight", getattr(node, "scale", ()))) for node in nodes]
    joined = np.concatenate([np.zeros(0), *values])
    return joined[joined != 0]


def widest_weight(maps: Iterable[tuple[Population, NDArray[np.float64]]]) -> int:
    """Bits of the widest weight among several maps, each with the population that it starts from.

    What comes from a single neuron is a bias, which chips keep in a register of the neuron: it does not count.
    """
    return max((weight_bits(weights) for source, weights in maps if source.neurons > 1), default=1)


def dense_macs(node: nir.NIRNode) -> int:
    """Multiply-accumulates of a linear node in one step if nothing were sparse: taps on the padding count."""
    if not isinstance(node, LINEAR_NODES) or isinstance(node, nir.Flatten):
        return 0
    positions = math.prod(output_shape(node)[1:])
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return positions * int(node.weight.size)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        kernel = np.broadcast_to(np.ravel(node.kernel_size), 2)
        return math.prod(output_shape(node)) * int(np.prod(kernel))
    return int(np.size(getattr(node, "weight", getattr(node, "scale", ()))))


def state_bits(population: Population, node: nir.NIRNode | None, metadata: Metadata, graded: bool = False) -> int:
    """What one neuron keeps from a step to the next: none without memory, one value per step of a delay.

    A value is a bit, or, if ``graded``, a current of the layer that the delay serves.

    A membrane potential has the worst-case bits of the encoder's certificate: those of its layer, or the largest for
    helpers that the certificate does not name; 32 without a certificate. An attention starts anew in every step.
    """
    if isinstance(node, nir.Delay):
        return int(np.round(np.max(node.delay) / metadata.dt)) * (_current_bits(population, metadata) if graded else 1)
    if population.kind in ("input", "threshold", "attention", "readout") or _forgets(population):
        return 0
    certificate: Mapping[str, Any] = metadata.certificate or {"bounds": [], "bits": FLOAT_BITS}
    bounds = {str(bound["population"]): int(bound["bits"]) for bound in certificate["bounds"]}
    return bounds.get(population.name, bounds.get(population.layer, int(certificate["bits"])))


def _forgets(population: Population) -> bool:
    rule = population.rule
    return rule is not None and rule.current_decay is None and bool((rule.decay == 1).all())


def _current_bits(population: Population, metadata: Metadata) -> int:
    currents = {each.name: each.current_bits for each in metadata.work.neurons} if metadata.work else {}
    return currents.get(population.layer, FLOAT_BITS)
