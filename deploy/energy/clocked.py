"""Accelerators: arithmetic units beside memories, so many operations per cycle of a clock."""

from collections.abc import Iterator, Sequence

from deploy.energy.accelerator import SCHEDULES, Schedule, ann_charges, operations, spiking_charges
from deploy.energy.amounts import Amount, priced
from deploy.energy.ann_network import AnnNetwork
from deploy.energy.assessment import SPIKING, Assessment, Scenario, latency_refusals, lowered_only, standing
from deploy.energy.break_even import BreakEven, break_even
from deploy.energy.latency import Latency, unstated
from export.synaptic.counts import NetworkCounts
from hardware_profiles.loader import LoadedProfile
from hardware_profiles.prices import price, weakest
from hardware_profiles.schema import Profile

SCHEDULE_LABELS: dict[Schedule, str] = {
    "all steps": "all steps of a layer per weight fetch",
    "step by step": "a step at a time",
    "per operation": "operands fetched each time",
}


def assess(loaded: LoadedProfile, counts: NetworkCounts, networks: Sequence[AnnNetwork]) -> Assessment:
    """Price the spiking network, as it was before it was lowered, and the ANNs under every schedule."""
    profile = loaded.profile
    scenarios: list[Scenario] = []
    latencies: dict[str, Latency] = {}
    for schedule in SCHEDULES:
        jobs = [(network.label, ann_charges(profile, network, schedule)) for network in networks]
        if counts.natural is not None:
            jobs.insert(0, (SPIKING, spiking_charges(profile, counts.natural, counts.time_steps, schedule)))
        for network, charges in jobs:
            latency = latencies[network] = clocked_latency(profile, operations(charges))
            basis = SCHEDULE_LABELS[schedule]
            scenarios += standing(profile, network, basis, charges, latency, 1, counts.window_us)
    break_evens = tuple(_break_evens(scenarios, counts))
    refusals = [*latency_refusals(latencies), *lowered_only(counts)]
    return Assessment(loaded, None, latencies, tuple(scenarios), break_evens, tuple(refusals))


def clocked_latency(profile: Profile, operations: Amount) -> Latency:
    """A clocked machine that is never short of operands: ``operations / (lanes * f)``, a lower bound.

    Refused where no source states the clock or the number of operations per cycle.
    """
    cycle = price(profile.time.get("cycle", ()))
    if cycle is None or profile.limits.lanes is None:
        wanted = (("its clock", cycle), ("its operations per cycle", profile.limits.lanes))
        return Latency(refused=unstated(*(name for name, known in wanted if not known)))
    busy = priced(operations / profile.limits.lanes.value, cycle.corners)
    return Latency(busy, busy, weakest([cycle.kind, profile.limits.lanes.kind]), ("memory",))


def _break_evens(scenarios: Sequence[Scenario], counts: NetworkCounts) -> Iterator[BreakEven]:
    """The spiking network against every ANN on the same basis."""
    if counts.natural is None:
        return
    measured = float(counts.natural.synops.mean()) / counts.natural.synapses
    spiking = {scenario.basis: scenario.bill for scenario in scenarios if scenario.network == SPIKING}
    for scenario in scenarios:
        if scenario.network != SPIKING and scenario.basis in spiking:
            own = spiking[scenario.basis]
            result = break_even(own, scenario.bill, measured, scenario.network, scenario.basis)
            if result:
                yield result
