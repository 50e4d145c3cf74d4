"""The report as one HTML page that needs nothing from outside."""

import math
from collections.abc import Sequence
from pathlib import Path

from deploy.energy.assessment import SPIKING
from deploy.energy.bill import PARTS
from deploy.energy.wording import band, si, span, two_figures
from deploy.report.answers import energy_text, fairest, map_text, percent, platform_answer
from deploy.report.chart import bubble_chart, chart_points
from deploy.report.model import Priced, Report
from deploy.report.tables import FAMILIES, nominal_text
from spikinghash.templates import html_templates

_WIDE, _NARROW = (9.6, 3.6), (4.4, 4.0)
"""Sizes of the chart in inches, for a desktop and for a phone."""


def page(report: Report) -> str:
    """Lay out the report."""
    environment = html_templates(Path(__file__).parent)
    environment.filters |= {
        "si": si,
        "two": two_figures,
        "band": band,
        "span": span,
        "energy": energy_text,
        "nominal": nominal_text,
        "percent": percent,
        "count": lambda value: f"{value:,.0f}",
        "stacks": stacks,
        "map": map_text,
        "answer": lambda platform: platform_answer(platform, report.spiking.window_s, report.unit),
        "fairest": lambda platform: fairest(platform, report.baselines),
    }
    points = chart_points(report)
    values = {
        "report": report,
        "points": points,
        "wide": bubble_chart(points, *_WIDE, salt="wide") if points else "",
        "narrow": bubble_chart(points, *_NARROW, salt="narrow") if points else "",
        "range_bar": RangeBar.of(report),
        "groups": [(True, "Complete totals"), (False, "Lower bounds: a term that is needed has no published price")],
        "families": FAMILIES,
        "parts": PARTS,
        "SPIKING": SPIKING,
    }
    return environment.get_template("page.html").render(values) + "\n"


class RangeBar:
    """Places bands of energy on one logarithmic axis that all rows of a table share."""

    def __init__(self, low: float, high: float) -> None:
        self._start, self._length = math.log(low), math.log(high / low)

    @staticmethod
    def of(report: Report) -> "RangeBar":
        """An axis that holds every bill of the report."""
        bills = [bill for item in report.platforms for bill in item.bills]
        values = [value for bill in bills for value in bill.energy_j if value > 0] or [1.0]
        return RangeBar(min(values) / 1.2, max(values) * 1.2)

    def __call__(self, corners: Sequence[float]) -> dict[str, float]:
        """Left edge, width and nominal value in percent of the axis."""
        low, nominal, high = (self._at(value) for value in corners)
        return {"left": low, "width": max(round(high - low, 2), 0.5), "dot": nominal}

    def _at(self, value: float) -> float:
        if value <= 0:
            return 0.0
        return round(100 * (math.log(value) - self._start) / self._length, 2)


def stacks(bill: Priced) -> list[tuple[str, float, list[tuple[str, float, float]]]]:
    """Nominal energy of each layer and of its parts: (layer, joules, [(part, joules, percent of the dearest row)]).

    What no layer causes, such as standing power, is a row of its own.
    """
    rows = {name: parts for name, parts in bill.layers.items() if any(parts.values())}
    dearest = max((sum(parts.values()) for parts in rows.values()), default=0.0)
    return [
        (
            name,
            sum(parts.values()),
            [(part, parts[part], round(100 * parts[part] / dearest, 2)) for part in PARTS if parts.get(part)],
        )
        for name, parts in rows.items()
    ]
