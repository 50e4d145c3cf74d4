"""What every core holds under a given assignment, recounted from the synapses: independent of how it was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from export.synaptic.populations import SynapseNetwork

Cores = NDArray[np.int64]
"""(neurons,) number of each neuron's core."""


@dataclass(frozen=True)
class CoreUse:
    """Arrays (cores,)."""

    neurons: NDArray[np.int64]
    synapse_bytes: NDArray[np.float64]
    in_axons: NDArray[np.int64]
    """Distinct neurons (or inputs) that send to the core, its own included: one axon serves all synapses there."""
    out_axons: NDArray[np.int64]
    """One per neuron on the core and core that it sends to, its own included."""


def core_use(network: SynapseNetwork, core_of: Mapping[str, Cores], synapse_bits: int) -> CoreUse:
    """Recount what the cores hold. Populations that are not in ``core_of`` (inputs) live on the host."""
    cores = 1 + max(int(numbers.max()) for numbers in core_of.values())
    neurons, synapses = np.zeros(cores, np.int64), np.zeros(cores)
    in_axons, out_axons = np.zeros(cores, np.int64), np.zeros(cores, np.int64)
    for name, numbers in core_of.items():
        neurons += np.bincount(numbers, minlength=cores)
        synapses += np.bincount(numbers, network.fan_in(name), minlength=cores)
    for population in network.populations:
        reached = destinations(network, population.name, core_of, cores)
        in_axons += np.diff(reached.indptr)
        if population.name in core_of:
            axons = np.bincount(reached.indices, minlength=population.neurons)
            out_axons += np.bincount(core_of[population.name], axons, minlength=cores).astype(np.int64)
    return CoreUse(neurons, synapses * synapse_bits / 8, in_axons, out_axons)


def destinations(network: SynapseNetwork, name: str, core_of: Mapping[str, Cores], cores: int) -> sparse.csr_matrix:
    """(cores, neurons) synapses that each neuron of population ``name`` has on each core; stored where there are any.

    Targets that are not in ``core_of`` are left out.
    """
    parts = [
        _on_cores(projection.weights, core_of[projection.target], cores)
        for projection in network.leaving[name]
        if projection.target in core_of
    ]
    return summed(parts, (cores, network.by_name[name].neurons))


def summed(parts: Sequence[sparse.csr_matrix], shape: tuple[int, int], kind: type = float) -> sparse.csr_matrix:
    """All ``parts`` added up, nothing where there are none: an empty matrix to begin with would be one copy more."""
    return sum(parts[1:], parts[0]) if parts else sparse.csr_matrix(shape, dtype=kind)


def _on_cores(weights: sparse.csr_matrix, core_of: Cores, cores: int) -> sparse.csr_matrix:
    """Rows of ``weights`` that live on the same core, added up as counts of synapses."""
    targets = len(core_of)
    where = sparse.csr_matrix((np.ones(targets), (core_of, np.arange(targets))), shape=(cores, targets))
    synapses = sparse.csr_matrix((np.ones(weights.nnz), weights.indices, weights.indptr), shape=weights.shape)
    return sparse.csr_matrix(where @ synapses)
