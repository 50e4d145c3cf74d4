"""What the model says about one network on one platform, and the bills with standing power that all platforms share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from deploy.energy.amounts import Amount, exact
from deploy.energy.bill import WHOLE_NETWORK, Bill, Charge, make_bill
from deploy.energy.break_even import BreakEven
from deploy.energy.latency import Latency
from deploy.energy.mapping.limits import Check
from deploy.energy.mapping.placement import Fit
from deploy.energy.wording import term_name
from export.synaptic.counts import NetworkCounts
from hardware_profiles.loader import LoadedProfile
from hardware_profiles.schema import Profile
from hardware_profiles.terms import Execution, Kind

SPIKING = "SNN"
BUSY = "static power counted only while computing"
REAL_TIME = "chip on for the whole window"
DYNAMIC = "dynamic energy"


@dataclass(frozen=True)
class Scenario:
    """One bill: a network on a basis of comparison."""

    network: str
    basis: str
    bill: Bill


@dataclass(frozen=True)
class Refusal:
    """Why something that was asked for has no figure."""

    subject: str
    """A network, a basis or a quantity."""
    reason: str
    limits: tuple[Check, ...] = ()
    """The limits that break, where that is the reason."""

    def __str__(self) -> str:
        limits = "; ".join(dict.fromkeys(check.excess for check in self.limits))
        return f"{self.subject}: {self.reason}{f': {limits}' if limits else ''}"


@dataclass(frozen=True)
class Assessment:
    """What one platform does with the spiking network and its ANN baselines."""

    loaded: LoadedProfile
    fit: Fit | None
    """``None`` on platforms without cores of fixed size."""
    latencies: dict[str, Latency]
    """By network."""
    scenarios: tuple[Scenario, ...]
    """Empty where the network does not fit or nothing at all is priced; ``refusals`` then says why."""
    break_evens: tuple[BreakEven, ...]
    refusals: tuple[Refusal, ...]

    @property
    def complete(self) -> bool:
        """Whether every bill is a total; a lower bound must not be ranked beside one."""
        return bool(self.scenarios) and all(scenario.bill.complete for scenario in self.scenarios)

    @property
    def profile(self) -> Profile:
        """The platform."""
        return self.loaded.profile

    @property
    def execution(self) -> Execution:
        """How time passes on the platform."""
        return self.profile.meta.execution


def standing(
    profile: Profile,
    network: str,
    basis: str,
    charges: Sequence[Charge],
    latency: Latency,
    chips: int,
    window_us: float,
) -> Iterator[Scenario]:
    """Add static and I/O power to the dynamic charges: for the busy time alone, and for the whole real-time window.

    Without a published static power the one bill that remains leaves ``power.static`` open. Without a latency only the
    whole window is billed, on the assumption that the platform keeps up with it. A busy time that is a lower bound
    makes its bill one.
    """
    if "static" not in profile.power:
        open_power = [_power(term, None) for term in _power_terms(profile)]
        yield Scenario(network, basis or DYNAMIC, make_bill(profile, [*charges, *open_power]))
        return
    window = exact(window_us * 1e-6)
    if latency.busy is not None:
        untimed = [Charge("standing power", WHOLE_NETWORK, f"time.{term}", None) for term in latency.untimed]
        powers = [_power(term, chips * latency.busy, latency.kind) for term in _power_terms(profile)]
        yield Scenario(network, _label(basis, BUSY), make_bill(profile, [*charges, *powers, *untimed]))
        window = np.maximum(latency.busy, window)
    powers = [_power(term, chips * window) for term in _power_terms(profile)]
    yield Scenario(network, _label(basis, REAL_TIME), make_bill(profile, [*charges, *powers]))


def _power_terms(profile: Profile) -> list[str]:
    return ["power.static", *(["power.io"] if "io" in profile.power else [])]


def _power(term: str, chip_seconds: Amount | None, kind: Kind | None = None) -> Charge:
    return Charge("standing power", WHOLE_NETWORK, term, chip_seconds, kind=kind)


def _label(basis: str, duration: str) -> str:
    return f"{basis}, {duration}" if basis else duration


def without_figures(assessment: Assessment) -> Assessment:
    """Turn bills of which not one line is priced into refusals: a lower bound of nothing is no figure."""
    empty = [scenario for scenario in assessment.scenarios if not scenario.bill.prices]
    reasons = [Refusal(each.network, _unpublished(assessment.profile, each.bill)) for each in empty]
    return replace(
        assessment,
        scenarios=tuple(scenario for scenario in assessment.scenarios if scenario.bill.prices),
        refusals=tuple(dict.fromkeys([*reasons, *assessment.refusals])),
    )


def _unpublished(profile: Profile, bill: Bill) -> str:
    return f"no energy: nobody has published {', '.join(term_name(profile, term) for term in bill.unpriced)}"


def latency_refusals(latencies: dict[str, Latency]) -> list[Refusal]:
    """Why latencies are missing, each reason once."""
    reasons = dict.fromkeys(latency.refused for latency in latencies.values() if latency.refused)
    return [Refusal("latency", reason) for reason in reasons]


def lowered_only(counts: NetworkCounts) -> list[Refusal]:
    """Why a platform that needs nothing lowered has no figure of the spiking network, if that is so."""
    reason = "only counts of the lowered graph are known: export the encoder again and trace it"
    return [] if counts.natural is not None else [Refusal(SPIKING, reason)]


def spikes_per_synapse(counts: NetworkCounts) -> float:
    """Mean synaptic operations per synapse and recording."""
    synapses = sum(layer.synapses for layer in counts.layers)
    return sum(float(layer.synops.mean()) for layer in counts.layers) / synapses if synapses else 0.0
