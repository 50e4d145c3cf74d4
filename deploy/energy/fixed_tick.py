"""Machines whose time steps last one tick of a clock, whatever there is to do (TrueNorth, SpiNNaker, Tianjic)."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from deploy.energy.amounts import Amount, exact, priced, time_at
from deploy.energy.latency import Latency, unstated
from deploy.energy.mapping.placement import Placement
from deploy.energy.mapping.traffic import Traffic
from deploy.energy.stepped import activity, latency_of
from deploy.energy.wording import si
from export.synaptic.counts import NetworkCounts
from hardware_profiles.prices import Price, price
from hardware_profiles.schema import Profile


def tick_latency(profile: Profile, counts: NetworkCounts, _: Placement, traffic: Traffic) -> Latency:
    """A tick per machine step, or longer where the work of the step does not fit into one.

    The work of a step is the synaptic operations of its busiest core or chip over the published rate of one. Machines
    whose tick is set by software run it slower then, and the code is late: ``note`` says so.
    """
    tick = price(profile.time.get("tick", ()))
    if tick is None:
        return Latency(refused=unstated("how long a tick lasts"))
    kinds, note = [tick.kind], ""
    lengths = [priced(exact(np.ones(counts.samples)), tick.corners)] * counts.machine_steps
    for name, rate, groups in _rates(profile):
        works = [time_at(rate.corners, _busiest(traffic, part, groups)) for part in activity(counts)]
        if any((work[1] > length[1]).any() for work, length in zip(works, lengths, strict=True)):
            kinds.append(rate.kind)
            longest = max(float(work[1].max()) for work in works)
            note = f"the busiest {name} needs {si(longest, 's')} for a step: the tick stretches"
        lengths = [np.maximum(*pair) for pair in zip(works, lengths, strict=True)]
    return latency_of(lengths, counts, kinds, note=note)


def _rates(profile: Profile) -> Iterator[tuple[str, Price, int]]:
    """(core or chip, its published rate, how many cores it has)."""
    of_core, of_chip = (price(profile.rate.get(term, ())) for term in ("synop_core", "synop_chip"))
    if of_core:
        yield "core", of_core, 1
    if of_chip and profile.limits.cores_per_chip:
        yield "chip", of_chip, profile.limits.cores_per_chip.value


def _busiest(traffic: Traffic, part: NDArray[np.float64], cores: int) -> Amount:
    """(3, samples) synaptic operations in one step of the busiest group of ``cores`` cores."""
    on_cores = traffic.synops.on_cores(part)
    groups = np.add.reduceat(on_cores, np.arange(0, on_cores.shape[2], cores), axis=2)
    return np.asarray(groups.max(axis=2))
