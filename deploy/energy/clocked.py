"""Accelerators: arithmetic units beside memories, so many operations per cycle of a clock."""

from collections.abc import Iterator, Sequence

from deploy.energy.accelerator import DATAFLOWS, Dataflow, ann_charges, operations, spiking_charges
from deploy.energy.amounts import Amount, priced
from deploy.energy.ann_network import AnnNetwork
from deploy.energy.assessment import SPIKING, Assessment, Scenario, latency_refusals, spikes_per_synapse, standing
from deploy.energy.break_even import BreakEven, break_even
from deploy.energy.latency import Latency, unstated
from export.synaptic.counts import NetworkCounts
from hardware_profiles.loader import LoadedProfile
from hardware_profiles.prices import price, weakest
from hardware_profiles.schema import Profile

DATAFLOW_LABELS: dict[Dataflow, str] = {
    "per operation": "operands fetched each time",
    "once": "data moved once",
}


def assess(loaded: LoadedProfile, counts: NetworkCounts, networks: Sequence[AnnNetwork]) -> Assessment:
    """Price the spiking network and the ANNs under both dataflows."""
    profile = loaded.profile
    scenarios: list[Scenario] = []
    latencies: dict[str, Latency] = {}
    for dataflow in DATAFLOWS:
        jobs = [(SPIKING, spiking_charges(profile, counts, dataflow))]
        jobs += [(network.label, ann_charges(profile, network, dataflow)) for network in networks]
        for network, charges in jobs:
            latency = latencies[network] = clocked_latency(profile, operations(charges))
            basis = DATAFLOW_LABELS[dataflow]
            scenarios += standing(profile, network, basis, charges, latency, 1, counts.window_us)
    break_evens = tuple(_break_evens(scenarios, counts))
    return Assessment(loaded, None, latencies, tuple(scenarios), break_evens, tuple(latency_refusals(latencies)))


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
    measured = spikes_per_synapse(counts)
    spiking = {scenario.basis: scenario.bill for scenario in scenarios if scenario.network == SPIKING}
    for scenario in scenarios:
        if scenario.network != SPIKING and scenario.basis in spiking:
            own = spiking[scenario.basis]
            result = break_even(own, scenario.bill, measured, scenario.network, scenario.basis)
            if result:
                yield result
