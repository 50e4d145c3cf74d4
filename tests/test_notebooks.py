"""What the docs show is what happens: Python on their pages is run, and what it prints is compared.

The pages are notebooks in Markdown, which jupytext reads. A block ``text`` after a cell is what it prints; cells
without one only have to run.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": 1, "docs/index.md": 1, "docs/first-steps.md": 3,
    "docs/notebooks/search.md": 8, "docs/notebooks/train.md": 5, "docs/notebooks/energy.md": 5,
}  # fmt: skip
"""Pages, and the least number of cells on each."""
PRINTED = re.compile(r"```text\n(.*?)```", re.DOTALL)
MARK = "-- end of cell --"


def cells(page: Path) -> list[tuple[str, str | None]]:
    """Python of each cell, and what the page says it prints."""
    found = jupytext.reads(page.read_text(encoding="utf-8"), fmt="md").cells
    after = [PRINTED.match(each.source) for each in found[1:]]
    return [
        (cell.source, told and told.group(1))
        for cell, told in zip(found, [*after, None], strict=True)
        if cell.cell_type == "code" and not cell.source.startswith("%%")
    ]


@pytest.mark.parametrize("page", PAGES)
def test_pages_do_what_they_show(page: str, tmp_path: Path) -> None:
    shown = cells(ROOT / page)
    assert len(shown) >= PAGES[page]
    script = "\n".join(f"{python}\nprint({MARK!r})" for python, _ in shown)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=280)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split(f"{MARK}\n")
    assert [(told, said) for (_, told), said in zip(shown, printed, strict=False) if told not in (None, said)] == []
    assert len(printed) == len(shown) + 1


def test_the_picture_of_the_readme_is_small() -> None:
    assert 1_000 < (ROOT / "docs" / "neighbours.png").stat().st_size < 100_000
