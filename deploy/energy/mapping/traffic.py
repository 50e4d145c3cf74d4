"""Spike traffic under a mapping, from traced spikes: one packet per spike and destination core.

A spike is sent once to every core that holds a target of its neuron (the neuron's own core included), whatever the
number of its synapses there. Inputs enter at the first tile of the first chip.

The mean over the recordings is exact. The value of a single recording is the spikes of its populations times the mean
number of packets (hops, crossings) per spike of each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from deploy.energy.mapping.mapping import Mapping
from deploy.energy.mapping.mesh import chip_places, distances, tile_places
from deploy.energy.mapping.usage import destinations
from export.synaptic.counts import LayerCounts, NetworkCounts
from export.synaptic.populations import SynapseNetwork
from spikinghash.errors import GraphError

Sampled = NDArray[np.float64]
"""(samples,)."""
_UNITS = ("packets", "hops", "crossings")


@dataclass(frozen=True)
class Traffic:
    """By the population that sends, per recording; and by core, mean per recording."""

    packets: dict[str, Sampled]
    """One per spike and destination core."""
    hops: dict[str, Sampled] | None
    """Steps from tile to tile, summed over the packets; ``None`` where the profile describes no mesh."""
    crossings: dict[str, Sampled]
    """Links between chips, summed over the packets."""
    core_packets: NDArray[np.float64]
    """(cores,) packets that arrive."""
    core_synops: NDArray[np.float64]
    """(cores,) synaptic operations."""
    core_spikes: NDArray[np.float64]
    """(cores,) spikes that leave."""

    def total(self, unit: str) -> Sampled:
        """(samples,) ``packets``, ``hops`` or ``crossings`` of the whole network."""
        values = getattr(self, unit)
        if values is None:
            raise ValueError("the platform describes no mesh: there are no hops")
        return np.asarray(sum(values.values()))


def traffic(counts: NetworkCounts, network: SynapseNetwork, mapping: Mapping) -> Traffic:
    """The traffic of the traced recordings.

    Raises:
        GraphError: the counts come from another network, or were written without the spikes of each neuron.
    """
    spikes = {layer.name: _neuron_spikes(layer, network, counts) for layer in counts.layers}
    cores, capacities = mapping.cores, mapping.capacities
    chips, tiles = chip_places(cores, capacities), tile_places(cores, capacities)
    sent: dict[str, dict[str, Sampled]] = {unit: {} for unit in _UNITS}
    arriving, synops, leaving = np.zeros(cores), np.zeros(cores), np.zeros(cores)
    for layer in counts.layers:
        reached = destinations(network, layer.name, mapping.core_of, cores)
        mean = spikes[layer.name] / counts.samples
        axons = sparse.csr_matrix((np.ones(reached.nnz), reached.indices, reached.indptr), shape=reached.shape)
        arriving += axons @ mean
        synops += reached @ mean
        home = mapping.core_of.get(layer.name)
        if home is not None:
            leaving += np.bincount(home, mean, minlength=cores)
        routes = _routes(axons, mean, home)
        sent["packets"][layer.name] = _spread(layer, routes.sum())
        sent["crossings"][layer.name] = _spread(layer, _travelled(routes, chips))
        if tiles is not None:
            sent["hops"][layer.name] = _spread(layer, _travelled(routes, tiles))
    hops = None if tiles is None else sent["hops"]
    return Traffic(sent["packets"], hops, sent["crossings"], arriving, synops, leaving)


def _neuron_spikes(layer: LayerCounts, network: SynapseNetwork, counts: NetworkCounts) -> NDArray[np.float64]:
    population = network.by_name.get(layer.name)
    if population is None or population.neurons != layer.neurons:
        raise GraphError(f"counts of {counts.network}: layer {layer.name} is not of this network: trace it again")
    if layer.neuron_spikes is None:
        raise GraphError(
            f"counts of {counts.network}: layer {layer.name} lacks the spikes of each neuron, which older versions did "
            "not write: trace the network again"
        )
    return np.asarray(layer.neuron_spikes, np.float64)


def _routes(axons: sparse.csr_matrix, mean: Sampled, home: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """(destination cores, source cores) packets per recording; inputs count as sent from core 0."""
    cores, neurons = axons.shape
    home = np.zeros(neurons, np.int64) if home is None else home
    where = sparse.csr_matrix((mean, (np.arange(neurons), home)), shape=(neurons, cores))
    routes: NDArray[np.float64] = (axons @ where).toarray()
    return routes


def _travelled(routes: NDArray[np.float64], places: NDArray[np.int64]) -> float:
    return sum(
        float(routes[:, core] @ distances(places, places[core])) for core in np.flatnonzero(routes.any(axis=0)).tolist()
    )


def _spread(layer: LayerCounts, mean: float) -> Sampled:
    """A mean over the recordings shared out by the population's spikes in each."""
    average = float(layer.spikes.mean())
    share = layer.spikes / average if average else np.zeros(len(layer.spikes))
    return np.asarray(mean * share)
