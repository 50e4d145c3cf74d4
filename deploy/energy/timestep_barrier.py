"""Machines whose cores wait for each other at the end of every time step (Loihi)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.energy.amounts import Amount, exact
from deploy.energy.latency import Latency, unstated
from deploy.energy.mapping.placement import Placement
from deploy.energy.mapping.traffic import Events, Traffic, population_shares
from deploy.energy.stepped import activity, latency_of
from export.synaptic.counts import NetworkCounts
from hardware_profiles.prices import SIGNIFICANT_SHARE, Price, barrier_price, price
from hardware_profiles.schema import Profile
from hardware_profiles.terms import Kind, TimeTerm


def barrier_latency(profile: Profile, counts: NetworkCounts, placement: Placement, traffic: Traffic) -> Latency:
    """The machine steps of a recording, each as long as its busiest core and the barrier.

    ``t_step = max over cores of max(sending, receiving) + t_barrier``, as SANA-FE's simple model does (Boyle et al.
    2025, doi 10.1109/TCAD.2025.3537971): a core receives while it sends. Sending is the updates of its neurons, their
    spikes and the packets that leave; receiving is the packets that arrive, the way of one of them over the mesh, and
    their synaptic operations. Terms without a published time make it a lower bound; with none at all it is refused.
    """
    work = _Work.of(profile, counts, placement, traffic)
    barrier = barrier_price(profile.time.get("barrier", ()), placement.tiles)
    if not barrier and not any(work.prices.values()):
        return Latency(refused=unstated("how long a step takes"))
    untimed = [term for term, events in work.totals.items() if work.prices[term] is None and events.any()]
    lengths = [_with_barrier(work.length(part), barrier) for part in activity(counts)]
    kinds = _grades(work, barrier, float(np.mean([length[1].mean() for length in lengths])), counts.machine_steps)
    return latency_of(lengths, counts, kinds, [*untimed, *([] if barrier else ["barrier"])])


def _with_barrier(work: Amount, barrier: Price | None) -> Amount:
    """A step: work and barrier, or no less than a measured step that held both."""
    if barrier is None:
        return work
    whole = np.asarray(barrier.corners)[:, None]
    return np.maximum(work + barrier.low, whole) if barrier.whole_step else work + whole


@dataclass(frozen=True)
class _Work:
    """What cores do in the steps of a recording."""

    prices: dict[TimeTerm, Price | None]
    sending: dict[TimeTerm, Events]
    receiving: dict[TimeTerm, Events]
    swept: Amount
    """(3, 1, cores) neurons, each of which is updated in every step."""
    way: float
    """Mean hops of a packet."""
    totals: dict[TimeTerm, Amount]
    """(3, samples, cores) per recording."""

    @staticmethod
    def of(profile: Profile, counts: NetworkCounts, placement: Placement, traffic: Traffic) -> "_Work":
        shares = population_shares(counts, placement)
        own: dict[TimeTerm, list[Amount]] = {
            "neuron_update_active": [exact(layer.active_updates) for layer in counts.layers],
            "spike_out": [exact(layer.spikes) for layer in counts.layers],
        }
        sending = {term: Events(np.stack(amounts, axis=-1), shares) for term, amounts in own.items()}
        sending["packet_out"] = traffic.sent
        receiving: dict[TimeTerm, Events] = {"packet": traffic.received, "synop": traffic.synops}
        swept = np.tile(placement.held.sum(axis=0), (3, 1, 1)).astype(float)
        totals = {term: events.on_cores() for term, events in (receiving | sending).items()}
        totals["neuron_update_inactive"] = swept * counts.machine_steps - totals["neuron_update_active"]
        totals["hop"] = exact(_mean_way(traffic))
        prices = {term: price(profile.time.get(term, ())) for term in totals}
        return _Work(prices, sending, receiving, swept, float(totals["hop"][1, 0]), totals)

    def length(self, part: NDArray[np.float64]) -> Amount:
        """(3, samples) seconds of work in a step that sees ``part`` (populations,) of each population's events."""
        idle = self._corners("neuron_update_inactive")
        active = self.sending["neuron_update_active"].on_cores(part)
        sending = self._phase(self.sending, part) + idle * (self.swept - active)
        receiving = self._phase(self.receiving, part) + self.way * self._corners("hop")
        return np.asarray(np.maximum(sending, receiving).max(axis=2))

    def _phase(self, events: dict[TimeTerm, Events], part: NDArray[np.float64]) -> Amount:
        return np.asarray(sum(each.on_cores(part) * self._corners(term) for term, each in events.items()))

    def _corners(self, term: TimeTerm) -> Amount:
        """(3, 1, 1); zeros where no time is published."""
        known = self.prices[term]
        return np.asarray(known.corners if known else (0.0, 0.0, 0.0))[:, None, None]


def _mean_way(traffic: Traffic) -> float:
    packets = sum(float(each[1].sum()) for each in traffic.packets.values())
    return sum(float(each[1].sum()) for each in (traffic.hops or {}).values()) / packets if packets else 0.0


def _grades(work: _Work, barrier: Price | None, step: float, steps: int) -> list[Kind]:
    """Kinds of the terms that carry a significant share of the nominal time at the core that has most of it."""
    times = {
        term: events[1].mean(axis=0) * band.nominal
        for term, events in work.totals.items()
        if (band := work.prices[term]) and term != "hop"
    }
    busiest = int(np.argmax(sum(times.values()))) if times else 0
    shares: dict[TimeTerm, float] = {term: float(time[busiest]) / (step * steps) for term, time in times.items()}
    kinds = [band.kind for term, band in work.prices.items() if band and shares.get(term, 0.0) > SIGNIFICANT_SHARE]
    if barrier and (not kinds or barrier.nominal / step > SIGNIFICANT_SHARE):
        kinds.append(barrier.kind)
    return kinds or ["assumed"]
