"""What the spikes of a network become on its cores: one packet per spike and destination core.

A spike is sent once to every core that holds a target of its neuron (the neuron's own core included), whatever the
number of its synapses there. Inputs enter at the first tile of the first chip.

With the synapses at hand the traffic is counted: the mean over the recordings is exact, and the value of a single
recording is the spikes of its populations times the mean number of packets (hops, crossings) per spike of each. From
the counts alone it is bounded, since they do not tell which neurons feed which.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from deploy.energy.amounts import Amount, between, exact
from deploy.energy.mapping.mesh import chip_places, distances, tile_places
from deploy.energy.mapping.placement import Placement
from deploy.energy.mapping.usage import destinations
from export.synaptic.counts import LayerCounts, NetworkCounts
from export.synaptic.populations import SynapseNetwork
from spikinghash.errors import GraphError


@dataclass(frozen=True)
class Events:
    """Events that the populations of a network cause on its cores."""

    amount: Amount
    """(3, samples, populations) in a recording."""
    share: NDArray[np.float64]
    """(populations, cores); a row adds up to 1, or to 0 where there are no events."""

    def on_cores(self, part: NDArray[np.float64] | float = 1.0) -> Amount:
        """(3, samples, cores); of those of each population only ``part`` (populations,)."""
        return np.asarray(self.amount * part @ self.share)


@dataclass(frozen=True)
class Traffic:
    """Per recording. Amounts by population are (3, samples); events are in the order of the counts' layers."""

    packets: Mapping[str, Amount]
    """Spikes delivered to a core, by the population that sends them, or by the one that receives where bounded."""
    hops: Mapping[str, Amount] | None
    """Steps from tile to tile, summed over the packets; ``None`` where the profile describes no mesh."""
    crossings: Mapping[str, Amount]
    """Links between chips, summed over the packets."""
    synops: Events
    received: Events
    """Packets, on the cores where they arrive."""
    sent: Events
    """Packets, on the cores that they leave; inputs come from the host."""


def counted_traffic(counts: NetworkCounts, network: SynapseNetwork, placement: Placement) -> Traffic:
    """The traffic of the traced recordings, spike by spike.

    Raises:
        GraphError: the counts come from another network, or were written without the spikes of each neuron.
    """
    ways = [_Way.of(layer, counts, network, placement) for layer in counts.layers]
    cores, capacities = placement.cores, placement.capacities
    tiles, chips = tile_places(cores, capacities), chip_places(cores, capacities)

    def by_sender(amount: Callable[[_Way], float]) -> dict[str, Amount]:
        return {layer.name: _spread(layer, amount(way)) for layer, way in zip(counts.layers, ways, strict=True)}

    return Traffic(
        packets=by_sender(lambda way: float(way.routes.sum())),
        hops=None if tiles is None else by_sender(lambda way: way.travelled(tiles)),
        crossings=by_sender(lambda way: way.travelled(chips)),
        synops=_events(counts, [way.synops for way in ways]),
        received=_events(counts, [np.ravel(way.routes.sum(axis=1)) for way in ways]),
        sent=_events(counts, [np.ravel(way.routes.sum(axis=0)) * way.on_chip for way in ways]),
    )


@dataclass(frozen=True)
class _Way:
    """What one population sends, mean over the recordings."""

    routes: sparse.csr_matrix
    """(destination cores, source cores) packets; inputs count as sent from core 0. Few cores talk to each other."""
    synops: NDArray[np.float64]
    """(cores,)."""
    on_chip: bool
    """Whether the population lives on cores."""

    @staticmethod
    def of(layer: LayerCounts, counts: NetworkCounts, network: SynapseNetwork, placement: Placement) -> "_Way":
        mean = _neuron_spikes(layer, counts, network) / counts.samples
        reached = destinations(network, layer.name, placement.core_of, placement.cores)
        axons = sparse.csr_matrix((np.ones(reached.nnz), reached.indices, reached.indptr), shape=reached.shape)
        home = placement.core_of.get(layer.name)
        at = np.zeros(layer.neurons, np.int64) if home is None else home
        where = sparse.csr_matrix((mean, (np.arange(layer.neurons), at)), shape=(layer.neurons, placement.cores))
        return _Way(sparse.csr_matrix(axons @ where), reached @ mean, home is not None)

    def travelled(self, places: NDArray[np.int64]) -> float:
        """Distance between ``places`` (cores, 2), summed over the packets."""
        routes = self.routes.tocoo()
        return float(routes.data @ distances(places[routes.row], places[routes.col]))


def _neuron_spikes(layer: LayerCounts, counts: NetworkCounts, network: SynapseNetwork) -> NDArray[np.float64]:
    population = network.by_name.get(layer.name)
    if population is None or population.neurons != layer.neurons:
        raise GraphError(f"counts of {counts.network}: layer {layer.name} is not of this network: trace it again")
    if layer.neuron_spikes is None:
        raise GraphError(
            f"counts of {counts.network}: layer {layer.name} lacks the spikes of each neuron, which older versions did "
            "not write: trace the network again"
        )
    return np.asarray(layer.neuron_spikes, np.float64)


def _spread(layer: LayerCounts, mean: float) -> Amount:
    """A mean over the recordings shared out by the population's spikes in each."""
    average = float(layer.spikes.mean())
    return exact(mean * layer.spikes / average if average else 0 * layer.spikes)


def _events(counts: NetworkCounts, means: Sequence[NDArray[np.float64]]) -> Events:
    """From the mean (cores,) that each population causes."""
    amount = np.stack([_spread(layer, mean.sum()) for layer, mean in zip(counts.layers, means, strict=True)], axis=-1)
    return Events(amount, _normed(np.stack(means)))


def _normed(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    totals = rows.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(rows, totals, out=np.zeros_like(rows), where=totals > 0))


def bounded_traffic(counts: NetworkCounts, placement: Placement) -> Traffic:
    """The traffic as far as counts tell; a population's events are spread over its cores by neurons.

    A spike reaches between one and all cores of a population. At least: a packet serves at most the neurons of one
    core. At most, and nominal: each spike of a source goes to every core of the population, as it does when a
    population is split in storage order (channel by channel), but no packet arrives without a synaptic operation.
    Where the edges of the network are not known, every population counts as a source.
    """
    packets = {layer.name: _arriving(layer, counts, placement) for layer in counts.layers}
    shares = population_shares(counts, placement)
    arriving = Events(np.stack(list(packets.values()), axis=-1), shares)
    mean, most = placement.mean_hops, placement.max_hops
    hops = None if mean is None or most is None else {name: _times(each, mean, most) for name, each in packets.items()}
    crossing = 1 - 1 / placement.chips
    return Traffic(
        packets=packets,
        hops=hops,
        crossings={name: _times(each, crossing, min(1.0, placement.chips - 1.0)) for name, each in packets.items()},
        synops=Events(np.stack([exact(layer.synops) for layer in counts.layers], axis=-1), shares),
        received=arriving,
        sent=Events(
            arriving.amount, _normed(np.stack([_source_shares(layer, counts, shares) for layer in counts.layers]))
        ),
    )


def population_shares(counts: NetworkCounts, placement: Placement) -> NDArray[np.float64]:
    """(populations, cores) share of each layer's neurons on each core; zeros for inputs."""
    rows = dict(zip(placement.populations, placement.shares, strict=True))
    return np.stack([rows.get(layer.name, np.zeros(placement.cores)) for layer in counts.layers])


def _arriving(layer: LayerCounts, counts: NetworkCounts, placement: Placement) -> Amount:
    if layer.name not in placement.populations:
        return exact(np.zeros(counts.samples))
    per_core = placement.held[placement.populations.index(layer.name)].max()
    spikes = [counts.layers[source].spikes for source in _sources(layer, counts)]
    sent = np.sum(spikes, axis=0) if spikes else np.zeros(counts.samples)
    most = np.minimum(layer.synops, placement.cores_of(layer.name) * sent)
    return between(np.minimum(layer.synops / per_core, most), most, most)


def _sources(layer: LayerCounts, counts: NetworkCounts) -> list[int]:
    """Numbers of the populations that may send to ``layer``."""
    known = {source for source, destination in counts.edges if destination == layer.name}
    return [index for index, other in enumerate(counts.layers) if not counts.edges or other.name in known]


def _source_shares(layer: LayerCounts, counts: NetworkCounts, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """(cores,) where the spikes that reach ``layer`` come from."""
    rows = [float(counts.layers[source].spikes.mean()) * shares[source] for source in _sources(layer, counts)]
    return np.sum(rows, axis=0) if rows else np.zeros(shares.shape[1])


def _times(packets: Amount, nominal: float, high: float) -> Amount:
    """None at least, ``nominal`` and at most ``high`` for each packet."""
    return np.asarray(packets * np.array([[0.0], [nominal], [high]]))
