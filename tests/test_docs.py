"""Figures on the pages of docs/ are those of the files that trainings wrote."""

import hashlib
import json
import re
from pathlib import Path

from benchmarks.results.tables import markdown
from benchmarks.runtimes.__main__ import RUNTIMES
from benchmarks.runtimes.page import page
from benchmarks.side_by_side.__main__ import ENCODERS
from benchmarks.side_by_side.page import written
from spikinghash.seal import parse_json

DOCS = Path(__file__).resolve().parents[1] / "docs"


def tables(page: str) -> list[str]:
    """The lines of all tables of a page."""
    return [line for line in page.splitlines() if line.startswith("|")]


def test_the_results_page_is_written_from_the_results() -> None:
    page = (DOCS / "results.md").read_text()
    (date, hardware, _) = re.search(r"on ([\d-]+); (.+); configurations (\w+)\.", page).groups()  # type: ignore[union-attr]
    written = markdown(json.loads((DOCS / "results.json").read_text()), date, hardware)
    assert tables(page) == tables(written)
    assert len(tables(page)) > 10


def test_the_levels_page_has_the_figures_of_the_trainings() -> None:
    found = [
        [", ".join(map(str, each["levels"])), str(each["channels_per_group"]), f"{each['map']:.3f}",
         f"{each['synaptic_operations'] / 1e6:.1f} million"]
        for each in json.loads((DOCS / "levels.json").read_text())
    ]  # fmt: skip
    rows = [
        [cell.strip(" *") for cell in line.strip("|").split("|")] for line in tables((DOCS / "levels.md").read_text())
    ]
    assert sorted(rows[2:]) == sorted(found)


def test_the_runtimes_page_is_written_from_what_was_measured_of_the_committed_encoders() -> None:
    measured = parse_json((DOCS / "runtimes.json").read_bytes())
    assert (DOCS / "runtimes.md").read_text() == page(measured)
    for row in measured["rows"]:
        checkpoint = DOCS.parent / "checkpoints" / f"{row['encoder']}.pt"
        assert row["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        assert row["equal"] == row["recordings"] == 100
    assert {row["encoder"] for row in measured["rows"]} == {"digits", "nmnist"}
    assert {row["runtime"] for row in measured["rows"]} == set(measured["versions"]) == set(RUNTIMES)


def test_the_tables_of_speed_are_written_from_what_was_measured_of_the_committed_encoders() -> None:
    measured = parse_json((DOCS / "speed.json").read_bytes())
    text = (DOCS / "speed.md").read_text()
    assert written(text, measured) == text
    assert [each["name"] for each in measured["encoders"]] == list(ENCODERS)
    for each in measured["encoders"]:
        checkpoint = DOCS.parent / "checkpoints" / f"{each['name']}.pt"
        assert each["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
