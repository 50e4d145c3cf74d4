"""Machines without time steps: every event is handled as it comes (Speck, analogue chips)."""

from graphlib import TopologicalSorter

import numpy as np

from deploy.energy.amounts import Amount, exact, priced, time_at
from deploy.energy.latency import Latency, unstated
from deploy.energy.mapping.placement import Placement
from deploy.energy.mapping.traffic import Traffic
from deploy.energy.wording import si
from export.synaptic.counts import NetworkCounts
from hardware_profiles.prices import Price, price, weakest
from hardware_profiles.schema import Profile


def event_latency(profile: Profile, counts: NetworkCounts, _: Placement, traffic: Traffic) -> Latency:
    """The last event's way through the layers; work at the rate of the busiest core.

    ``response = depth * t_layer``. ``busy`` is the time that the busiest core needs for its synaptic operations at
    its published rate, plus the response. A core that gets more per second than it keeps up with loses events:
    refused.
    """
    layer_time = price(profile.time.get("layer", ()))
    if layer_time is None:
        return Latency(refused=unstated("how long an event takes through a layer"))
    response = priced(exact(np.full(counts.samples, float(depth(counts)))), layer_time.corners)
    rate = price(profile.rate.get("synop_core", ()))
    if rate is None:
        return Latency(response, response, layer_time.kind, ("synop",))
    busiest = traffic.synops.on_cores().max(axis=2)
    lost = _saturation(busiest, rate, counts.window_us * 1e-6)
    if lost:
        return Latency(refused=lost)
    busy = time_at(rate.corners, busiest) + response
    return Latency(busy, response, weakest([layer_time.kind, rate.kind]))


def _saturation(busiest: Amount, rate: Price, window_s: float) -> str:
    wanted = float(busiest[1].max()) / window_s
    if wanted <= rate.high:
        return ""
    return (
        f"saturated: the busiest core gets {si(wanted, 'SOP/s')} in the densest recording, it keeps up with "
        f"{si(rate.high, 'SOP/s')}"
    )


def depth(counts: NetworkCounts) -> int:
    """Populations on the longest path from the input; all of them where the edges are not known."""
    names = {layer.name for layer in counts.layers if layer.kind != "input"}
    if not counts.edges:
        return len(names)
    sources: dict[str, set[str]] = {name: set() for name in names}
    for source, destination in counts.edges:
        if destination in names and source != destination:
            sources[destination].add(source)
    depths: dict[str, int] = {}
    for name in TopologicalSorter(sources).static_order():
        depths[name] = max((depths[source] for source in sources.get(name, ())), default=0) + (name in names)
    return max(depths.values(), default=0)
