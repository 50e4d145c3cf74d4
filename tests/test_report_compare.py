"""What a change of network did: ratios against a plain calculation, what is left out is said."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_cases import report_of

from deploy.energy.model import SPIKING
from deploy.report.compare import compare_reports, comparison_tables, ratio, read_report
from spikinghash.errors import GraphError

POSITIVE = st.floats(1e-9, 1e3)
BAND = st.lists(POSITIVE, min_size=3, max_size=3).map(sorted)


@given(BAND, BAND)
def test_a_ratio_of_other_prices_holds_every_ratio(before: list[float], after: list[float]) -> None:
    low, nominal, high = ratio(before, after, same=False) or [0, 0, 0]
    assert nominal == after[1] / before[1]
    for old in before:
        for new in after:
            assert low * (1 - 1e-12) <= new / old <= high * (1 + 1e-12)


@given(BAND, st.floats(0.1, 10))
def test_a_network_that_does_all_twice_has_a_ratio_without_a_band(before: list[float], factor: float) -> None:
    found = ratio(before, [factor * value for value in before], same=True)
    assert found == pytest.approx([factor] * 3)


def test_nothing_is_divided_by_nothing() -> None:
    assert ratio([0.0, 1.0, 2.0], [1.0, 1.0, 1.0], same=True) is None


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return report_of(profiles="cmos_45nm,loihi1")


def side(report: dict[str, Any], name: str) -> dict[str, Any]:
    return {"name": name, **copy.deepcopy(report)}


def test_a_report_beside_itself_has_not_changed(report: dict[str, Any]) -> None:
    comparison = compare_reports(side(report, "a"), side(report, "b"))
    rows = [row for item in comparison["platforms"] for row in item["energies"]]
    spiking = [row for item in report["platforms"] for row in item["scenarios"] if row["network"] == SPIKING]
    assert len(rows) == len(spiking)
    assert all(row["ratio"] == [1.0, 1.0, 1.0] for row in rows)
    assert all(before == after for row in comparison["layers"] for before, after in [row["synops"]])
    assert comparison["notes"] == []
    tables = list(comparison_tables(comparison))
    assert tables[1].row_count >= len(rows)
    assert tables[2].row_count == 0


def test_layers_come_with_the_largest_change_first(report: dict[str, Any]) -> None:
    after = side(report, "b")
    after["layers"] = [row for row in after["layers"] if row["layer"] != "stage1"]
    loihi = next(item for item in after["platforms"] if item["id"] == "loihi1")
    parts = loihi["scenarios"][0]["layers"]["head"]
    added = 5 * sum(sum(each.values()) for each in loihi["scenarios"][0]["layers"].values())
    parts["synaptic operations"] += added
    comparison = compare_reports(side(report, "a"), after)
    first = comparison["layers"][0]
    assert (first["layer"], first["synops"][1], first["neurons"][1]) == ("stage1", 0, 0)
    layers = next(item for item in comparison["platforms"] if item["id"] == "loihi1")["layers"]
    assert layers[0]["layer"] == "head"
    assert layers[0]["energy_j"][1] - layers[0]["energy_j"][0] == pytest.approx(added, rel=1e-4)


def test_platforms_and_profiles_that_differ_are_named(report: dict[str, Any]) -> None:
    after = side(report, "b")
    after["platforms"] = [item for item in after["platforms"] if item["id"] == "loihi1"]
    after["platforms"][0]["profile_sha256"] = "0"
    comparison = compare_reports(side(report, "a"), after)
    assert [item["id"] for item in comparison["platforms"]] == ["loihi1"]
    assert "only in the first report: cmos_45nm" in comparison["notes"]
    assert any("loihi1" in note and "widest" in note for note in comparison["notes"])
    (platform,) = comparison["platforms"]
    low, nominal, high = platform["energies"][0]["ratio"]
    assert low < nominal == 1 < high


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", ":1: not JSON"),
        ("[]", "is no report"),
        ('{"format": 2}', "is no report"),
        ('{"format": 1, "network": {}, "networks": [], "layers": [], "platforms": []}', "format 1, this is 2"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(GraphError, match=message) as refused:
        read_report(path)
    assert "\n" not in str(refused.value)


def test_a_written_report_is_read(tmp_path: Path, report: dict[str, Any]) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert read_report(path)["platforms"] == report["platforms"]
