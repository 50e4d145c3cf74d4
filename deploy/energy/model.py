"""The assessment of one network on one platform: fit, latency, bills, break-even."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from deploy.ann_twin import AnnTwin
from deploy.energy.accelerator import DATAFLOWS, Dataflow, ann_charges, operations, spiking_charges
from deploy.energy.amounts import Amount, exact
from deploy.energy.bill import Bill, Charge, make_bill
from deploy.energy.break_even import BreakEven, break_even
from deploy.energy.event_cores import WHOLE_NETWORK, dynamic_charges
from deploy.energy.latency import Latency, barrier_latency, clocked_latency
from deploy.energy.placement import Fit, fit
from deploy.energy.traffic import arriving_packets
from export.counts import NetworkCounts
from hardware_profiles.loader import LoadedProfile
from hardware_profiles.schema import Profile

SPIKING = "SNN"
DATAFLOW_LABELS: dict[Dataflow, str] = {
    "per operation": "operands fetched each time",
    "once": "data moved once",
}
BUSY = "chip off between codes"
REAL_TIME = "chip on for the whole window"
DYNAMIC = "dynamic energy"


@dataclass(frozen=True)
class Scenario:
    """One bill: a network on a basis of comparison."""

    network: str
    basis: str
    bill: Bill


@dataclass(frozen=True)
class Assessment:
    """What one platform does with the network and its ANN twins."""

    loaded: LoadedProfile
    fit: Fit | None
    """``None`` on platforms without cores of fixed size."""
    latencies: dict[str, Latency]
    """By network."""
    scenarios: tuple[Scenario, ...]
    break_evens: tuple[BreakEven, ...]
    refusals: tuple[str, ...]
    """Why something that was asked for has no figure."""

    @property
    def profile(self) -> Profile:
        """The platform."""
        return self.loaded.profile


def assess(loaded: LoadedProfile, counts: NetworkCounts, twins: Sequence[AnnTwin]) -> Assessment:
    """Price a traced network and its ANN twins on one platform.

    Args:
        loaded: the platform.
        counts: traced from real recordings.
        twins: ANN twins; empty when the encoder's sizes are not known.
    """
    if loaded.profile.meta.platform == "event_cores":
        return _on_cores(loaded, counts, twins)
    return _on_accelerator(loaded, counts, twins)


def twin_name(twin: AnnTwin) -> str:
    """Label of an ANN twin."""
    return f"ANN, {twin.frames} frame{'s' if twin.frames > 1 else ''}"


def spikes_per_synapse(counts: NetworkCounts) -> float:
    """Mean synaptic operations per synapse and recording."""
    synapses = sum(layer.synapses for layer in counts.layers)
    return sum(float(layer.synops.mean()) for layer in counts.layers) / synapses if synapses else 0.0


def _on_cores(loaded: LoadedProfile, counts: NetworkCounts, twins: Sequence[AnnTwin]) -> Assessment:
    profile = loaded.profile
    fits = fit(counts.layers, profile.limits)
    refusals = [f"{twin_name(twin)}: the platform has no multiply-accumulate on activations" for twin in twins]
    if fits.verdict == "no" or fits.placement is None:
        return Assessment(loaded, fits, {}, (), (), (f"{SPIKING}: does not fit: {fits.broken}", *refusals))
    packets = arriving_packets(counts, fits.placement)
    latency = barrier_latency(profile, counts, fits.placement, packets)
    charges = dynamic_charges(fits.placement, packets)
    scenarios = _standing(profile, SPIKING, "", charges, latency, fits.placement.chips, counts)
    return Assessment(loaded, fits, {SPIKING: latency}, tuple(scenarios), (), tuple(refusals))


def _on_accelerator(loaded: LoadedProfile, counts: NetworkCounts, twins: Sequence[AnnTwin]) -> Assessment:
    profile = loaded.profile
    scenarios: list[Scenario] = []
    latencies: dict[str, Latency] = {}
    for dataflow in DATAFLOWS:
        jobs = [(SPIKING, spiking_charges(profile, counts, dataflow))]
        jobs += [(twin_name(twin), ann_charges(profile, twin, dataflow)) for twin in twins]
        for network, charges in jobs:
            latencies[network] = clocked_latency(profile, operations(charges))
            basis = DATAFLOW_LABELS[dataflow]
            scenarios += _standing(profile, network, basis, charges, latencies[network], 1, counts)
    refusals = dict.fromkeys(f"latency: {latency.refused}" for latency in latencies.values() if latency.refused)
    return Assessment(
        loaded, None, latencies, tuple(scenarios), tuple(_break_evens(scenarios, counts)), tuple(refusals)
    )


def _standing(
    profile: Profile,
    network: str,
    basis: str,
    charges: list[Charge],
    latency: Latency,
    chips: int,
    counts: NetworkCounts,
) -> Iterator[Scenario]:
    """Add static and I/O power to the dynamic charges: for the busy time alone, and for the whole real-time window.

    Where no power or no latency is known, the one bill that remains leaves ``power.static`` open.
    """
    terms = ["power.static", *(["power.io"] if "io" in profile.power else [])]
    durations: dict[str, Amount | None] = {DYNAMIC: None}
    if "static" in profile.power and latency.busy is not None:
        durations = {BUSY: latency.busy, REAL_TIME: np.maximum(latency.busy, counts.window_us * 1e-6)}
    for duration, seconds in durations.items():
        chip_seconds = None if seconds is None else chips * seconds
        standing = [Charge("standing power", WHOLE_NETWORK, term, chip_seconds) for term in terms]
        label = basis if basis and duration == DYNAMIC else ", ".join(part for part in (basis, duration) if part)
        yield Scenario(network, label, make_bill(profile, [*charges, *standing]))


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


def paper_style(profile: Profile, counts: NetworkCounts, twins: Sequence[AnnTwin]) -> list[Scenario]:
    """The figure that many papers print: 0.9 pJ per synaptic operation, 4.6 pJ per dense MAC (fp32, 45 nm), no more.

    After Zhou et al. 2023 (arXiv:2209.15425), but with the exact synaptic operations of the deployed network in place
    of mean firing rate times dense operations. Memory, neuron updates, traffic, static power and I/O are left out.
    """
    synops = np.sum([layer.synops for layer in counts.layers], axis=0)
    basis = "fp32 operations only"
    spiking = [Charge("synaptic operations", WHOLE_NETWORK, "energy.ac_fp32", exact(synops))]
    rows = [Scenario(SPIKING, basis, make_bill(profile, spiking))]
    for twin in twins:
        charge = Charge("operations", WHOLE_NETWORK, "energy.mac_fp32", exact(float(twin.macs)))
        rows.append(Scenario(twin_name(twin), basis, make_bill(profile, [charge])))
    return rows
