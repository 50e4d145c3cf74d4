"""The figures of the report as CSV, as the lines that a terminal shows, and as tables of everything (``--full``)."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.table import Table

from deploy.energy.assessment import SPIKING
from deploy.energy.wording import band, si, two_figures
from deploy.report.answers import fairest, map_text, pair_answer, unpriced
from deploy.report.model import MEASURED, Measured, Platform, Priced, Report

_COLUMNS = (
    *("platform", "network", "map", "basis", "row", "name", "count_low", "count", "count_high", "unit", "price_low"),
    *("price", "price_high", "price_unit", "kind", "sources", "energy_low_j", "energy_j", "energy_high_j"),
    *("recordings_p5_j", "recordings_p95_j", "unpriced"),
)
FAMILIES = {"event_cores": "event cores", "accelerator": "accelerators", "processor": "processors"}


def csv_text(report: Report) -> str:
    """Every bill of the report, one line per term and one per total (a lower bound where terms are unpriced)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    maps = {label: " ".join(f"{each.value:g}" for each in network.maps) for label, network in report.networks.items()}
    for place, bill in billed(report):
        writer.writerows(_csv_rows(place, maps.get(bill.network, ""), bill))
    return buffer.getvalue()


def billed(report: Report) -> Iterator[tuple[str, Priced]]:
    """Every bill and where it is: on a platform, of the search on it, in the paper-style row."""
    yield from ((platform.id, bill) for platform in report.platforms for bill in platform.bills)
    if report.search:
        yield from ((f"{each.id} search", bill) for each in report.search.platforms for bill in each.bills)
    yield from (("paper_style", bill) for bill in report.paper_style)


def _csv_rows(place: str, precision: str, bill: Priced) -> Iterator[list[Any]]:
    head = [place, bill.network, precision, bill.basis]
    blank = [None] * 3
    for term in bill.terms:
        yield [
            *head, "term", term.name, *(term.count or blank), term.unit, *(term.price or blank),
            term.price_unit, term.kind, " ".join(term.sources), *(term.energy_j or blank), None, None, None,
        ]  # fmt: skip
    kind = "total" if bill.complete else "lower bound"
    yield [
        *head, kind, None, *blank, None, *blank, None, bill.grade, None, *bill.energy_j,
        *bill.recordings_p5_p95_j, "; ".join(bill.unpriced),
    ]  # fmt: skip


def summary(report: Report) -> Iterator[str | Table]:
    """What the terminal shows: the answer, then one row per family of platforms, totals apart from lower bounds."""
    yield from answer_lines(report)
    if len(report.platforms) == 2:
        yield pair_answer(report)
    for complete, title in ((True, "Complete totals"), (False, "Lower bounds: terms without a published price")):
        found = report.platforms_with(complete)
        if found:
            yield _family_table(report, found, title)
    if report.without_figure:
        names = (f"{each.id} (time {MEASURED})" if each.measured else each.id for each in report.without_figure)
        yield f"no figure: {', '.join(names)} (--full says why)"


def answer_lines(report: Report) -> Iterator[str]:
    """The answer, a line each, and what is amiss with the inputs."""
    width = max(len(label) for label, _ in report.answer.lines)
    yield from (f"{label:<{width}}  {text}" for label, text in report.answer.lines)
    yield from report.notes


def _family_table(report: Report, found: Sequence[Platform], title: str) -> Table:
    """One platform of each family: the one with the fewest open terms, then that of the least energy."""
    headings = ("family", "", "of them", "SNN", "fairest ANN there", "SNN / ANN", "error against measurements")
    table = Table(*headings, title=title, box=None)
    for family, name in FAMILIES.items():
        members = [each for each in found if each.family == family]
        if members:
            least = min(members, key=lambda each: each.figures[SPIKING].rank)
            table.add_row(name, str(len(members)), least.name, *_cells(report, least))
    return table


def _cells(report: Report, platform: Platform) -> list[str]:
    """The spiking network, its fairest counterpart, their ratio, the validation."""
    comparison = fairest(platform, report.baselines)
    other = platform.figures[comparison.against] if comparison else None
    return [
        nominal_text(platform.figures[SPIKING]),
        f"{other.network}: {nominal_text(other)}" if other else "none",
        two_figures(comparison.ratio[1]) if comparison else "",
        platform.energy_error,
    ]


def nominal_text(bill: Priced) -> str:
    """The figure of a bill alone, marked where it is a lower bound."""
    return f"{'' if bill.complete else '≥ '}{si(bill.shown_j, 'J')}"


def everything(report: Report) -> Iterator[str | Table]:
    """All bills and refusals, totals apart from lower bounds."""
    yield from answer_lines(report)
    for complete, title in ((True, "Complete totals"), (False, "Lower bounds")):
        yield _bill_table(
            report, complete, f"{title}: energy per {report.unit}, {report.spiking.recordings} recordings"
        )
    if report.measured:
        yield _measured_table(report.measured)
    for platform in report.platforms:
        if platform.spiking and not platform.spiking.complete:
            yield f"{platform.id}: lower bound, unpriced: {unpriced(platform)}"
        yield from (f"{platform.id}: no figure for {refusal}" for refusal in platform.refusals)


def _measured_table(measured: Measured) -> Table:
    """Times on the machine at hand; the first line of a network counts in the ratio of medians."""
    headings = ("network", "runtime", "CPU least", "median", "clock", "energy", "above idle", "SNN / it")
    table = Table(
        *headings, title=f"Measured: {measured.machine}, {measured.date}, one thread, one recording at a time"
    )
    for item in measured.networks:
        for place, run in enumerate(item.runs):
            joules = [si(each, "J") if each is not None else "" for each in (run.joules, run.joules_above_idle)]
            ratio = two_figures(item.ratio[1]) if not place else ""
            seconds = [si(each, "s") for each in (*run.cpu_s, run.wall_s)]
            table.add_row("" if place else ", ".join(item.networks), run.runtime, *seconds, *joules, ratio)
        table.add_section()
    return table


def _bill_table(report: Report, complete: bool, title: str) -> Table:
    headings = ("platform", "network", report.spiking.figure, "basis", "energy", "band", "dynamic", "static", "grade")
    table = Table(*headings, title=title)
    maps = {label: map_text(network).removeprefix(f"{network.figure} ") for label, network in report.networks.items()}
    rows = [(place, bill) for place, bill in billed(report) if bill.complete == complete and bill.network in maps]
    for _, group in groupby(rows, key=lambda row: row[0]):
        for place, bill in group:
            table.add_row(
                place, bill.network, maps[bill.network], bill.basis, nominal_text(bill), band(bill.energy_j, "J"),
                si(bill.dynamic_j, "J"), si(bill.static_j, "J"), bill.grade,
            )  # fmt: skip
        table.add_section()
    return table
