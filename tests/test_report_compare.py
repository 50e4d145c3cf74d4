"""What a change of network did: ratios against a plain calculation, what is left out is said."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_cases import report_of

from deploy.energy.assessment import SPIKING
from deploy.report.compare import compare_reports, comparison_tables, ratio
from deploy.report.model import FORMAT, Report, read_report
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
def report() -> Report:
    return report_of(profiles="cmos_45nm,loihi1")


def test_a_report_beside_itself_has_not_changed(report: Report) -> None:
    change = compare_reports(report, report, ("a", "b"))
    rows = [row for item in change.platforms for row in item.energies]
    spiking = [bill for item in report.platforms for bill in item.bills if bill.network == SPIKING]
    assert len(rows) == len(spiking)
    assert all(row.ratio == (1.0, 1.0, 1.0) for row in rows)
    assert all(row.synops[0] == row.synops[1] for row in change.layers)
    assert change.notes == ()
    tables = list(comparison_tables(change))
    assert tables[1].row_count >= len(rows)
    assert tables[2].row_count == 0


def test_layers_come_with_the_largest_change_first(report: Report) -> None:
    loihi = next(item for item in report.platforms if item.id == "loihi1")
    bill = loihi.bills[0]
    added = 5 * sum(sum(each.values()) for each in bill.layers.values())
    head = bill.layers["head"]
    dearer = bill.layers | {"head": head | {"synaptic operations": head["synaptic operations"] + added}}
    changed = loihi.model_copy(update={"bills": (bill.model_copy(update={"layers": dearer}), *loihi.bills[1:])})
    layers = tuple(row for row in report.spiking.layers if row.layer != "stage1")
    spiking = report.spiking.model_copy(update={"layers": layers})
    change = compare_reports(
        report, report.model_copy(update={"spiking": spiking, "platforms": (changed,)}), ("a", "b")
    )
    first = change.layers[0]
    assert (first.layer, first.synops[1], first.neurons[1]) == ("stage1", 0, 0)
    (platform,) = change.platforms
    assert platform.layers[0].layer == "head"
    assert platform.layers[0].energy_j[1] - platform.layers[0].energy_j[0] == pytest.approx(added, rel=1e-4)


def test_platforms_and_profiles_that_differ_are_named(report: Report) -> None:
    loihi = next(item for item in report.platforms if item.id == "loihi1")
    other = loihi.model_copy(update={"profile_sha256": "0"})
    change = compare_reports(report, report.model_copy(update={"platforms": (other,)}), ("a", "b"))
    assert [item.id for item in change.platforms] == ["loihi1"]
    assert "only in the first report: cmos_45nm" in change.notes
    assert any("loihi1" in note and "widest" in note for note in change.notes)
    found = change.platforms[0].energies[0].ratio
    assert found is not None
    assert found[0] < found[1] == 1 < found[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "is no report"),
        (f'{{"format": {FORMAT}}}', "is no report: answer"),
        ('{"format": 2, "network": {}, "networks": []}', f"format 2, this is {FORMAT}"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(GraphError, match=message) as refused:
        read_report(path)
    assert "\n" not in str(refused.value)


def test_a_written_report_is_read(tmp_path: Path, report: Report) -> None:
    path = tmp_path / "report.json"
    path.write_text(report.to_json())
    assert read_report(path) == report
