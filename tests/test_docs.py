"""Figures on the pages of docs/ are those of the files that trainings wrote."""

import json
import re
from pathlib import Path

from benchmarks.results.tables import markdown

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
