"""Machines whose cores wait for each other at the end of every time step (Loihi)."""

from collections.abc import Sequence

import numpy as np

from deploy.energy.amounts import Amount, exact, priced
from deploy.energy.ann_network import AnnNetwork
from deploy.energy.assessment import Assessment
from deploy.energy.event_cores import assess_on_cores
from deploy.energy.latency import Latency, unstated
from deploy.energy.mapping.placement import Placement
from deploy.energy.mapping.traffic import Events, Traffic, population_shares
from export.synaptic.counts import NetworkCounts
from export.synaptic.populations import SynapseNetwork
from hardware_profiles.loader import LoadedProfile
from hardware_profiles.prices import SIGNIFICANT_SHARE, Price, barrier_price, price, weakest
from hardware_profiles.schema import Profile
from hardware_profiles.terms import Kind, TimeTerm


def assess(
    loaded: LoadedProfile, counts: NetworkCounts, networks: Sequence[AnnNetwork], synapses: SynapseNetwork | None
) -> Assessment:
    """Assess the spiking network on such a machine."""
    return assess_on_cores(loaded, counts, networks, synapses, barrier_latency)


def barrier_latency(profile: Profile, counts: NetworkCounts, placement: Placement, traffic: Traffic) -> Latency:
    """The steps of a recording, each as long as its busiest core and the barrier.

    ``t = steps * t_barrier + max over cores of sum over terms of events * t_term``, as SANA-FE does (Boyle et al.
    2025, doi 10.1109/TCAD.2025.3537971), with the events of a recording averaged over its steps: the true sum of
    per-step maxima is not smaller. The last frame enters at step T, so the code follows ``latency + 1`` steps after
    the window. Terms without a published time make it a lower bound; with none at all it is refused.
    """
    loads = core_loads(counts, placement, traffic)
    prices = {term: price(profile.time.get(term, ())) for term in loads}
    barrier = barrier_price(profile.time.get("barrier", ()), placement.tiles)
    untimed = [term for term in loads if prices[term] is None and loads[term].any()]
    untimed += [] if barrier else ["barrier"]
    times = {term: load * _column(prices[term]) for term, load in loads.items() if prices[term] is not None}
    if not barrier and not times:
        return Latency(refused=unstated("how long a step takes"))
    on_cores = np.sum(list(times.values()), axis=0) if times else np.zeros((3, counts.samples, placement.cores))
    waiting = _waiting(barrier, counts)
    busy = waiting + on_cores.max(axis=2)
    kinds = _grades(times, prices, on_cores, waiting, barrier)
    return Latency(busy, busy * (counts.latency + 1) / counts.steps, weakest(kinds), tuple(untimed))


def core_loads(counts: NetworkCounts, placement: Placement, traffic: Traffic) -> dict[TimeTerm, Amount]:
    """Events per term, (3, samples, cores): a population's updates and spikes are spread over its cores by neurons."""
    shares = population_shares(counts, placement)
    own: dict[TimeTerm, list[Amount]] = {
        "neuron_update_active": [exact(layer.active_updates) for layer in counts.layers],
        "neuron_update_inactive": [exact(layer.inactive_updates) for layer in counts.layers],
        "spike_out": [exact(layer.spikes) for layer in counts.layers],
    }
    spread = {term: Events(np.stack(amounts, axis=-1), shares).on_cores() for term, amounts in own.items()}
    return {"synop": traffic.synops.on_cores(), **spread, "packet": traffic.received.on_cores()}


def _waiting(barrier: Price | None, counts: NetworkCounts) -> Amount:
    steps = exact(np.full(counts.samples, counts.steps))
    return priced(steps, barrier.corners if barrier else (0.0, 0.0, 0.0))


def _column(band: Price | None) -> Amount:
    return np.asarray(band.corners if band else (0.0, 0.0, 0.0))[:, None, None]


def _grades(
    times: dict[TimeTerm, Amount],
    prices: dict[TimeTerm, Price | None],
    on_cores: Amount,
    waiting: Amount,
    barrier: Price | None,
) -> list[Kind]:
    """Kinds of the terms that carry a significant share of the nominal time at the busiest core."""
    nominal = on_cores[1].mean(axis=0)
    busiest = int(nominal.argmax())
    total = nominal[busiest] + waiting[1].mean()
    shares = {term: time[1, :, busiest].mean() / total for term, time in times.items()} if total else {}
    kinds = [band.kind for term, band in prices.items() if band and shares.get(term, 0.0) > SIGNIFICANT_SHARE]
    if barrier and (not kinds or waiting[1].mean() / total > SIGNIFICANT_SHARE):
        kinds.append(barrier.kind)
    return kinds or ["assumed"]
