"""Time per recording: how long the platform works, and how long after the last event the code is there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deploy.energy.amounts import Amount, exact, priced
from deploy.energy.placement import Placement
from export.counts import NetworkCounts
from hardware_profiles.prices import Price, barrier_price, price, weakest
from hardware_profiles.schema import Kind, Profile, TimeTerm

SIGNIFICANT_SHARE = 0.05
"""Terms below this share of a total do not lower its grade."""


@dataclass(frozen=True)
class Latency:
    """Seconds per recording. ``busy`` and ``response`` are ``None`` when ``refused`` says why."""

    busy: Amount | None = None
    """All steps of the window and of the drain, back to back."""
    response: Amount | None = None
    """From the end of the window to the code."""
    kind: Kind | None = None
    untimed: tuple[str, ...] = ()
    """Terms without a published time: the latency is then a lower bound."""
    refused: str = ""


def barrier_latency(
    profile: Profile, counts: NetworkCounts, placement: Placement, packets: Sequence[Amount]
) -> Latency:
    """A machine whose cores wait for each other at the end of every step.

    ``t = steps * t_barrier + max over cores of sum over terms of events * t_term``, as SANA-FE does (Boyle et al.
    2025, doi 10.1109/TCAD.2025.3537971), with the events of a recording averaged over its steps: the true sum of
    per-step maxima is not smaller. The last frame enters at step T, so the code follows ``latency + 1`` steps after
    the window.
    """
    loads = _core_loads(counts, placement, packets)
    prices = {term: price(profile.time.get(term, ())) for term in loads}
    barrier = barrier_price(profile.time.get("barrier", ()), placement.tiles)
    untimed = tuple(term for term in loads if prices[term] is None and loads[term].any())
    times = {term: load * _column(prices[term]) for term, load in loads.items() if prices[term] is not None}
    on_cores = np.sum(list(times.values()), axis=0) if times else np.zeros((3, counts.samples, placement.cores))
    waiting = (
        priced(exact(np.full(counts.samples, counts.steps)), barrier.corners)
        if barrier
        else exact(np.zeros(counts.samples))
    )
    busy = waiting + on_cores.max(axis=2)
    kinds = _grades(times, prices, on_cores, waiting, barrier)
    response = busy * (counts.latency + 1) / counts.steps
    return Latency(busy, response, weakest(kinds), untimed if barrier else (*untimed, "barrier"))


def _core_loads(counts: NetworkCounts, placement: Placement, packets: Sequence[Amount]) -> dict[TimeTerm, Amount]:
    """Events per term, (3, samples, cores): each population's events are spread over its cores by neurons."""
    layers = placement.layers
    active = np.stack([layer.active_updates for layer in layers])
    updates = np.array([[float(layer.neurons * layer.steps)] for layer in layers])
    events: dict[TimeTerm, Amount] = {
        "synop": np.stack([layer.synops for layer in layers]),
        "neuron_update_active": active,
        "neuron_update_inactive": updates - active,
        "spike_out": np.stack([layer.spikes for layer in layers]),
    }
    loads = {
        term: np.broadcast_to(each.T @ placement.shares, (3, counts.samples, placement.cores))
        for term, each in events.items()
    }
    loads["packet"] = np.stack(packets).transpose(1, 2, 0) @ placement.shares
    return loads


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


def clocked_latency(profile: Profile, operations: Amount) -> Latency:
    """A clocked machine that is never short of operands: ``operations / (lanes * f)``, a lower bound.

    Refused where no source states the clock or the number of operations per cycle.
    """
    cycle = price(profile.time.get("cycle", ()))
    if cycle is None or profile.limits.lanes is None:
        missing = [
            name for name, known in (("clock", cycle), ("operations per cycle", profile.limits.lanes)) if not known
        ]
        return Latency(refused=f"no source states its {' and its '.join(missing)}")
    busy = priced(operations / profile.limits.lanes.value, cycle.corners)
    return Latency(busy, busy, weakest([cycle.kind, profile.limits.lanes.kind]), ("memory",))
