"""What stands in the weights of linear nodes."""

from collections.abc import Iterable

import nir
import numpy as np
from numpy.typing import NDArray

from export.encoder.work import weight_bits
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
