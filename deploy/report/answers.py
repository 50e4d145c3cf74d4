"""What the figures say, in sentences: one for the whole report, one for every platform."""

from collections.abc import Iterator, Sequence
from typing import Any

from deploy.energy.model import BUSY, REAL_TIME, SPIKING
from deploy.energy.wording import band, si, times, two_figures

Values = dict[str, Any]
_FAIREST = ("qnn", "int8_twin", "ann_twin_1", "ann_twin_t")
"""Kinds of ANN to name in the answer, the fairest comparison first (Yan et al., arXiv:2409.08290)."""


def answer(platforms: Sequence[Values], networks: Sequence[Values], bits: int | None) -> str:
    """The report in one sentence: the cost of a code, and how it compares with the ANN on the same hardware."""
    priced = [(item, row) for item in platforms for row in item["headlines"] if row["network"] == SPIKING]
    if not priced:
        return f"No platform here has a figure for this network: {_refusal(platforms)}."
    code = f"A {bits}-bit code" if bits else "A code"
    return "; ".join([f"{code} takes {_cost(priced)}", *_verdict(platforms, networks)]) + "."


def _refusal(platforms: Sequence[Values]) -> str:
    """The first reason why the spiking network has no figure."""
    refusals = [refusal for platform in platforms for refusal in platform["refusals"]]
    return next((refusal for refusal in refusals if refusal.startswith(SPIKING)), refusals[0])


def _cost(priced: Sequence[tuple[Values, Values]]) -> str:
    """Energy, and time where one platform alone has a figure."""
    computing = [pair for pair in priced if not pair[1]["real_time"]]
    ordered = sorted(computing or priced, key=lambda pair: pair[1]["energy_j"][1])
    if len(ordered) == 1:
        platform, row = ordered[0]
        return f"{energy_text(row)} on {platform['name']}{_response(platform)}"
    ends = (ordered[0], ordered[-1])
    bound = "" if all(row["complete"] for _, row in ends) else "at least "
    texts = (f"{si(row['energy_j'][1], 'J')} ({item['name']})" for item, row in ends)
    return f"{bound}{' to '.join(texts)}{' of computing alone' if computing else ''}"


def _response(platform: Values) -> str:
    latency = platform["latency"].get(SPIKING)
    if not latency or latency["after_window_s"] is None:
        return ""
    bound = "at least " if latency["untimed"] else ""
    return f" and is there {bound}{si(latency['after_window_s'][1], 's')} after the window"


def _verdict(platforms: Sequence[Values], networks: Sequence[Values]) -> Iterator[str]:
    """How the spiking network compares with the fairest ANN that was priced beside it, one with a mAP if there is."""
    labels = {item["kind"]: item for item in networks}
    ratios = {kind: list(_ratios(platforms, labels[kind]["network"])) for kind in _FAIREST if kind in labels}
    compared = [kind for kind, found in ratios.items() if found]
    if compared:
        kind = next((each for each in compared if labels[each]["maps"]), compared[0])
        other, found = labels[kind], ratios[kind]
        interval = (min(ratio[0] for ratio in found), max(ratio[2] for ratio in found))
        maps = _maps(labels["snn"], other)
        yield f"where both run, that is {times(interval)} the energy of its {other['network']}{maps}"


def _ratios(platforms: Sequence[Values], network: str) -> Iterator[Sequence[float]]:
    for platform in platforms:
        yield from (item["ratio"] for item in platform["comparisons"] if item["against"] == network)


def _maps(spiking: Values, other: Values) -> str:
    if not spiking["maps"] or not other["maps"]:
        return ", mAP not measured"
    own, its = spiking["maps"][0]["mean"], other["maps"][0]["mean"]
    return f", at a mAP of {own:.3f} against {its:.3f}"


def platform_answer(platform: Values, window_s: float) -> str:
    """One sentence on one platform."""
    spiking = [row for row in platform["scenarios"] if row["network"] == SPIKING]
    if not spiking:
        return f"No figure: {_refusal([platform])}."
    if platform["fit"]:
        return _cores_answer(platform, spiking, window_s)
    return _processor_answer(platform)


def _cores_answer(platform: Values, spiking: Sequence[Values], window_s: float) -> str:
    rows = {row["basis"]: row for row in spiking}
    on = f"{_chips(platform)} a code takes"
    if BUSY not in rows or REAL_TIME not in rows:
        return f"{on} {energy_text(spiking[0])} of {spiking[0]['basis']}{_response(platform)}."
    real_time = rows[REAL_TIME]
    standing = real_time["parts"].get("standing power", (0.0, 0.0, 0.0))[1] / real_time["energy_j"][1]
    return (
        f"{on} {energy_text(rows[BUSY])} with {BUSY}, and {energy_text(real_time)} when the chip "
        f"stays on for the whole {si(window_s, 's')} window, {percent(standing)} of it standing power."
    )


def _chips(platform: Values) -> str:
    placement = platform["fit"]["placement"]
    if placement is None:
        return "There"
    return f"On {placement['chips']} chip{'s' if placement['chips'] > 1 else ''}"


def _processor_answer(platform: Values) -> str:
    headline = next(row for row in platform["headlines"] if row["network"] == SPIKING)
    energy = f"A code of the spiking network takes {energy_text(headline)}{_response(platform)}"
    compared = ", ".join(_against(item) for item in platform["comparisons"])
    return f"{energy}; that is {compared}." if compared else f"{energy}."


def _against(comparison: Values) -> str:
    """How the spiking network compares with one other over all bases and corners."""
    network = comparison["against"]
    return f"{times(comparison['ratio'])} {'its ' if 'twin' in network else ''}{network}"


def percent(share: float) -> str:
    """A share in percent with two figures, never rounded up to all of it."""
    return "over 99 %" if 0.99 < share < 1 else f"{two_figures(100 * share)} %"


def energy_text(row: Values) -> str:
    """Nominal energy of a scenario with its band, marked when it is a lower bound."""
    low, nominal, high = row["energy_j"]
    inside = "" if two_figures(low) == two_figures(high) else f" ({band((low, high), 'J')})"
    return f"{'' if row['complete'] else 'at least '}{si(nominal, 'J')}{inside}"
