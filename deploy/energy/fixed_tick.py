"""Machines whose time steps last one tick of a clock, whatever there is to do (TrueNorth, SpiNNaker, Tianjic)."""

from collections.abc import Iterator, Sequence

import numpy as np

from deploy.energy.amounts import Amount, exact, priced
from deploy.energy.ann_network import AnnNetwork
from deploy.energy.assessment import Assessment
from deploy.energy.event_cores import assess_on_cores
from deploy.energy.latency import Latency, unstated
from deploy.energy.mapping.placement import Placement
from deploy.energy.mapping.traffic import Traffic
from deploy.energy.wording import si
from export.synaptic.counts import NetworkCounts
from export.synaptic.populations import SynapseNetwork
from hardware_profiles.loader import LoadedProfile
from hardware_profiles.prices import Price, price, weakest
from hardware_profiles.schema import Profile


def assess(
    loaded: LoadedProfile, counts: NetworkCounts, networks: Sequence[AnnNetwork], synapses: SynapseNetwork | None
) -> Assessment:
    """Assess the spiking network on such a machine."""
    return assess_on_cores(loaded, counts, networks, synapses, tick_latency)


def tick_latency(profile: Profile, counts: NetworkCounts, _: Placement, traffic: Traffic) -> Latency:
    """``steps * t_tick``, or longer where the work of a step does not fit into a tick.

    The work of a step is the synaptic operations of its busiest core or chip over the published rate of one, a
    recording's operations being averaged over its steps. Machines whose tick is set by software run it slower then,
    and the code is late: ``note`` says so.
    """
    tick = price(profile.time.get("tick", ()))
    if tick is None:
        return Latency(refused=unstated("how long a tick lasts"))
    given = priced(exact(np.ones(counts.samples)), tick.corners)
    kinds, step, note = [tick.kind], given, ""
    for name, rate, events in _busiest(profile, traffic):
        work = events / counts.steps / _rates(rate)
        if (work[1] > step[1]).any():
            kinds.append(rate.kind)
            note = f"the busiest {name} needs {si(float(work[1].max()), 's')} for a step: the tick stretches"
        step = np.maximum(step, work)
    return Latency(step * counts.steps, step * (counts.latency + 1), weakest(kinds), note=note)


def _busiest(profile: Profile, traffic: Traffic) -> Iterator[tuple[str, Price, Amount]]:
    """(core or chip, its rate, (3, samples) synaptic operations of the busiest one) where a rate is published."""
    on_cores = traffic.synops.on_cores()
    of_core, of_chip = (price(profile.rate.get(term, ())) for term in ("synop_core", "synop_chip"))
    if of_core:
        yield "core", of_core, on_cores.max(axis=2)
    if of_chip and profile.limits.cores_per_chip:
        starts = np.arange(0, on_cores.shape[2], profile.limits.cores_per_chip.value)
        yield "chip", of_chip, np.add.reduceat(on_cores, starts, axis=2).max(axis=2)


def _rates(rate: Price) -> Amount:
    """Rates by corner of the time: the highest rate takes the least time."""
    return np.asarray(rate.corners[::-1])[:, None]
