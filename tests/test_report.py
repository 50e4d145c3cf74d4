"""The report: one page, one JSON file and one CSV file with the same figures."""

import csv
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from energy_cases import small_counts
from report_cases import host_values, report_of

from deploy.energy.model import REAL_TIME, SPIKING
from deploy.energy.wording import si
from deploy.report.chart import bubble_chart
from deploy.report.page import RangeBar, page, stacks
from deploy.report.tables import csv_text, remarks, terminal_table
from export.synaptic.counts import LayerCounts


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return report_of(hosts=host_values(tmp_path_factory.mktemp("hosts")))


@pytest.fixture(scope="module")
def html(data: dict[str, Any]) -> str:
    return page(data)


def platform(data: dict[str, Any], key: str) -> dict[str, Any]:
    return next(item for item in data["platforms"] if item["id"] == key)


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


def test_measured_hosts_keep_their_figures(data: dict[str, Any], html: str) -> None:
    (run,) = data["hosts"]["runs"]
    assert run["per_code_s"] == pytest.approx(2e-3)
    assert "2.0 ms" in html
    assert "not measured" in html[html.index('id="hosts"') :]


def test_every_section_is_there(html: str) -> None:
    for text in (
        "Break-even sparsity", "Placement", "Where the energy goes", "Do the prices reproduce", "Measured hosts",
        "no energy counter: powercap absent", "Search among 1,000 codes", "Assumptions", "Sources", "HashNet", "CSQ",
    ):  # fmt: skip
        assert text in html, text


# Figures


def test_every_total_is_on_the_page_and_in_the_csv(data: dict[str, Any], html: str) -> None:
    rows = [row for row in csv.DictReader(csv_text(data).splitlines()) if row["row"] != "term"]
    billed = [*data["platforms"], *data["search"]["platforms"], data["paper_style"]]
    scenarios = [row for item in billed for row in item["scenarios"]]
    assert len(rows) == len(scenarios) > 8
    for scenario, total in zip(scenarios, rows, strict=True):
        assert [float(total[key]) for key in ("energy_low_j", "energy_j", "energy_high_j")] == scenario["energy_j"]
        assert total["row"] == ("total" if scenario["complete"] else "lower bound")
        assert total["unpriced"] == "; ".join(scenario["unpriced"])
        mark = "" if scenario["complete"] else "≥ "
        assert f"{mark}{si(scenario['energy_j'][1], 'J')}" in html


def test_terms_layers_and_parts_add_up_to_their_total(data: dict[str, Any]) -> None:
    for item in data["platforms"]:
        for row in item["scenarios"]:
            for corner in range(3):
                terms = sum(term["energy_j"][corner] for term in row["terms"] if term["energy_j"])
                assert terms == pytest.approx(row["energy_j"][corner], rel=1e-4)
                parts = sum(part[corner] for part in row["parts"].values())
                assert parts == pytest.approx(row["energy_j"][corner], rel=1e-4)
            layers = sum(sum(parts.values()) for parts in row["layers"].values())
            assert layers == pytest.approx(row["energy_j"][1], rel=1e-4)


def test_counts_in_the_report_are_those_of_the_trace(data: dict[str, Any]) -> None:
    counts = small_counts()
    synops = sum(float(layer.synops.mean()) for layer in counts.layers)
    assert data["network"]["synops"] == pytest.approx(synops, rel=1e-5)
    rows = {row["layer"]: row for row in data["layers"]}
    assert list(rows) == ["input", "stage1", "head"]
    lif, delay = counts.layers[1:3]
    assert rows["stage1"]["neurons"] == lif.neurons + delay.neurons
    share = delay.synops.mean() / (lif.synops.mean() + delay.synops.mean())
    assert rows["stage1"]["helper_synops_share"] == pytest.approx(share, rel=1e-5)


def test_lower_bounds_are_marked_wherever_they_stand(data: dict[str, Any], html: str) -> None:
    cmos = platform(data, "cmos_45nm")
    for row in cmos["scenarios"]:
        assert not row["complete"]
        assert row["unpriced"] == ["static power"]
        assert f"≥ {si(row['energy_j'][1], 'J')}" in html
    assert "at least" in cmos["answer"]


def test_headlines_hold_every_basis_but_the_real_time_window(data: dict[str, Any]) -> None:
    checked = 0
    for item in data["platforms"]:
        for headline in item["headlines"]:
            rows = [row for row in item["scenarios"] if row["network"] == headline["network"]]
            computing = [row for row in rows if REAL_TIME not in row["basis"]]
            assert headline["real_time"] == (computing == [])
            low = min(row["energy_j"][0] for row in computing or rows)
            high = max(row["energy_j"][2] for row in computing or rows)
            assert (headline["energy_j"][0], headline["energy_j"][2]) == (low, high)
            assert low <= headline["energy_j"][1] <= high
            checked += len(rows) > len(computing)
    assert checked


def test_networks_are_compared_on_the_same_platform_and_basis(data: dict[str, Any]) -> None:
    cmos = platform(data, "cmos_45nm")
    energies = {(row["network"], row["basis"]): row["energy_j"] for row in cmos["scenarios"]}
    others = {network for network, _ in energies} - {SPIKING}
    assert {item["against"] for item in cmos["comparisons"]} == others
    assert len(others) == 5
    for item in cmos["comparisons"]:
        pairs = [(e, energies[SPIKING, b]) for (n, b), e in energies.items() if n == item["against"]]
        ratios = [own[corner] / other[corner] for other, own in pairs for corner in range(3)]
        assert item["ratio"][0] == pytest.approx(min(ratios), rel=1e-4)
        assert item["ratio"][2] == pytest.approx(max(ratios), rel=1e-4)
    for item in cmos["break_even"]:
        own, other = energies[SPIKING, item["basis"]], energies[item["against"], item["basis"]]
        assert item["ratio"][1] == pytest.approx(own[1] / other[1], rel=1e-4)


def test_a_map_stands_beside_every_energy(data: dict[str, Any], html: str) -> None:
    maps = {item["kind"]: item["maps"] for item in data["networks"]}
    assert [each["mean"] for each in maps["snn"]] == [0.92]
    assert (maps["snn"][0]["low"], maps["snn"][0]["high"], maps["snn"][0]["seeds"]) == (0.91, 0.93, 2)
    assert [each["name"] for each in maps["resnet18"]] == ["HashNet", "CSQ"]
    assert maps["qnn"] == []
    assert "0.920 (0.910 to 0.930, 2 seeds)" in html
    assert "at a mAP of 0.920 against 0.940" in data["answer"]
    rows = [row for row in csv.DictReader(csv_text(data).splitlines()) if row["network"] == "ResNet-18"]
    assert {row["map"] for row in rows} == {"0.96 0.97"}


def test_without_results_the_map_is_said_to_be_missing() -> None:
    data = report_of(measured=False)
    assert all(item["maps"] == [] for item in data["networks"])
    assert "mAP not measured" in data["answer"]
    assert "mAP not measured" in page(data)
    assert not any(item["kind"] == "int8_twin" for item in data["networks"])


def test_skipped_zeros_make_the_twin_cheaper_where_macs_are_billed(data: dict[str, Any]) -> None:
    energies = {(row["network"], row["basis"]): row["energy_j"][1] for row in platform(data, "cmos_45nm")["scenarios"]}
    for (network, basis), energy in energies.items():
        if network == "int8 twin (zeros skipped)" and "each time" in basis:
            assert energy < energies["ANN twin (1 frame)", basis]


# Refusals


def test_a_network_that_does_not_fit_gets_no_figure() -> None:
    counts = small_counts()
    wide = replace(counts.layers[1], fan_in_max=5000)
    data = report_of(replace(counts, layers=(counts.layers[0], wide, *counts.layers[2:])), "loihi1")
    loihi = platform(data, "loihi1")
    assert loihi["scenarios"] == loihi["headlines"] == []
    assert "input axons per core: needs 5,000, has 4,096" in loihi["refusals"][0]
    assert "input axons per core" in loihi["fit"]["broken"]
    assert "does not fit" in data["answer"]
    html = page(data)
    assert "Limits broken: " in html
    assert "<svg" not in html


def test_networks_that_share_a_refusal_share_its_line(data: dict[str, Any]) -> None:
    refusals = platform(data, "loihi1")["refusals"]
    reasons = [refusal.partition(": ")[2] for refusal in refusals]
    assert len(set(reasons)) == len(reasons)
    assert any(refusal.startswith("ANN twin (1 frame), ANN twin (4 frames), QNN twin") for refusal in refusals)
    assert any("loihi1: no figure for ANN twin" in line for line in remarks(data))


def test_platforms_with_figures_come_first(data: dict[str, Any]) -> None:
    empty = [item["scenarios"] == [] for item in data["platforms"]]
    assert empty == sorted(empty)


def test_a_silent_network_still_has_a_report() -> None:
    def silent(layer: LayerCounts) -> LayerCounts:
        return replace(layer, spikes=0 * layer.spikes, synops=0 * layer.synops, active_updates=0 * layer.active_updates)

    counts = small_counts()
    data = report_of(replace(counts, layers=tuple(map(silent, counts.layers))), "cmos_45nm,loihi1")
    assert all(item["break_even"] == [] for item in data["platforms"])
    assert "<svg" in page(data)


# Charts and tables


def test_the_chart_names_every_point(data: dict[str, Any]) -> None:
    points = data["chart"]["points"]
    titles = re.findall(r"<title>(.*?)</title>", bubble_chart(points, 6, 3, "x"))
    assert len(titles) == len(points) > 5
    for point, title in zip(points, titles, strict=True):
        assert title.startswith(f"{point['platform']}, {point['network']}: ")
        assert ("at least" in title) == (not point["complete"])
    shown = {item["id"] for item in data["platforms"] if item["headlines"]}
    assert set(data["chart"]["platforms"]) == shown


@pytest.mark.parametrize("values", [(1e-6, 2e-6, 4e-6), (1e-9, 1e-9, 1e-9), (1e-6, 1e-3, 1e-3)])
def test_bars_are_placed_on_a_logarithmic_axis(values: tuple[float, float, float]) -> None:
    bar = RangeBar(1e-9, 1e-3)(values)
    at = [100 * (np.log10(value) + 9) / 6 for value in values]
    assert bar["left"] == pytest.approx(at[0], abs=0.01)
    assert bar["dot"] == pytest.approx(at[1], abs=0.01)
    assert bar["width"] == pytest.approx(max(at[2] - at[0], 0.5), abs=0.01)


def test_layers_are_stacked_against_the_dearest() -> None:
    layers = {"a": {"memory": 1e-6, "input": 1e-6}, "b": {"memory": 4e-6}, "whole network": {"standing power": 1.0}}
    rows = {row["layer"]: [part["width"] for part in row["parts"]] for row in stacks({"layers": layers})}
    assert rows == {"a": [25.0, 25.0], "b": [100.0]}


def test_the_terminal_table_has_every_bill(data: dict[str, Any]) -> None:
    bills = sum(len(item["scenarios"]) for item in [*data["platforms"], data["paper_style"]])
    assert terminal_table(data).row_count == bills


def test_one_platform_alone_is_answered_with_energy_and_time(data: dict[str, Any]) -> None:
    alone = report_of(profiles="loihi1")
    energy = platform(alone, "loihi1")["headlines"][0]["energy_j"][1]
    time = platform(alone, "loihi1")["latency"][SPIKING]["after_window_s"][1]
    assert f"{si(energy, 'J')}" in alone["answer"]
    assert f"on Intel Loihi 1 and is there {si(time, 's')} after the window" in alone["answer"].replace("at least ", "")
    assert "(Intel Loihi 1)" not in alone["answer"]
