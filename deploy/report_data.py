"""The report as one tree of plain values: what the JSON file holds, and all that page, plots, CSV and table show."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from deploy.ann_twin import AnnTwin
from deploy.energy.amounts import Amount, Band, mean
from deploy.energy.bill import PARTS, Bill
from deploy.energy.latency import Latency
from deploy.energy.model import (
    BUSY,
    REAL_TIME,
    SPIKING,
    Assessment,
    Scenario,
    assess,
    paper_style,
    spikes_per_synapse,
    twin_name,
)
from deploy.energy.placement import Fit, Placement
from deploy.energy.wording import band, si, times, two_figures
from export.counts import LayerCounts, NetworkCounts
from hardware_profiles.loader import LoadedProfile, load_profile
from hardware_profiles.prices import validate
from hardware_profiles.schema import Profile

FORMAT = 1
"""Version of the JSON file."""
_DIGITS = 6
_HELPERS = ("delay", "threshold", "counter")

TERMS = {
    "energy.synop": "synaptic operation",
    "energy.neuron_update_active": "neuron update, active",
    "energy.neuron_update_inactive": "neuron update, inactive",
    "energy.spike_out": "spike generated",
    "energy.packet": "spike delivered to a core",
    "energy.hop": "hop between tiles",
    "energy.chip_crossing": "spike crossing to another chip",
    "energy.reset": "reset of a chip",
    "energy.ac_int32": "int32 addition",
    "energy.mul_int32": "int32 multiplication",
    "energy.mac_int8": "int8 multiply-accumulate",
    "energy.ac_fp32": "fp32 addition",
    "energy.mac_fp32": "fp32 multiply-accumulate",
    "energy.offchip_bit": "bit of input",
    "power.static": "static power",
    "power.io": "power of the embedded I/O processors",
}
"""What the terms of a bill are called on the page."""

ASSUMPTIONS = (
    "Counts are exact and come from recordings run through the deployed graph. They include what the lowering adds: "
    "delay lines, block clocks and coincidence units.",
    "A band is the total at the lowest and at the highest published price of every term at once. The spread over "
    "recordings is shown apart from it.",
    "A term that is needed but unpublished is named, and the sum of the others is then a lower bound, not a total.",
    "The grade of a figure is the weakest kind of evidence among the terms that carry more than 5 % of it.",
    "The boundary is the chip: sensor, host computer, board and power supply are outside, on every platform. So is the "
    "search for similar codes.",
    "Cores: populations are placed greedily in topological order and share cores; convolution kernels are stored "
    "unrolled. Whether the axons of whole cores suffice is not checked.",
    "Cores: a spike goes to every core of each population that it feeds (nominal) or to as few as can hold its targets "
    "(low).",
    "Cores: the events of a recording are spread evenly over its steps and over the cores of a population; where they "
    "bunch, steps take longer.",
    "Accelerator: 8-bit weights and activations, 16-bit membrane potentials, one buffer per layer in the smallest "
    "memory that holds it, weights resident. Spiking network and ANN are priced under the same two dataflows.",
    "ANN twin: same topology, ReLU for LIF, softmax attention, int8; dense operations, no advantage from zeros.",
)


def report_data(
    counts: NetworkCounts, twins: Sequence[AnnTwin], profiles: Sequence[LoadedProfile], notes: Sequence[str]
) -> dict[str, Any]:
    """Assess the network on every platform and lay out all figures, rounded to six digits.

    Args:
        counts: traced from recordings.
        twins: ANN twins of the encoder, if its sizes are known.
        profiles: the platforms.
        notes: remarks on the inputs, shown with the assumptions.
    """
    assessments = [assess(loaded, counts, twins) for loaded in profiles]
    paper_profile = load_profile("cmos_45nm").profile
    paper = [_scenario(paper_profile, row) for row in paper_style(paper_profile, counts, twins)]
    platforms = [_platform(assessment) for assessment in assessments]
    data = {
        "format": FORMAT,
        "answer": [*_answers(platforms, counts), _paper_answer(paper)],
        "network": _network(counts),
        "layers": [_layer(name, group) for name, group in _by_layer(counts)],
        "platforms": platforms,
        "paper_style": {"name": "paper style", "scenarios": paper},
        "ann_twins": [_twin(twin) for twin in twins],
        "assumptions": [*ASSUMPTIONS, *notes],
    }
    rounded: dict[str, Any] = _rounded(data)
    return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _network(counts: NetworkCounts) -> dict[str, Any]:
    return {
        "id": counts.network,
        "recordings": counts.samples,
        "time_steps": counts.time_steps,
        "steps": counts.steps,
        "latency_steps": counts.latency,
        "window_s": counts.window_us * 1e-6,
        "neurons": sum(layer.neurons for layer in counts.layers if layer.kind != "input"),
        "synapses": sum(layer.synapses for layer in counts.layers),
        "weights": sum(layer.weights for layer in counts.layers),
        "synops": sum(float(layer.synops.mean()) for layer in counts.layers),
        "spikes": sum(float(layer.spikes.mean()) for layer in counts.layers),
        "spikes_per_synapse": spikes_per_synapse(counts),
    }


def _by_layer(counts: NetworkCounts) -> list[tuple[str, list[LayerCounts]]]:
    """Populations grouped by the encoder's layer, in order of first appearance."""
    order = list(dict.fromkeys(layer.layer for layer in counts.layers))
    ordered = sorted(counts.layers, key=lambda layer: order.index(layer.layer))
    return [(name, list(group)) for name, group in groupby(ordered, key=lambda layer: layer.layer)]


def _layer(name: str, group: list[LayerCounts]) -> dict[str, Any]:
    updates = sum(layer.neurons * layer.steps for layer in group)
    synops = np.sum([layer.synops for layer in group], axis=0)
    helpers = sum(float(layer.synops.mean()) for layer in group if layer.kind in _HELPERS)
    return {
        "layer": name,
        "populations": len(group),
        "neurons": sum(layer.neurons for layer in group),
        "synapses": sum(layer.synapses for layer in group),
        "weights": sum(layer.weights for layer in group),
        "fan_in_max": max(layer.fan_in_max for layer in group),
        "spikes": sum(float(layer.spikes.mean()) for layer in group),
        "synops": {"mean": float(synops.mean()), "p5_p95": np.percentile(synops, (5, 95)).tolist()},
        "helper_synops_share": helpers / float(synops.mean()) if synops.any() else 0.0,
        "active_share": sum(float(layer.active_updates.mean()) for layer in group) / updates,
    }


def _twin(twin: AnnTwin) -> dict[str, Any]:
    layers = [
        {
            "layer": layer.name,
            "macs": layer.macs,
            "transform_adds": layer.transform_adds,
            "weight_bytes": layer.weight_bytes,
            "activation_bytes": layer.activation_bytes(twin.frames),
        }
        for layer in twin.layers
    ]
    return {"network": twin_name(twin), "frames": twin.frames, "macs": twin.macs, "layers": layers}


def _platform(assessment: Assessment) -> dict[str, Any]:
    profile = assessment.profile
    return {
        "id": profile.meta.id,
        "name": profile.meta.name,
        "process_nm": profile.meta.process_nm,
        "execution": profile.meta.execution,
        "note": profile.meta.note,
        "profile_sha256": assessment.loaded.sha256,
        "validation": _validation(profile),
        "fit": _fit(assessment.fit) if assessment.fit else None,
        "latency": {network: _latency(latency) for network, latency in assessment.latencies.items()},
        "scenarios": [_scenario(profile, scenario) for scenario in assessment.scenarios],
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
        "refusals": assessment.refusals,
        "sources": [{"key": key, **source.model_dump(exclude_none=True)} for key, source in profile.sources.items()],
    }


def _validation(profile: Profile) -> list[dict[str, Any]]:
    return [
        {
            "name": outcome.case.name,
            "predicted_j": outcome.predicted,
            "measured_j": outcome.measured,
            "tolerance": outcome.case.tolerance_rel,
            "passed": outcome.passed,
            "note": outcome.case.note,
        }
        for outcome in validate(profile)
    ]


def _fit(fit: Fit) -> dict[str, Any]:
    checks = [
        {"limit": c.limit, "needed": c.needed, "available": c.available, "fits": c.fits, "note": c.note}
        for c in fit.checks
    ]
    return {"verdict": fit.verdict, "checks": checks, **(_placement(fit.placement) if fit.placement else {})}


def _placement(placement: Placement) -> dict[str, Any]:
    return {
        "cores": placement.cores,
        "tiles": placement.tiles,
        "chips": placement.chips,
        "neurons_used": placement.neurons_used,
        "memory_used": placement.memory_used,
        "busiest_limit": placement.busiest_limit,
        "populations": [
            {"population": layer.name, "neurons": layer.neurons, "cores": placement.cores_of(index)}
            for index, layer in enumerate(placement.layers)
        ],
    }


def _latency(latency: Latency) -> dict[str, Any]:
    def corners(amount: Amount | None) -> tuple[float, float, float] | None:
        return None if amount is None else mean(amount).corners

    return {
        "busy_s": corners(latency.busy),
        "after_window_s": corners(latency.response),
        "grade": latency.kind,
        "untimed": latency.untimed,
        "refused": latency.refused,
    }


def _scenario(profile: Profile, scenario: Scenario) -> dict[str, Any]:
    bill = scenario.bill
    return {
        "network": scenario.network,
        "basis": scenario.basis,
        "complete": bill.complete,
        "energy_j": bill.total.corners,
        "recordings_p5_p95_j": bill.spread,
        "grade": bill.grade,
        "unpriced": [_term_name(profile, term) for term in bill.unpriced],
        "terms": [_term(profile, bill, term) for term in _terms(bill)],
        "parts": {part: bill.of_part(part).corners for part in PARTS if bill.of_part(part).high},
        "layers": _parts_by_layer(bill),
    }


def _terms(bill: Bill) -> Iterable[str]:
    return dict.fromkeys(line.charge.term for line in bill.lines)


def _term(profile: Profile, bill: Bill, term: str) -> dict[str, Any]:
    price, count = bill.prices.get(term), bill.count_of_term(term)
    energy = bill.of_term(term) if term not in bill.unpriced else None
    return {
        "term": term,
        "name": _term_name(profile, term),
        "count": count.corners if count else None,
        "unit": "chips x time" if term.startswith("power.") else "words" if term.startswith("memory.") else "events",
        "price": price.corners if price else None,
        "price_unit": "W" if term.startswith("power.") else "J",
        "kind": price.kind if price else None,
        "sources": price.sources if price else [],
        "energy_j": energy.corners if energy else None,
        "share": _share(energy, bill),
    }


def _share(energy: Band | None, bill: Bill) -> float | None:
    return energy.nominal / bill.total.nominal if energy and bill.total.nominal else None


def _term_name(profile: Profile, term: str) -> str:
    section, _, name = term.partition(".")
    if section != "memory":
        return TERMS[term]
    level = profile.memory[name]
    size = f"{level.capacity_kb:g} KB" if level.capacity_kb else "unbounded"
    return f"{level.word_bits}-bit access to {name.partition('_')[0].upper()}, {size}"


def _parts_by_layer(bill: Bill) -> dict[str, dict[str, float]]:
    """Nominal joules per layer and part, in order of appearance."""
    totals: dict[str, dict[str, float]] = {}
    for line in bill.lines:
        if line.energy is not None:
            parts = totals.setdefault(line.charge.layer, {})
            parts[line.charge.part] = parts.get(line.charge.part, 0.0) + mean(line.energy).nominal
    return totals


def _answers(platforms: Sequence[dict[str, Any]], counts: NetworkCounts) -> Iterator[str]:
    """One sentence per platform, the comparison with the ANN first."""
    ordered = sorted(platforms, key=lambda platform: not platform["break_even"])
    for platform in ordered:
        if not platform["scenarios"]:
            yield f"{platform['name']}: no figure. {platform['refusals'][0]}."
        elif platform["fit"]:
            yield _cores_answer(platform, counts)
        else:
            yield _accelerator_answer(platform)


def _cores_answer(platform: dict[str, Any], counts: NetworkCounts) -> str:
    rows = {row["basis"]: row for row in platform["scenarios"]}
    chips = platform["fit"]["chips"]
    on = f"On {platform['name']} ({chips} chip{'s' if chips > 1 else ''})"
    if BUSY not in rows:
        return f"{on} a code takes {energy_text(next(iter(rows.values())))} of dynamic energy."
    window = si(counts.window_us * 1e-6, "s")
    real_time = rows[REAL_TIME]
    standing = real_time["parts"].get("standing power", (0.0, 0.0, 0.0))[1] / real_time["energy_j"][1]
    return (
        f"{on} a code takes {energy_text(rows[BUSY])} when the chip is off between codes, and {energy_text(real_time)} "
        f"when it stays on for the whole {window} window, {percent(standing)} of it standing power."
    )


def _accelerator_answer(platform: dict[str, Any]) -> str:
    spiking = [row for row in platform["scenarios"] if row["network"] == SPIKING]
    low, high = min(row["energy_j"][0] for row in spiking), max(row["energy_j"][2] for row in spiking)
    energy, where = band((low, high), "J"), f"On the {platform['name']}"
    what = "energy" if all(row["complete"] for row in spiking) else "dynamic energy"
    if not platform["break_even"]:
        return f"{where} a code takes {energy} of {what}, depending on prices and memory reuse."
    twins = dict.fromkeys(item["against"] for item in platform["break_even"])
    compared = " and ".join(_against(platform, twin) for twin in twins)
    return (
        f"{where} the spiking network takes {compared} in {what}: {energy} per code, depending on prices and memory "
        "reuse."
    )


def _against(platform: dict[str, Any], twin: str) -> str:
    """How the spiking network compares with one ANN twin over all bases and corners."""
    ratios = [item["ratio"] for item in platform["break_even"] if item["against"] == twin]
    interval = (min(ratio[0] for ratio in ratios), max(ratio[2] for ratio in ratios))
    return f"{times(interval)} its {twin.replace(', ', ' twin on ')}"


def _paper_answer(paper: Sequence[dict[str, Any]]) -> str:
    figures = "; ".join(f"{row['network']} {si(row['energy_j'][1], 'J')}" for row in paper)
    return f"For comparison with papers that count fp32 operations and nothing else: {figures}."


def percent(share: float) -> str:
    """A share in percent with two figures, never rounded up to all of it."""
    return "over 99 %" if 0.99 < share < 1 else f"{two_figures(100 * share)} %"


def energy_text(row: dict[str, Any]) -> str:
    """Nominal energy of a scenario with its band, marked when it is a lower bound."""
    low, nominal, high = row["energy_j"]
    inside = "" if two_figures(low) == two_figures(high) else f" ({band((low, high), 'J')})"
    return f"{'' if row['complete'] else 'at least '}{si(nominal, 'J')}{inside}"
