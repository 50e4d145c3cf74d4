"""How many packets the spikes become on a mesh of cores: one packet per spike and destination core."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deploy.energy.amounts import Amount, between, exact
from deploy.energy.placement import Placement
from export.synaptic.counts import LayerCounts, NetworkCounts

Edges = Sequence[tuple[str, str]]


def arriving_packets(counts: NetworkCounts, placement: Placement) -> list[Amount]:
    """Packets per recording that arrive at each placed population.

    A spike reaches between one and all cores of a population. At least: a packet serves at most the neurons of one
    core. At most, and nominal: each spike of a source goes to every core of the population, as it does when a
    population is split in storage order (channel by channel), but no packet arrives without a synaptic operation.
    Where the edges of the network are not known, every population counts as a source.
    """
    return [_arriving(index, counts, placement) for index in range(len(placement.layers))]


def _arriving(index: int, counts: NetworkCounts, placement: Placement) -> Amount:
    layer = placement.layers[index]
    per_core = placement.shares[index].max() * layer.neurons
    most = np.minimum(layer.synops, placement.cores_of(index) * _source_spikes(layer, counts))
    least = np.minimum(layer.synops / per_core, most)
    return between(least, most, most)


def _source_spikes(layer: LayerCounts, counts: NetworkCounts) -> NDArray[np.float64]:
    """(samples,) spikes of all populations that reach ``layer``."""
    sources = {source for source, destination in counts.edges if destination == layer.name}
    spikes = [other.spikes for other in counts.layers if not counts.edges or other.name in sources]
    return np.sum(spikes, axis=0) if spikes else np.zeros(counts.samples)


def hops(packets: Amount, placement: Placement) -> Amount:
    """Hops between tiles of a chip: none (same tile), the mean of the mesh in use, or its diameter, per packet."""
    product: Amount = packets * np.array([[0.0], [placement.mean_hops], [placement.max_hops]])
    return product


def crossings(packets: Sequence[Amount], placement: Placement) -> Amount:
    """Packets that leave their chip: none on one chip; at most all, nominally those that go to a random chip."""
    total = np.sum(packets, axis=0) if packets else exact(0.0)
    share = 1 - 1 / placement.chips
    result: Amount = total * np.array([[0.0], [share], [min(1.0, placement.chips - 1.0)]])
    return result
