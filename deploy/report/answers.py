"""What the figures say, in words: five lines for the whole report, one sentence for every platform and for a pair."""

from collections.abc import Sequence

from deploy.energy.assessment import BUSY, REAL_TIME, SPIKING
from deploy.energy.wording import band, si, span, two_figures
from deploy.report.model import (
    MEASURED,
    Answer,
    Comparison,
    Measured,
    Network,
    Platform,
    Priced,
    Report,
    Retrieval,
    Spiking,
)

_FAIREST = ("qnn", "int8_twin", "ann_twin_1", "ann_twin_t")
"""Kinds of conventional network to name in the answer, the fairest first (Yan et al., arXiv:2409.08290)."""
UNVALIDATED = "unvalidated"
LABELS = ("hardware", "spiking network", "conventional network there", "ratio", "how complete")


def answer(
    platforms: Sequence[Platform], spiking: Spiking, networks: Sequence[Network], measured: Measured | None = None
) -> Answer:
    """The report in five lines, and one of what was measured on the machine at hand.

    The hardware is the one on which a code takes the least energy among those with complete totals of both networks;
    where there is none, among those with a complete total of the spiking one. Among lower bounds it is one that prices
    both networks, with the fewest terms left open.
    """
    here = ((MEASURED, measured_text(measured, spiking, networks)),) if measured else ()
    priced = [(platform, bill) for platform in platforms if (bill := platform.spiking)]
    if not priced:
        reasons = (_why(platform) for platform in platforms if platform.refusal)
        text = f"no platform here has a figure: {next(reasons, 'no platform was chosen')}"
        blank = (text, "no figure", "no figure", "no figure", _completeness(platforms))
        return Answer(platform=None, lines=(*zip(LABELS, blank, strict=True), *here))

    def rank(pair: tuple[Platform, Priced]) -> tuple[bool, bool, bool, int, float]:
        both = fairest(pair[0], networks)
        complete = pair[1].complete
        return not (complete and both and both.complete), not complete, both is None, *pair[1].rank

    platform, bill = min(priced, key=rank)
    comparison = fairest(platform, networks)
    other = platform.figures[comparison.against] if comparison else None
    texts = (
        _hardware(platform, priced),
        _spiking_line(platform, bill, spiking),
        _other_line(platform, other, networks),
        _ratio_line(platform, comparison) if comparison else _ratio_elsewhere(platforms, networks),
        f"{'' if bill.complete else f'here without {unpriced(platform)}; '}{_completeness(platforms)}",
    )
    return Answer(
        platform=platform.id,
        basis=bill.basis,
        energy_j=bill.energy_j,
        complete=bill.complete,
        against=comparison.against if comparison else None,
        against_j=other.energy_j if other else None,
        ratio=comparison.ratio if comparison else None,
        lines=(*zip(LABELS, texts, strict=True), *here),
    )


def fairest(platform: Platform, networks: Sequence[Network]) -> Comparison | None:
    """The comparison with the fairest conventional network that was priced there, one with a mAP if there is."""
    kinds = {each.network: each for each in networks}
    found = [each for each in platform.comparisons if kinds[each.against].kind in _FAIREST]
    order = sorted(found, key=lambda each: _FAIREST.index(kinds[each.against].kind))
    return next((each for each in order if kinds[each.against].maps), next(iter(order), None))


def measured_text(measured: Measured, spiking: Spiking, networks: Sequence[Network]) -> str:
    """What was measured on the machine at hand: the spiking network, the fairest conventional one, and the ratio."""
    own, *others = measured.networks
    run = own.runs[0]
    text = f"{si(run.cpu_s[1], 's')} of a core per {spiking.unit} in {run.runtime}"
    kinds = {each.network: each.kind for each in networks}
    order = {kind: place for place, kind in enumerate(_FAIREST)}
    named = [(label, each) for each in others for label in each.networks if kinds[label] in order]
    if named:
        label, other = min(named, key=lambda pair: order[kinds[pair[0]]])
        text += f", {two_figures(other.ratio[1])} times the time of {_its(label)} in {other.runs[0].runtime}"
    energy = "energy not measured" if run.joules is None else si(run.joules, "J")
    return f"{text}; {energy}; {measured.machine}, {measured.date}"


def _hardware(platform: Platform, priced: Sequence[tuple[Platform, Priced]]) -> str:
    """The hardware, and the one where the spiking network alone would take less."""
    bill = platform.figures[SPIKING]
    error = "" if platform.energy_error in (UNVALIDATED, MEASURED) else "error against measurements "
    text = f"{platform.name}, {error}{platform.energy_error}"
    less = [pair for pair in priced if pair[1].complete and bill.complete and pair[1].shown_j < bill.shown_j]
    if not less:
        return text
    cheapest, alone = min(less, key=lambda pair: pair[1].shown_j)
    return f"{text}; without a conventional network beside it less on {cheapest.name}: {energy_text(alone)}"


def _spiking_line(platform: Platform, bill: Priced, spiking: Spiking) -> str:
    code = f"{spiking.bits}-bit code" if spiking.bits else spiking.unit
    return f"{energy_text(bill)} per {code}, {bill.basis}{_response(platform)}; {map_text(spiking)}"


def _response(platform: Platform) -> str:
    time = platform.times.get(SPIKING)
    if platform.measured or not time or time.after_window_s is None:
        return ""
    return f", {time.shown(time.after_window_s).replace('≥', 'at least')} after the window"


def _other_line(platform: Platform, other: Priced | None, networks: Sequence[Network]) -> str:
    if other is None:
        reasons = [each.reason for each in platform.refusals if SPIKING not in each.subject]
        return f"none: {reasons[0]}" if reasons and networks else "none"
    network = next(each for each in networks if each.network == other.network)
    return f"{other.network}: {energy_text(other)}; {map_text(network)}"


def _ratio_elsewhere(platforms: Sequence[Platform], networks: Sequence[Network]) -> str:
    """Where the chosen hardware runs no conventional network: on the one that takes least of those that do."""
    both = [(platform, found) for platform in platforms if (found := fairest(platform, networks))]
    if not both:
        return "none"
    platform, comparison = min(both, key=lambda pair: (not pair[1].complete, pair[0].figures[SPIKING].shown_j))
    return f"none there; on {platform.name} {_ratio_line(platform, comparison)}"


def _ratio_line(platform: Platform, comparison: Comparison) -> str:
    kind = "" if comparison.complete else f"; lower bounds, both without {unpriced(platform)}"
    other = _its(comparison.against)
    nominal, interval = two_figures(comparison.ratio[1]), span(comparison.ratio)
    return f"{nominal} times the energy of {other}{'' if nominal == interval else f' ({interval})'}{kind}"


def _its(network: str) -> str:
    return f"its {network}" if "twin" in network else network


def unpriced(platform: Platform) -> str:
    """What has no price in the figure of the spiking network."""
    return ", ".join(platform.figures[SPIKING].unpriced)


def _completeness(platforms: Sequence[Platform]) -> str:
    """How many platforms have a complete total, a lower bound, none."""
    bills = [platform.spiking for platform in platforms]
    totals = sum(bill is not None and bill.complete for bill in bills)
    refused = sum(bill is None for bill in bills)
    checked = sum(platform.energy_error not in (UNVALIDATED, MEASURED) for platform in platforms)
    bounds = len(bills) - totals - refused
    return (
        f"complete totals on {totals} of {len(bills)} platforms, lower bounds on {bounds}, no figure on {refused}; "
        f"{checked} held against measured energies"
    )


def platform_answer(platform: Platform, window_s: float, unit: str = "code") -> str:
    """One sentence on one platform; energies are for a ``unit``."""
    bill = platform.spiking
    if bill is None:
        return f"No figure: {_why(platform)}."
    if not platform.checks:
        compared = ", ".join(f"{span(item.ratio)} times {_its(item.against)}" for item in platform.comparisons)
        energy = f"A {unit} of the spiking network takes {energy_text(bill)}{_response(platform)}"
        return f"{energy}; that is {compared}." if compared else f"{energy}."
    placed = platform.placed
    on = f"On {placed.chips} chip{'s' if placed.chips > 1 else ''} a {unit} takes" if placed else f"A {unit} takes"
    whole = next((each for each in platform.bills if each.network == SPIKING and each.basis == REAL_TIME), None)
    if bill.basis != BUSY or whole is None:
        return f"{on} {energy_text(bill)} of {bill.basis}{_response(platform)}."
    return (
        f"{on} {energy_text(bill)} with {BUSY}, and {energy_text(whole)} when the chip stays on for the whole "
        f"{si(window_s, 's')} window, {percent(whole.static_j / whole.energy_j[1])} of it standing power."
    )


def pair_answer(report: Report) -> str:
    """The spiking network on the two platforms of a report, in one sentence."""
    one, other = report.platforms
    if one.spiking is None or other.spiking is None:
        return " ".join(f"{each.name}: {_one_of_pair(each)}." for each in (one, other))
    texts = " and ".join(f"{_one_of_pair(each)} on {each.name}" for each in (one, other))
    if not (one.spiking.complete and other.spiking.complete):
        return f"A {report.unit} takes {texts}; a lower bound has no ratio."
    if one.spiking.measured != other.spiking.measured:
        return f"A {report.unit} takes {texts}; measured is not compared with modelled."
    interval = [a / b for a, b in zip(other.spiking.energy_j, reversed(one.spiking.energy_j), strict=True)]
    ratio = other.spiking.energy_j[1] / one.spiking.energy_j[1]
    return f"A {report.unit} takes {texts}: {two_figures(ratio)} times as much ({span(interval)})."


def _one_of_pair(platform: Platform) -> str:
    bill = platform.spiking
    if bill is None:
        return f"no figure: {_why(platform)}"
    return f"{energy_text(bill)}{' measured here' if bill.measured else ''}{_response(platform)}"


def _why(platform: Platform) -> str:
    """Why there is no energy of the spiking network; where time was measured, that of its twins has the same reason."""
    refusal = platform.refusal
    return refusal.reason if refusal and platform.measured else str(refusal)


def map_text(network: Network) -> str:
    """Figures of one network: ``mAP 0.958 (mean of 3 seeds, 0.955 to 0.961) on digits``."""
    if not network.maps:
        return f"{network.figure} not measured"
    named = len(network.maps) > 1
    figures = "; ".join(f"{figure_text(each)}{f' {each.name}' if named else ''}" for each in network.maps)
    return f"{network.figure} {figures} on {network.maps[0].dataset}"


def figure_text(each: Retrieval) -> str:
    """One trained network's mAP: of the weights that are priced, else the mean, with the range of the seeds."""
    seeds = f"{each.seeds} seeds, {each.low:.3f} to {each.high:.3f}"
    if each.own is None:
        return f"{each.mean:.3f} (mean of {seeds})" if each.seeds > 1 else f"{each.mean:.3f}"
    return f"{each.own:.3f} (these weights; mean {each.mean:.3f} of {seeds})" if each.seeds > 1 else f"{each.own:.3f}"


def percent(share: float) -> str:
    """A share in percent with two figures, never rounded up to all of it."""
    return "over 99 %" if 0.99 < share < 1 else f"{two_figures(100 * share)} %"


def energy_text(bill: Priced) -> str:
    """Nominal energy with its band; of a lower bound the low end, which is the least that it can be."""
    low, nominal, high = bill.energy_j
    if not bill.complete:
        same = two_figures(low) == two_figures(nominal)
        at_nominal = "" if same else f" ({si(nominal, 'J')} at nominal prices)"
        return f"at least {si(low, 'J')}{at_nominal}"
    inside = "" if two_figures(low) == two_figures(high) else f" ({band((low, high), 'J')})"
    return f"{si(nominal, 'J')}{inside}"
