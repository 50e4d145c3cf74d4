"""One platform of the report: bills by term and by layer, latency, fit, break-even, validation, refusals, sources."""

from collections.abc import Iterable, Sequence
from typing import Any

from deploy.energy.amounts import Amount, Band, mean
from deploy.energy.assessment import Refusal
from deploy.energy.bill import PARTS, Bill
from deploy.energy.break_even import operations_only
from deploy.energy.latency import Latency
from deploy.energy.model import REAL_TIME, SPIKING, Assessment, Scenario
from deploy.energy.validation import Outcome, validate
from deploy.energy.wording import term_name
from deploy.report.fit import fit_values
from hardware_profiles.schema import Profile


def platform_values(assessment: Assessment) -> dict[str, Any]:
    """Everything that the report says about one platform."""
    profile = assessment.profile
    scenarios = [scenario_values(profile, scenario) for scenario in assessment.scenarios]
    accuracy = validate(profile)
    return {
        "id": profile.meta.id,
        "name": profile.meta.name,
        "family": profile.meta.platform,
        "process_nm": profile.meta.process_nm,
        "execution": profile.meta.execution,
        "note": profile.meta.note,
        "profile_sha256": assessment.loaded.sha256,
        "verdict": accuracy.verdict,
        "accuracy": {"energy": accuracy.text("energy"), "time": accuracy.text("time")},
        "validation": [_outcome(outcome) for outcome in accuracy.outcomes],
        "fit": fit_values(assessment.fit) if assessment.fit else None,
        "latency": {network: latency_values(profile, latency) for network, latency in assessment.latencies.items()},
        "scenarios": scenarios,
        "headlines": headlines(scenarios),
        "comparisons": comparisons(scenarios),
        "break_even": [
            {
                "against": item.against,
                "basis": item.basis,
                "measured": item.measured,
                "at": item.at,
                "ratio": item.ratio.corners,
            }
            for item in assessment.break_evens
        ],
        "operations_only": only.corners if (only := operations_only(profile)) else None,
        "runs": [run.model_dump() for run in profile.run],
        "refusals": grouped(assessment.refusals),
        "sources": [{"key": key, **source.model_dump(exclude_none=True)} for key, source in profile.sources.items()],
    }


def grouped(refusals: Sequence[Refusal]) -> list[str]:
    """Refusals with networks that share a reason in one line."""
    subjects: dict[str, list[str]] = {}
    for refusal in refusals:
        subject, _, reason = str(refusal).partition(": ")
        subjects.setdefault(reason, []).append(subject)
    return [f"{', '.join(names)}: {reason}" for reason, names in subjects.items()]


def headlines(scenarios: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One figure per network: the nominal energy of its first scenario, the band over all bases of computing alone.

    Standing power over a whole real-time window is left out, since it depends on the window and not on the network;
    a network that has no other figure keeps it, marked ``real_time``.
    """
    rows: list[dict[str, Any]] = []
    for network in dict.fromkeys(row["network"] for row in scenarios):
        own = [row for row in scenarios if row["network"] == network]
        chosen = [row for row in own if REAL_TIME not in row["basis"]] or own
        low = min(row["energy_j"][0] for row in chosen)
        high = max(row["energy_j"][2] for row in chosen)
        rows.append(
            {
                "network": network,
                "bases": [row["basis"] for row in chosen],
                "energy_j": [low, chosen[0]["energy_j"][1], high],
                "complete": all(row["complete"] for row in chosen),
                "grade": chosen[0]["grade"],
                "real_time": all(REAL_TIME in row["basis"] for row in chosen),
            }
        )
    return rows


def comparisons(scenarios: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Energy of the spiking network over that of every other one: the widest interval over all bases but real time.

    Both sides are taken at the same prices, corner by corner, and only where they leave the same terms unpriced.
    """
    rows = [row for row in scenarios if REAL_TIME not in row["basis"]]
    spiking = {row["basis"]: row for row in rows if row["network"] == SPIKING}
    ratios: dict[str, list[list[float]]] = {}
    for row in rows:
        own = spiking.get(row["basis"])
        if row["network"] != SPIKING and own and own["unpriced"] == row["unpriced"] and all(row["energy_j"]):
            corners = [a / b for a, b in zip(own["energy_j"], row["energy_j"], strict=True)]
            ratios.setdefault(row["network"], []).append(corners)
    return [
        {
            "against": network,
            "ratio": [min(map(min, found)), found[0][1], max(map(max, found))],
            "complete": all(row["complete"] for row in rows if row["network"] in (SPIKING, network)),
        }
        for network, found in ratios.items()
    ]


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.case.name,
        "unit": outcome.unit,
        "predicted": outcome.predicted.corners,
        "error": outcome.error_text,
        "measured": outcome.measured,
        "tolerance": outcome.case.tolerance_rel,
        "passed": outcome.passed,
        "claimed": outcome.case.claimed,
        "note": outcome.case.note,
    }


def latency_values(profile: Profile, latency: Latency) -> dict[str, Any]:
    """Seconds per recording, with what is untimed or refused."""

    def corners(amount: Amount | None) -> tuple[float, float, float] | None:
        return None if amount is None else mean(amount).corners

    return {
        "busy_s": corners(latency.busy),
        "after_window_s": corners(latency.response),
        "grade": latency.kind,
        "untimed": [term_name(profile, term) for term in latency.untimed],
        "refused": latency.refused,
        "note": latency.note,
    }


def scenario_values(profile: Profile, scenario: Scenario) -> dict[str, Any]:
    """One bill: total, terms, parts, layers."""
    bill = scenario.bill
    return {
        "network": scenario.network,
        "basis": scenario.basis,
        "complete": bill.complete,
        "energy_j": bill.total.corners,
        "recordings_p5_p95_j": bill.spread,
        "grade": bill.grade,
        "unpriced": [term_name(profile, term) for term in bill.unpriced],
        "covered": {term_name(profile, term): term_name(profile, by) for term, by in bill.covered.items()},
        "terms": [_term(profile, bill, term) for term in _terms(bill)],
        "parts": {part: bill.of_part(part).corners for part in PARTS if bill.of_part(part).high},
        "layers": _parts_by_layer(bill),
    }


def _terms(bill: Bill) -> Iterable[str]:
    return dict.fromkeys(line.charge.term for line in bill.lines)


def _term(profile: Profile, bill: Bill, term: str) -> dict[str, Any]:
    price, count = bill.prices.get(term), bill.count_of_term(term)
    energy = bill.of_term(term) if term not in bill.unpriced else None
    power = term.startswith("power.")
    return {
        "term": term,
        "name": term_name(profile, term),
        "count": count.corners if count else None,
        "unit": "chips x time" if power else "words" if term.startswith("memory.") else "events",
        "price": price.corners if price else None,
        "price_unit": "W" if power else "J",
        "kind": price.kind if price else None,
        "sources": list(price.sources) if price else [],
        "energy_j": energy.corners if energy else None,
        "share": _share(energy, bill),
    }


def _share(energy: Band | None, bill: Bill) -> float | None:
    return energy.nominal / bill.total.nominal if energy and bill.total.nominal else None


def _parts_by_layer(bill: Bill) -> dict[str, dict[str, float]]:
    """Nominal joules per layer and part, in order of appearance."""
    totals: dict[str, dict[str, float]] = {}
    for line in bill.lines:
        if line.energy is not None:
            parts = totals.setdefault(line.charge.layer, {})
            parts[line.charge.part] = parts.get(line.charge.part, 0.0) + mean(line.energy).nominal
    return totals
