"""Synapses without delays, for machines that have none: a spike that has to wait passes through relay neurons.

On a machine in time steps every synapse takes one step. What has to take more, since the graph delays it or since
other ways to the same population are longer, goes through a chain of neurons that spike a step after their input.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from export.nir.stepwise.dynamics import Dynamics
from export.synaptic.populations import Population, Projection, SynapseNetwork
from export.synaptic.schedule import Schedule

SUFFIX = ", later by "
"""Between the name of a population and the steps by which its relays lag behind it."""


def with_relays(network: SynapseNetwork, timing: Schedule) -> SynapseNetwork:
    """The same network with synapses of one machine step each, and relays in the place of longer ones.

    Of each population only those neurons are relayed whose spikes have to wait; all that they reach share the chain.
    Readouts, which are no part of the machine, are left out, and empty projections with them.

    Args:
        network: as ``export.synaptic.lowering.lower`` makes it; what it relays are spikes, not graded values.
        timing: of the same network.
    """
    populations: list[Population] = []
    projections: list[Projection] = []
    for population in network.populations:
        if population.kind == "readout":
            continue
        leaving = [each for each in network.leaving[population.name] if _is_kept(network, each)]
        chain = list(_chain(population, _waits(population, leaving, timing)))
        populations += [relays for relays, _ in chain]
        projections += _links(chain)
        for part in leaving:
            relays, held = chain[timing.hops(part) - 1]
            weights = sparse.csr_matrix(part.weights.tocsc()[:, held])
            projections.append(replace(part, source=relays.name, weights=weights, delay=0))
    return SynapseNetwork(tuple(populations), tuple(projections))


_Stage = tuple[Population, NDArray[np.int64]]
"""Relays, and of which neurons of the population at the head of the chain they are."""


def _is_kept(network: SynapseNetwork, part: Projection) -> bool:
    return bool(part.weights.nnz) and network.by_name[part.target].kind != "readout"


def _waits(population: Population, leaving: list[Projection], timing: Schedule) -> NDArray[np.int64]:
    """(neurons,) the most steps that a spike of each takes to a target; 0 where it has none."""
    waits = np.zeros(population.neurons, np.int64)
    for part in leaving:
        used = np.unique(part.weights.indices)
        waits[used] = np.maximum(waits[used], timing.hops(part))
    return waits


def _chain(population: Population, waits: NDArray[np.int64]) -> Iterator[_Stage]:
    """The population itself, then its relays step by step."""
    yield population, np.arange(population.neurons)
    for lag in range(1, int(waits.max(initial=0))):
        held = np.flatnonzero(waits > lag)
        name = f"{population.name}{SUFFIX}{lag}"
        yield Population(name, population.layer, "threshold", (len(held),), rule=relay_rule(len(held))), held


def _links(chain: list[_Stage]) -> Iterator[Projection]:
    """From each stage to the next, one synapse per relay."""
    for (before, among), (after, held) in pairwise(chain):
        places = (np.arange(len(held)), np.searchsorted(among, held))
        weights = sparse.csr_matrix((np.ones(len(held)), places), shape=(len(held), len(among)))
        yield Projection(before.name, after.name, weights)


def relay_rule(neurons: int) -> Dynamics:
    """Neurons without memory that spike where one spike of weight 1 arrives."""
    ones, zeros = np.ones(neurons), np.zeros(neurons)
    return Dynamics(ones, ones, zeros, ones / 2, zeros)
