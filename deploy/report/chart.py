"""The chart of the first screen: mAP against energy per code, one bubble per platform and network, bands drawn.

With a classification head, top-1 accuracy against energy per recording.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullLocator

from deploy.energy.assessment import REAL_TIME
from deploy.energy.wording import band, si
from deploy.report.model import Network, Platform, Priced, Report, Retrieval
from deploy.report.svg import Palette, svg

KINDS = ("snn", "ann_twin_1", "ann_twin_t", "qnn", "int8_twin", "resnet18")
_PALETTE = Palette("ink", "muted", "grid", "back", *KINDS)
_FONT = 9.0
_DPI = 72
"""SVG units per inch, in which matplotlib writes."""
_SMALLEST = 15.0
"""Diameter of the bubble of the network with the fewest weights, in points: a number of two digits fits in."""
_ROW = 34.0
"""Height of a row of networks without a mAP, in points: a line of text above its bubbles."""
_MARGINS = (40.0, 10.0, 34.0, 20.0)
"""Left, right, bottom, top of the axes, in points."""


@dataclass(frozen=True)
class Point:
    """A platform and a trained variant of a network; platforms are numbered in the page's order."""

    number: int
    platform: Platform
    network: Network
    bill: Priced
    retrieval: Retrieval | None

    @property
    def map(self) -> float | None:
        """Of the weights that are priced, else the mean over the seeds."""
        return self.retrieval.value if self.retrieval else None


def chart_points(report: Report) -> list[Point]:
    """One point per platform, network and trained variant of it."""
    shown = [platform for platform in report.platforms if platform.figures]
    return [
        Point(number, platform, report.networks[label], bill, retrieval)
        for number, platform in enumerate(shown, start=1)
        for label, bill in platform.figures.items()
        for retrieval in report.networks[label].maps or [None]
    ]


@dataclass(frozen=True)
class _Bubble:
    """A point with its place on the figure, in points from the lower left."""

    point: Point
    x: float
    y: float
    diameter: float

    def overlaps(self, other: "_Bubble") -> bool:
        return (self.x - other.x) ** 2 + (self.y - other.y) ** 2 < ((self.diameter + other.diameter) / 2) ** 2


def bubble_chart(points: Sequence[Point], width: float, height: float, salt: str) -> str:
    """Draw the chart.

    Networks without a measured mAP stand in rows of their own below the axis. Bubbles that would hide each other are
    moved up or down. A bubble's area follows the cube root of the stored weights.

    Args:
        points: as ``chart_points`` gives them.
        width: in inches, where text has its natural size.
        height: in inches; rows without a mAP come on top of it.
        salt: makes ids unique among the figures of one page.
    """
    unmeasured = list(dict.fromkeys(p.network.network for p in points if p.map is None))
    measured = [p.retrieval for p in points if p.retrieval]
    below = _ROW * (len(unmeasured) + 0.2) if unmeasured else 0.0
    full = below + (height * _DPI if measured else _MARGINS[2] + _MARGINS[3])
    figure, axes = _axes(width, full / _DPI, salt)
    energies = [value for point in points for value in point.bill.energy_j if value > 0] or [1e-6]
    axes.set_xlim(min(energies) / 2, max(energies) * 2)
    axes.set_ylim(0, full - _MARGINS[2] - _MARGINS[3])
    figure_name, unit = points[0].network.figure, points[0].network.unit
    axes.set_xlabel(f"energy per {unit}", color=_PALETTE["muted"])
    if measured:
        _map_axis(axes, measured, below, figure_name)
    _rows(axes, [f"{name}, {figure_name} not measured" for name in unmeasured], below, divided=bool(measured))
    titles = {}
    for index, bubble in enumerate(_placed(axes, points, measured, unmeasured, below)):
        _draw(axes, bubble, f"point{index}")
        titles[f"point{index}"] = _title(bubble.point)
    return svg(figure, f"{figure_name} against energy per {unit}", salt, _PALETTE, titles)


def _axes(width: float, height: float, salt: str) -> tuple[Figure, Axes]:
    """Axes whose y data are points above their lower edge."""
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": salt, "font.size": _FONT})
    figure = Figure(figsize=(width, height))
    left, right, bottom, top = (margin / _DPI for margin in _MARGINS)
    axes = figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height), xscale="log"
    )
    figure.patch.set_alpha(0)
    axes.set_facecolor("none")
    axes.spines[:].set_visible(False)
    axes.xaxis.set_major_formatter(EngFormatter("J", places=0))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(which="both", length=0, labelcolor=_PALETTE["muted"])
    axes.grid(color=_PALETTE["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_yticks([])
    return figure, axes


def _map_limits(measured: Sequence[Retrieval]) -> tuple[float, float]:
    """Range of the mAP axis: that of the values with a margin, at least 0.04, at most up to 1."""
    low, high = min(m.low for m in measured), max(m.high for m in measured)
    margin = max(0.2 * (high - low), 0.02 - (high - low) / 2)
    return max(0.0, low - margin), min(1.0, high + margin)


def _height_of(value: float, axes: Axes, measured: Sequence[Retrieval], below: float) -> float:
    low, high = _map_limits(measured)
    return below + (axes.get_ylim()[1] - below) * (value - low) / (high - low)


def _map_axis(axes: Axes, measured: Sequence[Retrieval], below: float, name: str) -> None:
    low, high = _map_limits(measured)
    values = matplotlib.ticker.MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
    ticks = [value for value in values if low <= value <= high]
    axes.set_yticks(
        [_height_of(value, axes, measured, below) for value in ticks],
        [f"{value:.3f}".rstrip("0").rstrip(".") for value in ticks],
    )
    axes.annotate(
        name, (0, 1), (-_MARGINS[0], 9), xycoords="axes fraction", textcoords="offset points", color=_PALETTE["muted"]
    )


def _rows(axes: Axes, unmeasured: Sequence[str], below: float, divided: bool) -> None:
    """Names of the networks whose mAP nobody measured, in the rows below the axis."""
    if divided and unmeasured:
        axes.axhline(below, color=_PALETTE["muted"], linewidth=0.8, dashes=(4, 3))
    for index, name in enumerate(unmeasured):
        y = _row_height(index, below) + 0.5 * _ROW
        axes.text(0.0, y, name, transform=axes.get_yaxis_transform(), va="center",
                  color=_PALETTE["muted"])  # fmt: skip


def _row_height(index: int, below: float) -> float:
    """Where the bubbles of row ``index`` are."""
    return below - _ROW * (index + 0.75)


def _placed(
    axes: Axes, points: Sequence[Point], measured: Sequence[Retrieval], unmeasured: Sequence[str], below: float
) -> Iterator[_Bubble]:
    """Bubbles without overlap where there is room: each keeps its height or takes the nearest free one."""
    fewest = min((point.network.weights for point in points), default=1)
    done: list[_Bubble] = []
    for point in points:
        x = axes.transData.transform((max(point.bill.energy_j[1], axes.get_xlim()[0]), 0))[0] * _DPI / axes.figure.dpi
        if point.map is not None:
            y = _height_of(point.map, axes, measured, below)
        else:
            y = _row_height(unmeasured.index(point.network.network), below)
        diameter = _SMALLEST * (point.network.weights / fewest) ** (1 / 6)
        bubble = _free(_Bubble(point, x, y, diameter), done, steps=6 if point.map is not None else 1)
        done.append(bubble)
        yield bubble


def _free(wanted: _Bubble, done: Sequence[_Bubble], steps: int) -> _Bubble:
    """``wanted``, or the nearest of ``steps`` heights above and below it that hide no other bubble."""
    shifts = [0.0, *(sign * step * _SMALLEST / 3 for step in range(1, steps + 1) for sign in (1, -1))]
    tried = [_Bubble(wanted.point, wanted.x, wanted.y + shift, wanted.diameter) for shift in shifts]
    return next((bubble for bubble in tried if not any(map(bubble.overlaps, done))), wanted)


def _draw(axes: Axes, bubble: _Bubble, gid: str) -> None:
    """The band of prices as a line, the bubble at the nominal energy, the platform's number in it."""
    low, nominal, high = bubble.point.bill.energy_j
    colour = _PALETTE[bubble.point.network.kind]
    axes.plot([low, high], [bubble.y] * 2, color=colour, linewidth=2.5, alpha=0.55, clip_on=False)
    if not bubble.point.bill.complete:
        axes.plot([high], [bubble.y], marker=">", color=colour, markersize=5, linestyle="none", clip_on=False)
    shape: dict[str, Any] = {
        "marker": "s" if REAL_TIME in bubble.point.bill.basis else "o",
        "markersize": bubble.diameter,
        "clip_on": False,
    }
    axes.plot([nominal], [bubble.y], color=_PALETTE["back"], linestyle="none", **shape)
    axes.plot(
        [nominal], [bubble.y], markerfacecolor=to_rgba(colour, 0.25), markeredgecolor=colour, markeredgewidth=1.4,
        linestyle="none", gid=gid, **shape,
    )  # fmt: skip
    axes.text(
        nominal, bubble.y, str(bubble.point.number), ha="center", va="center_baseline", fontsize=7.5,
        color=_PALETTE["ink"],
    )  # fmt: skip


def _title(point: Point) -> str:
    """What the pointer shows."""
    bill = point.bill
    energy = f"{'' if bill.complete else 'at least '}{si(bill.shown_j, 'J')} ({band(bill.energy_j, 'J')}, {bill.grade})"
    name = point.network.figure
    retrieval = f"{name} {point.map:.3f}, {point.retrieval.name}" if point.retrieval else f"{name} not measured"
    return f"{point.platform.name}, {point.network.network}: {energy}; {retrieval}"
