"""The figures as a page of docs."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import jinja2

NAMES = {
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "mnn": "MNN",
    "iree": "IREE",
    "tract": "tract",
    "ncnn": "ncnn",
    "onnxreference": "onnx.reference",
}
Row = dict[str, Any]


def page(measured: dict[str, Any]) -> str:
    """Markdown of what was measured."""
    rows: list[Row] = measured["rows"]
    versions = {"onnxruntime": measured["onnxruntime"]} | measured["versions"]
    loads = [row["load"] for row in rows]
    return _TEMPLATES.get_template("page.md.j2").render(
        {key: measured[key] for key in ("date", "processor", "processors")},
        recordings=rows[0]["recordings"],
        others=_others(rows),
        least_load=f"{min(loads):.0f}",
        most_load=f"{max(loads):.0f}",
        apart=f"{_apart(rows):.1f}",
        versions=", ".join(f"{NAMES[runtime]} {number}" for runtime, number in versions.items()),
        lines="\n".join(map(_line, rows)),
    )


def _line(row: Row) -> str:
    equal, freely = (f"{row[key]}/{row['recordings']}" if key in row else "" for key in ("equal", "equal_as_it_comes"))
    cells = (row["encoder"], NAMES[row["runtime"]], row["file"], equal, freely)
    return f"| {' | '.join(cells)} | {row['ratio']:.1f} | {row['start_s']:.1f} |"


def _apart(rows: list[Row]) -> float:
    """The largest factor between the times of a runtime on one form of both encoders."""
    times = defaultdict(list)
    for row in rows:
        times[row["runtime"], row["file"]].append(row["ratio"])
    return max(max(each) / min(each) for each in times.values())


def _others(rows: list[Row]) -> int:
    """Codes of the first encoder that OpenVINO changes where it is not told to keep 32 bits."""
    first = next(row for row in rows if row["runtime"] == "openvino")
    return int(first["recordings"] - first["equal_as_it_comes"])


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
)
