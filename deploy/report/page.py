"""The report as one HTML page that needs nothing from outside."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from deploy.energy.bill import PARTS, WHOLE_NETWORK
from deploy.energy.model import SPIKING
from deploy.energy.wording import band, si, span, two_figures
from deploy.report.answers import energy_text, percent
from deploy.report.chart import bubble_chart

_WIDE, _NARROW = (9.6, 3.6), (4.4, 4.0)
"""Sizes of the chart in inches, for a desktop and for a phone."""

Values = dict[str, Any]


def page(data: Values) -> str:
    """Lay out the report."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "si": si,
        "two": two_figures,
        "band": band,
        "span": span,
        "energy": energy_text,
        "percent": percent,
        "count": lambda value: f"{value:,.0f}",
        "stacks": stacks,
        "precision": map_text,
        "shown": shown_parts,
    }
    points = data["chart"]["points"]
    environment.globals |= {
        "wide": bubble_chart(points, *_WIDE, salt="wide") if points else "",
        "narrow": bubble_chart(points, *_NARROW, salt="narrow") if points else "",
        "range_bar": RangeBar.of(data),
        "SPIKING": SPIKING,
    }
    return environment.get_template("page.html").render(data) + "\n"


def map_text(maps: Sequence[Values]) -> str:
    """Retrieval figures of one network: ``0.928``, with the range of the seeds where there are several."""
    if not maps:
        return "mAP not measured"
    return "; ".join(_one_map(each, len(maps) > 1) for each in maps)


def _one_map(each: Values, named: bool) -> str:
    seeds = f" ({each['low']:.3f} to {each['high']:.3f}, {each['seeds']} seeds)" if each["seeds"] > 1 else ""
    return f"{each['mean']:.3f}{seeds}" + (f" {each['name']}" if named else "")


class RangeBar:
    """Places bands of energy on one logarithmic axis that all rows of a table share."""

    def __init__(self, low: float, high: float) -> None:
        self._start, self._length = math.log(low), math.log(high / low)

    @staticmethod
    def of(data: Values) -> "RangeBar":
        """An axis that holds every scenario of the report."""
        rows = [row for item in [*data["platforms"], data["paper_style"]] for row in item["scenarios"]]
        values = [value for row in rows for value in row["energy_j"] if value > 0] or [1.0]
        return RangeBar(min(values) / 1.2, max(values) * 1.2)

    def __call__(self, corners: Sequence[float]) -> dict[str, float]:
        """Left edge, width and nominal value in percent of the axis."""
        low, nominal, high = (self._at(value) for value in corners)
        return {"left": low, "width": max(round(high - low, 2), 0.5), "dot": nominal}

    def _at(self, value: float) -> float:
        if value <= 0:
            return 0.0
        return round(100 * (math.log(value) - self._start) / self._length, 2)


def shown_parts(rows: Sequence[Values]) -> list[Values]:
    """The parts that ``stacks`` drew, in the order of ``PARTS``."""
    found = {part["name"]: part for row in rows for part in row["parts"]}
    return [found[part] for part in PARTS if part in found]


def stacks(row: Values) -> list[Values]:
    """Energy of each layer, split by what it is spent on, in percent of the dearest layer."""
    layers = {name: parts for name, parts in row["layers"].items() if name != WHOLE_NETWORK}
    dearest = max((sum(parts.values()) for parts in layers.values()), default=0.0) or 1.0
    return [
        {
            "layer": name,
            "energy": si(sum(parts.values()), "J"),
            "parts": [
                {"index": PARTS.index(part), "name": part, "width": round(100 * parts[part] / dearest, 2),
                 "energy": si(parts[part], "J")}
                for part in PARTS if parts.get(part)
            ],
        }
        for name, parts in layers.items()
    ]  # fmt: skip
