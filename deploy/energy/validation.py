"""Published measurements beside what the model says about the same events: how far its figures can be trusted.

The cases are data of the profiles. They are billed by the functions that bill an encoder (``dynamic_charges``,
``standing``, ``work_bill``), so that a case that is reproduced speaks for the bills of encoders on that platform.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from deploy.energy.amounts import Amount, between, exact, mean
from deploy.energy.assessment import standing
from deploy.energy.bill import Bill, make_bill
from deploy.energy.event_cores import dynamic_charges
from deploy.energy.latency import Latency
from deploy.energy.mapping.traffic import Events, Traffic
from deploy.energy.roofline import OPERATIONS_PER_MAC, work_bill
from export.synaptic.counts import LayerCounts, NetworkCounts
from hardware_profiles.prices import Band
from hardware_profiles.schema import Profile, Validation, Work
from hardware_profiles.terms import EVENT_TERMS, EnergyTerm

Verdict = Literal["reproduced", "missed", "unvalidated"]
_SECOND = 1.0
_CASE = "case"


@dataclass(frozen=True)
class Outcome:
    """How one case came out, in joules, watts or seconds."""

    case: Validation
    predicted: Band
    """With the lowest, nominal and highest prices, at the low, middle and high end of the counts."""
    unpriced: tuple[str, ...] = ()
    """Terms of the case without a price: the prediction is then a lower bound."""

    @property
    def measured(self) -> float:
        """What was published."""
        return self.case.measured_si

    @property
    def unit(self) -> Literal["J", "W", "s"]:
        """Unit of ``predicted`` and ``measured``."""
        return self.case.si_unit

    @property
    def error(self) -> float:
        """Of the nominal prediction, relative to the measurement."""
        return self.predicted.nominal / self.measured - 1

    @property
    def band(self) -> tuple[float, float]:
        """Relative errors of the low and the high end of the prediction."""
        return self.predicted.low / self.measured - 1, self.predicted.high / self.measured - 1

    @property
    def passed(self) -> bool:
        """Whether the measurement lies in the predicted band, or beside it by no more than the tolerance."""
        low, high = self.band
        return not self.unpriced and low <= self.case.tolerance_rel and -high <= self.case.tolerance_rel

    @property
    def nominally(self) -> bool:
        """Whether the nominal prediction alone comes as close: a wide band holds a measurement easily."""
        return not self.unpriced and abs(self.error) <= self.case.tolerance_rel

    @property
    def error_text(self) -> str:
        """``+47 % (band +8 % to +71 %)``; the band only where it is one."""
        low, high = (_percent(end) for end in self.band)
        return _percent(self.error) + (f" (band {low} to {high})" if low != high else "")


@dataclass(frozen=True)
class Accuracy:
    """What all cases of one profile say about the model on that platform."""

    outcomes: tuple[Outcome, ...]

    @cached_property
    def claimed(self) -> tuple[Outcome, ...]:
        """Outcomes that the profile claims to reproduce."""
        return tuple(outcome for outcome in self.outcomes if outcome.case.claimed)

    @property
    def verdict(self) -> Verdict:
        """``reproduced`` when every claimed case is; ``unvalidated`` when none is claimed."""
        if not self.claimed:
            return "unvalidated"
        return "reproduced" if all(outcome.passed for outcome in self.claimed) else "missed"

    def worst(self, quantity: Literal["energy", "time"]) -> Outcome | None:
        """The outcome with the largest nominal error, claimed or not; ``None`` without a case. Powers are energies."""
        found = [outcome for outcome in self.outcomes if (outcome.unit == "s") == (quantity == "time")]
        return max(found, key=lambda outcome: abs(outcome.error), default=None)

    def text(self, quantity: Literal["energy", "time"]) -> str:
        """The validation error to print beside a figure, such as ``+47 % (band +8 % to +71 %), worst of 3``."""
        worst = self.worst(quantity)
        if worst is None:
            return "unvalidated"
        number = sum((outcome.unit == "s") == (quantity == "time") for outcome in self.outcomes)
        return worst.error_text + (f", worst of {number}" if number > 1 else "")


def validate(profile: Profile) -> Accuracy:
    """Bill every validation case of a profile."""
    return Accuracy(tuple(_outcome(profile.at(case.operating_point), case) for case in profile.validation))


def _outcome(profile: Profile, case: Validation) -> Outcome:
    if case.work:
        latency, bill = work_bill(profile, exact(OPERATIONS_PER_MAC * case.work.macs), _moved(case.work))
        if case.si_unit == "s" and latency.busy is not None:
            return Outcome(case, mean(latency.busy), latency.untimed)
        return Outcome(case, bill.total, bill.unpriced)
    bills = [_event_bill(profile, case, end) for end in _ends(case.counts)]
    totals = [bill.total for bill in bills]
    nominal = float(np.mean([total.nominal for total in totals]))
    return Outcome(case, Band(totals[0].low, nominal, totals[-1].high), bills[0].unpriced)


def _moved(work: Work) -> Amount:
    """Weights come from the main memory once; at best they are in a cache already."""
    everything = work.weight_bytes + work.input_bytes
    return between(work.input_bytes, everything, everything)


def _ends(counts: Mapping[EnergyTerm, float | tuple[float, float]]) -> Iterator[dict[EnergyTerm, float]]:
    """The counts at the low and the high end of their ranges."""
    for end in (0, 1):
        yield {term: count[end] if isinstance(count, tuple) else count for term, count in counts.items()}


def _event_bill(profile: Profile, case: Validation, counts: Mapping[EnergyTerm, float]) -> Bill:
    """The terms that the case counts and, where its measurement holds it, standing power."""
    counted = {f"energy.{term}" for term in counts}
    charges = [charge for charge in dynamic_charges(*_one_population(counts), case.chips, 1) if charge.term in counted]
    seconds = _SECOND if case.si_unit == "W" else (case.duration_us or 0.0) * 1e-6
    if not seconds:
        return make_bill(profile, charges)
    busy = exact(seconds)
    scenarios = standing(profile, _CASE, "", charges, Latency(busy, busy, "measured"), case.chips, seconds * 1e6)
    return next(iter(scenarios)).bill


def _one_population(counts: Mapping[EnergyTerm, float]) -> tuple[NetworkCounts, Traffic]:
    """All events of a case as those of one population in one step."""
    got = {term: exact(counts.get(term, 0.0)) for term in EVENT_TERMS}
    spikes, synops, active = (got[term][0] for term in ("spike_out", "synop", "neuron_update_active"))
    updates = round(counts.get("neuron_update_active", 0) + counts.get("neuron_update_inactive", 0))
    layer = LayerCounts(_CASE, _CASE, "lif", updates, 0, 0, 0, 1, spikes, synops, active)
    nowhere = Events(np.zeros((3, 1, 1)), np.zeros((1, 1)))
    packets, hops, crossings = ({_CASE: got[term]} for term in ("packet", "hop", "chip_crossing"))
    traffic = Traffic(packets, hops, crossings, nowhere, nowhere, nowhere)
    return NetworkCounts(_CASE, 1, 1, 1, 0, 1.0, (layer,)), traffic


def _percent(share: float) -> str:
    return f"{100 * share:+.1f} %" if abs(share) < 0.1 else f"{100 * share:+.0f} %"
