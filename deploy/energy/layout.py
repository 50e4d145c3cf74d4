"""Where a network lies on the cores of a platform, and what that makes of its spikes.

With the synapses of the network at hand the traffic is counted (``deploy.energy.mapping``); from the counts alone it is
bounded, since they do not tell which neurons feed which.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.energy.amounts import Amount, exact
from deploy.energy.mapping.mapping import Mapping
from deploy.energy.mapping.traffic import traffic
from deploy.energy.placement import Check, Fit, Placement
from deploy.energy.traffic import arriving_packets, crossings, hops
from export.synaptic.counts import LayerCounts, NetworkCounts
from export.synaptic.populations import SynapseNetwork
from hardware_profiles.schema import Limits


@dataclass(frozen=True)
class Routed:
    """Traffic that is charged to one layer, per recording."""

    layer: str
    packets: Amount
    """Spikes delivered to a core."""
    hops: Amount | None
    """Steps from tile to tile; ``None`` where no source states how the tiles are joined."""


@dataclass(frozen=True)
class Layout:
    """Populations on cores with their traffic, per recording."""

    placement: Placement
    routed: tuple[Routed, ...]
    crossings: Amount
    """Packets that leave their chip, once per link between chips."""
    core_synops: Amount
    """(3, samples, cores) synaptic operations."""
    core_packets: Amount
    """(3, samples, cores) packets that arrive."""

    @property
    def layers(self) -> tuple[LayerCounts, ...]:
        """The placed populations."""
        return self.placement.layers


def bounded_layout(counts: NetworkCounts, placement: Placement, limits: Limits) -> Layout:
    """Traffic bounded from the counts alone; a population's events are spread over its cores by neurons."""
    packets = arriving_packets(counts, placement)
    known = limits.mesh_columns is not None or placement.tiles == 1
    routed = tuple(
        Routed(layer.layer, each, hops(each, placement) if known else None)
        for layer, each in zip(placement.layers, packets, strict=True)
    )
    synops = np.stack([layer.synops for layer in placement.layers]).T @ placement.shares
    arriving = np.stack(packets).transpose(1, 2, 0) @ placement.shares
    return Layout(placement, routed, crossings(packets, placement), np.broadcast_to(synops, arriving.shape), arriving)


def counted_layout(counts: NetworkCounts, synapses: SynapseNetwork, mapping: Mapping, placement: Placement) -> Layout:
    """Traffic counted spike by spike. A core's share of it is that of the mean over the recordings."""
    sent = traffic(counts, synapses, mapping)
    routed = tuple(
        Routed(layer.layer, exact(sent.packets[layer.name]), exact(sent.hops[layer.name]) if sent.hops else None)
        for layer in counts.layers
    )
    synops = np.sum([layer.synops for layer in counts.layers], axis=0)
    return Layout(
        placement,
        routed,
        exact(sent.total("crossings")),
        _on_cores(sent.core_synops, synops),
        _on_cores(sent.core_packets, sent.total("packets")),
    )


def _on_cores(mean: NDArray[np.float64], total: NDArray[np.float64]) -> Amount:
    """(3, samples, cores) from the mean (cores,) and the totals (samples,)."""
    average = float(total.mean())
    share = total / average if average else np.zeros(len(total))
    return np.broadcast_to(np.outer(share, mean), (3, len(total), len(mean)))


def fit_of(mapping: Mapping, counts: NetworkCounts) -> Fit:
    """A mapping in the terms of the model; without a placement where a limit is broken."""
    checks = tuple(Check(each.limit, each.busiest, each.allowed, each.fits, each.where) for each in mapping.checks)
    fits = all(check.fits == "yes" for check in checks)
    return Fit(checks, _placement_of(mapping, counts) if fits else None)


def _placement_of(mapping: Mapping, counts: NetworkCounts) -> Placement:
    by_name = {layer.name: layer for layer in counts.layers}
    columns, rows = mapping.mesh_in_use or (mapping.tiles, 1)
    limit = "neurons" if mapping.mean_neurons_used > mapping.mean_memory_used else "synapse memory"
    return Placement(
        layers=tuple(by_name[name] for name in mapping.populations),
        shares=mapping.shares,
        cores=mapping.cores,
        tiles=mapping.tiles,
        chips=mapping.chips,
        neurons_used=mapping.mean_neurons_used,
        memory_used=mapping.mean_memory_used,
        full_by={limit: mapping.cores},
        mesh=(columns, rows),
    )
