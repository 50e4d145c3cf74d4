"""The plots of the report as inline SVG. Colours are CSS variables, so that one file serves light and dark pages."""

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from deploy.energy.bill import PARTS
from deploy.energy.model import SPIKING
from deploy.energy.wording import si

# matplotlib writes these colours into the SVG; they are then replaced by the variables.
_INK, _MUTED, _GRID, _BACK = "#000001", "#000002", "#000003", "#000004"
_SNN, _ANN = "#000011", "#000012"
_VARIABLES = {_INK: "ink", _MUTED: "muted", _GRID: "grid", _BACK: "back", _SNN: "snn", _ANN: "ann"}
_PART_COLOURS = {part: f"#0000{0x20 + index:02x}" for index, part in enumerate(PARTS)}
_VARIABLES |= {colour: f"part{index}" for index, colour in enumerate(_PART_COLOURS.values())}
_FONT = 9.5
_ROW = 0.34
"""Inches per row."""

Row = dict[str, Any]


def totals_plot(groups: Sequence[tuple[str, Sequence[Row]]], width: float, labels_above: bool, salt: str) -> str:
    """Energy per code of every scenario: band of the prices, nominal value, spread over recordings.

    Args:
        groups: (heading, scenarios) in the order of the page.
        width: inches at which text has its natural size.
        labels_above: put each label above its bar instead of beside it, for narrow screens.
        salt: makes ids unique among the plots of one page.
    """
    places, at = _places(groups, labels_above)
    figure, axes = _figure(width, at, 0.04 if labels_above else 0.335, 0.97 if labels_above else 0.9, salt)
    axes.set_xscale("log")
    for y, text, scenario in places:
        if scenario is None:
            _text(axes, 0.0 if labels_above else -0.58, y, text, weight="bold")
        else:
            _band(axes, y, scenario)
            _label(axes, y, text, scenario, labels_above)
    values = [value for _, rows in groups for row in rows for value in (*row["energy_j"], *row["recordings_p5_p95_j"])]
    positive = [value for value in values if value > 0]
    axes.set_xlim(min(positive) / 1.6, max(positive) * 2.2)
    axes.set_ylim(at - 0.4, -1.0 if labels_above else -0.7)
    axes.xaxis.set_major_formatter(EngFormatter("J", places=0))
    return _svg(figure, "Energy per code of every network and platform, with bands", salt)


def _places(
    groups: Sequence[tuple[str, Sequence[Row]]], labels_above: bool
) -> tuple[list[tuple[float, str, Row | None]], float]:
    """Where each heading (without a row) and each scenario goes, from the top, and the height of all."""
    after_heading, after_row = (1.35, 1.75) if labels_above else (1.0, 1.0)
    places: list[tuple[float, str, Row | None]] = []
    at = 0.0
    for heading, rows in groups:
        places.append((at, heading, None))
        at += after_heading
        for row in rows:
            places.append((at, f"{row['network']}, {row['basis']}", row))
            at += after_row
        at += 0.35
    return places, at


def _label(axes: Axes, y: float, text: str, row: Row, above: bool) -> None:
    shown = ("" if row["complete"] else "≥ ") + si(row["energy_j"][1], "J")
    if above:
        _text(axes, 0.0, y - 0.62, f"{text}: {shown}", colour=_MUTED)
    else:
        _text(axes, -0.02, y, text, align="right")
        _text(axes, 1.02, y, shown)


def _band(axes: Axes, y: float, row: Row) -> None:
    low, nominal, high = row["energy_j"]
    colour = _SNN if row["network"] == SPIKING else _ANN
    ends = (low, high) if high > 1.15 * low else (low / 1.07, high * 1.07)
    axes.fill_betweenx([y - 0.2, y + 0.2], *ends, color=colour, linewidth=0)
    axes.plot([nominal], [y], marker="o", color=_INK, markeredgecolor=_BACK, markersize=5.5, linestyle="none")
    spread = row["recordings_p5_p95_j"]
    if spread[1] > spread[0]:
        axes.plot(spread, [y + 0.36, y + 0.36], color=_MUTED, linewidth=1.2, solid_capstyle="butt")
    if not row["complete"]:
        axes.plot([ends[1] * 1.1], [y], marker=">", color=colour, markersize=5, linestyle="none")


def layers_plot(row: Row, width: float, labels_above: bool, salt: str) -> str:
    """Nominal energy of each layer, stacked by what it is spent on. Parts that belong to no layer are left out."""
    layers = {name: parts for name, parts in row["layers"].items() if name != "whole network"}
    pitch = 1.5 if labels_above else 0.8
    height = pitch * len(layers) + 0.6
    figure, axes = _figure(width, height, 0.04 if labels_above else 0.26, 0.97, salt)
    for index, (name, parts) in enumerate(layers.items()):
        y, start = index * pitch, 0.0
        for part in PARTS:
            energy = parts.get(part, 0.0)
            if energy:
                axes.barh(y, energy, left=start, height=0.56, color=_PART_COLOURS[part], edgecolor=_BACK, linewidth=0.8)
                start += energy
        if labels_above:
            _text(axes, 0.0, y - 0.58, name, colour=_MUTED)
        else:
            _text(axes, -0.01, y, name, align="right")
    axes.set_ylim(height - 0.9, -1.0 if labels_above else -0.6)
    axes.set_xlim(0, None)
    axes.xaxis.set_major_formatter(EngFormatter("J"))
    axes.locator_params(axis="x", nbins=4 if labels_above else 7)
    return _svg(figure, "Energy of each layer by what it is spent on", salt)


def parts_of(row: Row) -> list[tuple[int, str]]:
    """(index of the colour, name) of the parts that ``layers_plot`` shows."""
    shown = {part for name, parts in row["layers"].items() if name != "whole network" for part in parts}
    return [(index, part) for index, part in enumerate(PARTS) if part in shown]


def _figure(width: float, rows: float, left: float, right: float, salt: str) -> tuple[Figure, Axes]:
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": salt, "font.size": _FONT})
    height = _ROW * rows + 0.55
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((left, 0.4 / height, right - left, 1 - 0.45 / height))
    axes.set_facecolor("none")
    figure.patch.set_alpha(0)
    axes.spines[:].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(axis="x", which="both", length=0, labelcolor=_MUTED)
    axes.grid(axis="x", which="major", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _text(
    axes: Axes, x: float, y: float, text: str, align: str = "left", weight: str = "normal", colour: str = _INK
) -> None:
    """Text at ``x`` in parts of the axes' width, and ``y`` in data units."""
    place = axes.get_yaxis_transform()
    axes.text(x, y, text, transform=place, ha=align, va="center", color=colour, fontweight=weight)


def _svg(figure: Figure, label: str, salt: str) -> str:
    """The figure as an SVG element that scales with the page, without dates, metadata or fixed fonts."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<svg [^>]*viewBox="([^"]+)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{label}">', text)
    text = re.sub(r"font: ([^;\"']*?)([\d.]+)px [^;\"]*", r"font: \1\2px var(--font)", text)
    text = re.sub(r'\bid="', f'id="{salt}-', text)
    text = text.replace('xlink:href="#', f'href="#{salt}-').replace("url(#", f"url(#{salt}-")
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())
