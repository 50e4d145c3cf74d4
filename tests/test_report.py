"""The report: one page, one JSON file and one CSV file with the same figures."""

import csv
import io
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from energy_cases import small_counts
from report_cases import HOSTS, report_of
from rich.console import Console
from rich.table import Table

from deploy.energy.assessment import REAL_TIME, SPIKING
from deploy.energy.wording import si, two_figures
from deploy.report.answers import LABELS, platform_answer
from deploy.report.chart import bubble_chart, chart_points
from deploy.report.model import Platform, Report
from deploy.report.page import RangeBar, page, stacks
from deploy.report.results import Row, Weights, select
from deploy.report.tables import billed, csv_text, everything, nominal_text, summary
from export.synaptic.counts import LayerCounts


@pytest.fixture(scope="module")
def report() -> Report:
    return report_of(hosts=HOSTS)


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return page(report)


def platform(report: Report, key: str) -> Platform:
    return next(item for item in report.platforms if item.id == key)


class Elements(HTMLParser):
    """Start tags, ids, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("p", "li") and tag not in self.open:
            raise AssertionError(f"</{tag}> closes nothing")
        assert self.open.pop() == tag


# The page


def test_the_page_refers_to_nothing_outside_itself(html: str) -> None:
    elements = Elements(html)
    assert elements.open == []
    assert {tag for tag, _ in elements.tags}.isdisjoint({"script", "link", "img", "iframe", "object", "base"})
    references = [v for _, attributes in elements.tags for k, v in attributes.items() if k.endswith(("href", "src"))]
    assert references
    assert all(reference and reference.startswith("#") for reference in references)
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*['\"]?([^)'\"]*)", html))
    assert "@import" not in html


def test_ids_are_unique_and_references_lead_somewhere(html: str) -> None:
    elements = Elements(html)
    ids = Counter(attributes["id"] for _, attributes in elements.tags if "id" in attributes)
    assert max(ids.values()) == 1
    targets = {v[1:] for _, attributes in elements.tags for k, v in attributes.items() if v and k.endswith("href")}
    targets |= set(re.findall(r"url\(#([^)]*)\)", html))
    assert targets <= set(ids)


def test_the_page_is_escaped_and_dateless(html: str) -> None:
    assert "a &lt;note&gt; on inputs" in html
    assert "<note>" not in html
    assert "dc:date" not in html


def test_charts_follow_the_page_from_light_to_dark(html: str) -> None:
    assert "prefers-color-scheme: dark" in html
    charts = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(charts) == 2
    for chart in charts:
        assert "#0000" not in chart
        assert "var(--snn)" in chart
    used = set(re.findall(r"var\(--(\w+)\)", html))
    assert used <= set(re.findall(r"--(\w+):", html))


def test_every_section_is_there(html: str) -> None:
    for text in (
        "Break-even sparsity", "Placement", "Where the energy goes", "Do the prices reproduce", "Measured hosts",
        "no energy counter: powercap absent", "Search among 1,000 codes", "Assumptions", "Sources", "HashNet", "CSQ",
    ):  # fmt: skip
        assert text in html, text


# Figures


def test_every_total_is_on_the_page_and_in_the_csv(report: Report, html: str) -> None:
    rows = [row for row in csv.DictReader(csv_text(report).splitlines()) if row["row"] != "term"]
    bills = [bill for _, bill in billed(report)]
    assert len(rows) == len(bills) > 8
    for bill, total in zip(bills, rows, strict=True):
        assert [float(total[key]) for key in ("energy_low_j", "energy_j", "energy_high_j")] == list(bill.energy_j)
        assert total["row"] == ("total" if bill.complete else "lower bound")
        assert total["unpriced"] == "; ".join(bill.unpriced)
        shown = si(bill.energy_j[1], "J") if bill.complete else f"≥ {si(bill.energy_j[0], 'J')}"
        assert f">{shown}<" in html


def test_terms_layers_and_parts_add_up_to_their_total(report: Report) -> None:
    for item in report.platforms:
        for bill in item.bills:
            for corner in range(3):
                terms = sum(term.energy_j[corner] for term in bill.terms if term.energy_j)
                assert terms == pytest.approx(bill.energy_j[corner], rel=1e-4)
                parts = sum(part[corner] for part in bill.parts.values())
                assert parts == pytest.approx(bill.energy_j[corner], rel=1e-4)
            layers = sum(sum(parts.values()) for parts in bill.layers.values())
            assert layers == pytest.approx(bill.energy_j[1], rel=1e-4)
            assert bill.dynamic_j + bill.static_j == pytest.approx(bill.energy_j[1], rel=1e-4)
            standing = [term for term in bill.terms if term.term in ("power.static", "power.io")]
            total = sum(term.energy_j[1] for term in standing if term.energy_j)
            assert bill.static_j == pytest.approx(total, rel=1e-4)


def test_counts_in_the_report_are_those_of_the_trace(report: Report) -> None:
    counts = small_counts()
    synops = sum(float(layer.synops.mean()) for layer in counts.layers)
    assert report.spiking.synops == pytest.approx(synops, rel=1e-5)
    rows = {row.layer: row for row in report.spiking.layers}
    assert list(rows) == ["input", "stage1", "head"]
    lif, delay = counts.layers[1:3]
    assert rows["stage1"].neurons == lif.neurons + delay.neurons
    share = delay.synops.mean() / (lif.synops.mean() + delay.synops.mean())
    assert rows["stage1"].helper_synops_share == pytest.approx(share, rel=1e-5)


def test_lower_bounds_are_marked_wherever_they_stand(report: Report, html: str) -> None:
    cmos = platform(report, "cmos_45nm")
    for bill in cmos.bills:
        assert not bill.complete
        assert bill.unpriced == ("static power",)
        assert f"≥ {si(bill.energy_j[0], 'J')}" in html
    assert "at least" in platform_answer(cmos, 0.1)


def test_no_lower_bound_is_shown_above_its_band(report: Report) -> None:
    for _, bill in billed(report):
        if not bill.complete:
            assert bill.shown_j == bill.energy_j[0]
            assert si(bill.energy_j[0], "J") in nominal_text(bill)


def test_no_time_is_shown_above_its_band(report: Report, html: str) -> None:
    assert report.search is not None
    searches = [item.time for item in report.search.platforms if item.time]
    bounds = [each for item in report.platforms for each in item.times.values() if each.untimed and each.busy_s]
    assert bounds
    for time in [*bounds, *(each for each in searches if each.untimed and each.busy_s)]:
        assert time.busy_s is not None
        assert time.shown(time.busy_s) == f"≥ {si(time.busy_s[0], 's')}"
        assert time.shown(time.busy_s) in html


def test_a_figure_is_that_of_computing_alone_on_the_cheapest_basis(report: Report) -> None:
    checked = 0
    for item in report.platforms:
        for network, figure in item.figures.items():
            rows = [bill for bill in item.bills if bill.network == network]
            computing = [bill for bill in rows if REAL_TIME not in bill.basis]
            assert figure in (computing or rows)
            if network == SPIKING:
                assert all(len(bill.unpriced) >= len(figure.unpriced) for bill in computing or rows)
                same = [bill.shown_j for bill in computing or rows if len(bill.unpriced) == len(figure.unpriced)]
                assert figure.shown_j == min(same)
            elif item.spiking and any(bill.basis == item.spiking.basis for bill in rows):
                assert figure.basis == item.spiking.basis
            checked += len(rows) > len(computing)
    assert checked


def test_networks_are_compared_on_the_same_platform_and_basis(report: Report) -> None:
    cmos = platform(report, "cmos_45nm")
    energies = {(bill.network, bill.basis): bill.energy_j for bill in cmos.bills}
    others = {network for network, _ in energies} - {SPIKING}
    assert {item.against for item in cmos.comparisons} == others
    assert len(others) == 5
    for item in cmos.comparisons:
        pairs = [(e, energies[SPIKING, b]) for (n, b), e in energies.items() if n == item.against]
        ratios = [own[corner] / other[corner] for other, own in pairs for corner in range(3)]
        assert item.ratio[0] == pytest.approx(min(ratios), rel=1e-4)
        assert item.ratio[2] == pytest.approx(max(ratios), rel=1e-4)
    for even in cmos.even:
        own, other = energies[SPIKING, even.basis], energies[even.against, even.basis]
        assert even.ratio[1] == pytest.approx(own[1] / other[1], rel=1e-4)


# Retrieval


def test_a_map_stands_beside_every_energy(report: Report, html: str) -> None:
    maps = {network.kind: network.maps for network in report.networks.values()}
    (own,) = maps["snn"]
    assert (own.mean, own.low, own.high, own.seeds, own.own) == (0.92, 0.91, 0.93, 2, 0.93)
    assert [each.name for each in maps["resnet18"]] == ["HashNet", "CSQ"]
    assert maps["qnn"] == ()
    assert "mAP 0.930 (these weights; mean 0.920 of 2 seeds, 0.910 to 0.930) on digits" in html
    rows = [row for row in csv.DictReader(csv_text(report).splitlines()) if row["network"] == "ResNet-18"]
    assert {row["map"] for row in rows} == {"0.96 0.97"}


def test_other_weights_of_the_same_sizes_have_no_map() -> None:
    other = report_of(profiles="loihi1", sha256="0" * 64)
    assert other.spiking.maps == ()
    assert len(other.networks["ResNet-18"].maps) == 2
    assert "mAP not measured" in dict(other.answer.lines)["spiking network"]
    assert any("python -m export.evaluate" in note for note in other.notes)


def test_without_results_the_map_is_said_to_be_missing() -> None:
    report = report_of(profiles="cmos_45nm", measured=False)
    assert all(network.maps == () for network in report.networks.values())
    assert "mAP not measured" in dict(report.answer.lines)["spiking network"]
    assert "mAP not measured" in page(report)
    assert not any(network.kind == "int8_twin" for network in report.baselines)


def test_the_data_set_of_a_checkpoint_decides_the_rows() -> None:
    def row(name: str, dataset: str, **more: object) -> Row:
        return Row(name=name, dataset=dataset, bits=8, **({"map": (0.5,), "kind": "qnn"} | more))  # type: ignore[arg-type]

    mine: dict[str, object] = {"kind": "spikinghash_integer", "checkpoints": ("a",)}
    rows = [row("ours", "nmnist", **mine), row("twin", "nmnist"), row("other", "digits")]
    for dataset in ("", "nmnist"):
        found = select(rows, Weights("a", "integer", 8, dataset, None), "rows")
        assert (found.dataset, [each.name for each in found.own]) == ("nmnist", ["ours"])
        assert [each.name for each in found.retrievals("qnn")] == ["twin"]
    for weights in (
        Weights("a", "integer", 8, "digits", None), Weights("b", "integer", 8, "nmnist", None),
        Weights("a", "float", 8, "nmnist", None), Weights("", "integer", 8, "nmnist", None),
    ):  # fmt: skip
        found = select(rows, weights, "rows")
        assert found.own == ()
        assert all(each.dataset == weights.dataset for each in found.rows)


def test_skipped_zeros_make_the_twin_cheaper_where_macs_are_billed(report: Report) -> None:
    energies = {(bill.network, bill.basis): bill.energy_j[1] for bill in platform(report, "cmos_45nm").bills}
    each_time = "operands fetched each time"
    assert energies["int8 twin (zeros skipped)", each_time] < energies["ANN twin (1 frame)", each_time]


# The answer


@pytest.mark.parametrize("profiles", ["all", "cmos_45nm,h200", "loihi1"])
def test_the_answer_can_be_computed_again_from_the_file(profiles: str, tmp_path: Path) -> None:
    """Energies as the sum of counts times prices, the ratio corner by corner, from report.json alone."""
    path = tmp_path / "report.json"
    path.write_text(report_of(profiles=profiles).to_json())
    data = json.loads(path.read_text())
    answer = data["answer"]
    bills = [
        (item["id"], bill) for item in data["platforms"] for bill in item["bills"] if REAL_TIME not in bill["basis"]
    ]

    def energy(platform: str, network: str, basis: str) -> list[float]:
        (bill,) = (b for key, b in bills if (key, b["network"], b["basis"]) == (platform, network, basis))
        priced = [term for term in bill["terms"] if term["count"] and term["price"]]
        return [sum(t["count"][i] * t["price"][i] for t in priced) for i in range(3)]

    own = energy(answer["platform"], SPIKING, answer["basis"])
    assert own == pytest.approx(answer["energy_j"], rel=1e-4)
    complete = [bill["energy_j"][1] for _, bill in bills if bill["network"] == SPIKING and bill["complete"]]
    assert answer["complete"] == bool(complete)
    ratios = data["answer"]["ratio"]
    if ratios is None:
        assert not any(key == answer["platform"] and bill["network"] != SPIKING for key, bill in bills)
        return
    other = energy(answer["platform"], answer["against"], answer["basis"])
    assert other == pytest.approx(answer["against_j"], rel=1e-4)
    assert ratios[1] == pytest.approx(own[1] / other[1], rel=1e-4)
    mine, its = (
        {bill["basis"]: bill["energy_j"] for key, bill in bills if (key, bill["network"]) == (answer["platform"], name)}
        for name in (SPIKING, answer["against"])
    )
    corners = [a / b for basis in mine for a, b in zip(mine[basis], its[basis], strict=True)]
    assert ratios[::2] == pytest.approx([min(corners), max(corners)], rel=1e-4)
    shown = dict(map(tuple, answer["lines"]))["ratio"]
    assert f"{two_figures(own[1] / other[1])} times the energy of" in shown


def test_a_complete_total_comes_before_a_smaller_lower_bound(report: Report) -> None:
    chosen = platform(report, str(report.answer.platform))
    assert chosen.spiking is not None
    assert chosen.spiking.complete
    bounds = [each.spiking.shown_j for each in report.platforms_with(complete=False) if each.spiking]
    assert min(bounds) < chosen.spiking.shown_j


def test_totals_and_lower_bounds_are_never_in_one_ranking(report: Report, html: str) -> None:
    order = [each.spiking.complete if each.spiking else None for each in report.platforms]
    assert order == sorted(order, key=(True, False, None).index)
    table = html[html.index('<table class="figures">') : html.index("<h3>No figure</h3>")]
    totals, bounds = table.split("<tbody>")[1:]
    assert "≥" not in re.sub(r"<td[^>]*response.*?</td>", "", totals)
    assert bounds.count("<small>unpriced: ") == len(report.platforms_with(complete=False))


def test_a_pair_is_compared_in_a_sentence() -> None:
    pair = report_of(profiles="loihi1,cmos_45nm")
    text = next(part for part in summary(pair) if isinstance(part, str) and part.startswith("A code takes"))
    assert "on Intel Loihi 1" in text
    assert "a lower bound has no ratio" in text


def test_the_terminal_shows_25_lines_at_most(report: Report) -> None:
    console = Console(width=160, file=io.StringIO(), soft_wrap=True)
    for part in summary(report):
        console.print(part)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= 25
    assert [line[: len(label)] for line, label in zip(lines, LABELS, strict=False)] == list(LABELS)
    assert all(len(line) <= 240 for line in lines)


# Refusals


def test_a_network_that_does_not_fit_gets_no_figure() -> None:
    counts = small_counts()
    wide = replace(counts.layers[1], fan_in_max=5000)
    report = report_of(replace(counts, layers=(counts.layers[0], wide, *counts.layers[2:])), "loihi1")
    loihi = platform(report, "loihi1")
    assert loihi.bills == ()
    assert loihi.spiking is None
    assert "input axons per core: needs 5,000, has 4,096" in str(loihi.refusal)
    assert any(check.fits == "no" and check.limit == "input axons per core" for check in loihi.checks)
    assert "does not fit" in dict(report.answer.lines)["hardware"]
    html = page(report)
    assert "<h3>No figure</h3>" in html
    assert "<svg" not in html


def test_networks_that_share_a_refusal_share_its_line(report: Report) -> None:
    refusals = platform(report, "loihi1").refusals
    assert len({(refusal.reason, refusal.limits) for refusal in refusals}) == len(refusals)
    assert any(refusal.subject.startswith("ANN twin (1 frame), ANN twin (4 frames), QNN twin") for refusal in refusals)
    lines = [part for part in everything(report) if isinstance(part, str)]
    assert any("loihi1: no figure for ANN twin" in line for line in lines)


def test_a_silent_network_still_has_a_report() -> None:
    def silent(layer: LayerCounts) -> LayerCounts:
        return replace(layer, spikes=0 * layer.spikes, synops=0 * layer.synops, active_updates=0 * layer.active_updates)

    counts = small_counts()
    assert counts.natural is not None
    maps = tuple(replace(each, synops=0 * each.synops) for each in counts.natural.maps)
    natural = replace(counts.natural, maps=maps)
    still = replace(counts, layers=tuple(map(silent, counts.layers)), natural=natural)
    report = report_of(still, "cmos_45nm,loihi1")
    assert all(item.even == () for item in report.platforms)
    assert "<svg" in page(report)


# Charts and tables


def test_the_chart_names_every_point(report: Report) -> None:
    points = chart_points(report)
    titles = re.findall(r"<title>(.*?)</title>", bubble_chart(points, 6, 3, "x"))
    assert len(titles) == len(points) > 5
    for point, title in zip(points, titles, strict=True):
        assert title.startswith(f"{point.platform.name}, {point.network.network}: ")
        assert ("at least" in title) == (not point.bill.complete)
    assert {point.platform.id for point in points} == {item.id for item in report.platforms if item.figures}


@pytest.mark.parametrize("values", [(1e-6, 2e-6, 4e-6), (1e-9, 1e-9, 1e-9), (1e-6, 1e-3, 1e-3)])
def test_bars_are_placed_on_a_logarithmic_axis(values: tuple[float, float, float]) -> None:
    bar = RangeBar(1e-9, 1e-3)(values)
    at = [100 * (np.log10(value) + 9) / 6 for value in values]
    assert bar["left"] == pytest.approx(at[0], abs=0.01)
    assert bar["dot"] == pytest.approx(at[1], abs=0.01)
    assert bar["width"] == pytest.approx(max(at[2] - at[0], 0.5), abs=0.01)


def test_layers_are_stacked_against_the_dearest_with_standing_power(report: Report) -> None:
    bill = platform(report, "loihi1").spiking
    assert bill is not None
    layers = {"a": {"memory": 1e-6, "input": 1e-6}, "b": {"memory": 4e-6}, "whole network": {"standing power": 8e-6}}
    rows = stacks(bill.model_copy(update={"layers": layers | {"c": {}}}))
    widths = {layer: [width for _, _, width in parts] for layer, _, parts in rows}
    assert widths == {"a": [12.5, 12.5], "b": [50.0], "whole network": [100.0]}
    assert "standing power" in {part for _, _, parts in stacks(bill) for part, _, _ in parts}


def test_the_full_tables_have_every_bill(report: Report) -> None:
    *tables, times = (part for part in everything(report) if isinstance(part, Table))
    assert times.row_count == 2 * 4, "what was measured"
    bills = sum(bill.network in report.networks for _, bill in billed(report))
    assert sum(table.row_count for table in tables) == bills
    assert len(tables) == 2


def test_one_platform_alone_is_answered_with_energy_and_time() -> None:
    alone = report_of(profiles="loihi1")
    loihi = platform(alone, "loihi1")
    assert loihi.spiking is not None
    after = loihi.times[SPIKING].after_window_s
    assert after is not None
    line = dict(alone.answer.lines)["spiking network"]
    assert line.startswith(si(loihi.spiking.energy_j[1], "J"))
    assert f"{si(after[1], 's')} after the window" in line
    assert loihi.energy_error in alone.answer.lines[0][1]
