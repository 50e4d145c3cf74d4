"""The figures as a page of docs."""

import statistics
from pathlib import Path
from typing import Any

from benchmarks.microcontroller.board import BOARDS, TEMPLATES
from spikinghash.seal import parse_json

Row = dict[str, Any]
RETRIEVAL = Path(__file__).resolve().parents[2] / "docs" / "sparsity.json"
ENCODER, TWIN = "encoder", "int8_twin"
_NAMES = {
    ENCODER: "Spikinghash",
    TWIN: "int8 twin, one frame",
    "int8_twin_maps": "int8 twin, its linear maps alone",
}


def page(rows: list[Row]) -> str:
    """Markdown of what was measured."""
    retrieval = parse_json(RETRIEVAL.read_bytes())
    encoders = [row for row in rows if row["kind"] == ENCODER]
    return TEMPLATES.get_template("page.md.j2").render(
        lines="\n".join(_line(row, rows) for row in rows if row["kind"] in _NAMES),
        figures="\n".join(_figures(row, retrieval) for row in encoders if row["profile"] == next(iter(BOARDS))),
        compile_seconds=f"{max(row['compile_s'] for row in encoders):.1f}",
    )


def _line(row: Row, rows: list[Row]) -> str:
    """A program on a core; of an encoder also how many of its twin's instructions it takes, where these are known."""
    twins = [each for each in rows if each["kind"] == TWIN and each["profile"] == row["profile"]]
    mine = [each["instructions"] for each in twins if row["kind"] == ENCODER and each["dataset"] == row["dataset"]]
    cells = (
        row["dataset"],
        BOARDS[row["profile"]].name,
        _NAMES[row["kind"]],
        f"{row['instructions'] / 1e6:.2f}",
        f"{row['least'] / 1e6:.2f} to {row['most'] / 1e6:.2f}",
        "".join(f"{row['instructions'] / count:.2f}" for count in mine),
        f"{row['flash_bytes'] / 1e3:.0f}",
        f"{row['ram_bytes'] / 1e3:.0f}",
        f"{row['stack_bytes'] / 1e3:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def _figures(encoder: Row, retrieval: list[Row]) -> str:
    """MAP of an encoder, of its training's seeds, and of the twin."""
    mine = [row for row in retrieval if row["dataset"] == encoder["dataset"]]
    (own,) = (row for row in mine if encoder["checkpoint_sha256"] in row.get("checkpoints", ()))
    (twin,) = (row for row in mine if row.get("kind") == TWIN)
    itself = own["map"][own["checkpoints"].index(encoder["checkpoint_sha256"])]
    mean, (of_twin,) = statistics.mean(own["map"]), twin["map"]
    return f"| {encoder['dataset']} | {itself:.4f} | {mean:.4f} ({len(own['map'])}) | {of_twin:.4f} |"
