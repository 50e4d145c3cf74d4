"""A graph drawn by its groups: one panel per group, stages from top to bottom, within a panel the flow to the right.

The SVG stands on its own (text as outlines) and its bytes depend on the graph alone.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from export.nir.structure import VALID, Node, Structure
from spikinghash.files import atomic_path

BOX_WIDTH, BOX_HEIGHT = 1.12, 0.62
COLUMN_GAP, LINE_GAP = 0.26, 0.14
PADDING, TITLE = 0.16, 0.34
PANEL_GAP, ROW_GAP = 0.85, 0.95
WIDEST_ROW = 22.0
"""Inches, all of the above too."""

COLOURS = {
    "LIF": "#a8c8ec", "CubaLIF": "#a8c8ec", "IF": "#b5dfb0", "Threshold": "#f7c690", "Delay": "#d9d4e8",
    "NIRGraph": "#e6b0d8", "Input": "#555f6b", "Output": "#555f6b",
}  # fmt: skip
LINEAR_COLOUR, OTHER_COLOUR, PANEL_COLOUR = "#ffffff", "#dddddd", "#f4f5f7"
LINE_COLOUR, VALID_COLOUR = "#5b6570", "#e0b000"
LEGEND = {
    "LIF": "LIF", "Threshold": "threshold (gate)", "Delay": "delay", "IF": "counter", "NIRGraph": "marked subgraph",
}  # fmt: skip
STYLE: dict[Any, str] = {"svg.hashsalt": "spikinghash", "svg.fonttype": "path", "font.family": "DejaVu Sans"}


@dataclass
class Box:
    """The nodes of one part of a group."""

    label: str
    nodes: list[Node]
    column: int = 0
    line: int = 0
    biased: bool = False
    """Whether currents from the valid line reach it."""

    @property
    def caption(self) -> str:
        """Size, and the number of nodes where there are several."""
        first = self.shown[0]
        if first.is_linear:
            size = f"{compact(sum(node.synapses for node in self.shown))} syn."
        elif first.neurons:
            size = compact(sum(node.neurons for node in self.shown))
        else:
            size = "x".join(map(str, first.shape))
        return size if len(self.shown) == 1 else f"{size}  in {len(self.shown)}"

    @property
    def shown(self) -> list[Node]:
        """Its populations where it has any, as a shift register has, else its linear maps."""
        return [node for node in self.nodes if not node.is_linear] or self.nodes


@dataclass
class Panel:
    """A group, its boxes in columns; position of its top left corner in inches, y downwards."""

    title: str
    boxes: dict[str, Box]
    arrows: set[tuple[str, str]] = field(default_factory=set)
    x: float = 0.0
    y: float = 0.0
    row: int = 0

    @property
    def width(self) -> float:
        """Inches."""
        columns = 1 + max(box.column for box in self.boxes.values())
        return max(columns * (BOX_WIDTH + COLUMN_GAP) - COLUMN_GAP, 0.085 * len(self.title)) + 2 * PADDING

    @property
    def height(self) -> float:
        """Inches."""
        lines = 1 + max(box.line for box in self.boxes.values())
        return lines * (BOX_HEIGHT + LINE_GAP) - LINE_GAP + 2 * PADDING + TITLE

    def corner(self, box: Box) -> tuple[float, float]:
        """Top left corner of ``box``."""
        x = self.x + PADDING + box.column * (BOX_WIDTH + COLUMN_GAP)
        return x, self.y + PADDING + TITLE + box.line * (BOX_HEIGHT + LINE_GAP)


def compact(count: int) -> str:
    """A count in at most five characters: 8,192, 98.3k, 1.57M."""
    if count < 10_000:
        return f"{count:,}"
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
        if count < 999.5 * size or unit == "G":
            return f"{count / size:.3g}{unit}"
    raise AssertionError("unreachable")


def draw(structure: Structure, title: str, path: Path) -> None:
    """Write the picture of ``structure`` to ``path``, an SVG file."""
    panels = build_panels(structure)
    width, height = place(panels)
    with mpl.rc_context(STYLE), atomic_path(path) as temporary:
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.axis("off")
        axes.text(0.3, 0.38, title, fontsize=13, fontweight="bold", va="center")
        _draw_legend(axes, structure)
        for panel in panels.values():
            _draw_panel(axes, panel)
        _draw_links(axes, panels, links(structure))
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Title": title})


def build_panels(structure: Structure) -> dict[str, Panel]:
    """One panel per group, in the order of the flow; what only the valid line drives is a mark on its target."""
    biases = _biases(structure)
    panels = {}
    for group, nodes in structure.groups().items():
        shown = [node for node in nodes if node.name not in biases] or nodes
        boxes: dict[str, Box] = {}
        for node in shown:  # a part takes its place in the flow from the last of its nodes
            box = boxes.pop(node.part) if node.part in boxes else Box(_label(node.part, group), [])
            box.nodes.append(node)
            boxes[node.part] = box
        panels[group] = Panel(_title(group, nodes), boxes)
    for start, end in structure.edges:
        source, target = structure.nodes[start], structure.nodes[end]
        panel = panels[target.group]
        if start in biases and target.part in panel.boxes:
            panel.boxes[target.part].biased = True
        elif source.group == target.group and {source.part, target.part} <= set(panel.boxes):
            panel.arrows.add((source.part, target.part))
    for panel in panels.values():
        _arrange(panel)
    return panels


def _biases(structure: Structure) -> set[str]:
    """Linear maps outside the valid line that only the valid line feeds."""
    sources: dict[str, set[str]] = defaultdict(set)
    for start, end in structure.edges:
        sources[end].add(structure.nodes[start].group)
    return {
        name
        for name, node in structure.nodes.items()
        if node.is_linear and node.group != VALID and sources[name] == {VALID}
    }


def _label(part: str, group: str) -> str:
    """``part`` without what the panel's title says already."""
    prefix = group.replace(" ", "_")
    short = part.removeprefix(prefix).strip("_.") if part.startswith(prefix) else part
    return (short or group.rpartition(" ")[2]).replace("_", " ")


def _title(group: str, nodes: list[Node]) -> str:
    heads = {found.group() for node in nodes if (found := re.search(r"_head\d+", node.name))}
    parts = {node.part.rpartition("_")[2] for node in nodes}
    if heads:
        return f"{group}: attention, {len(heads)} heads"
    if any(node.kind == "NIRGraph" for node in nodes):
        return f"{group}: attention, marked"
    return f"{group}: wave mixer" if group.endswith("mixer") and "mixer" in parts else group


def _arrange(panel: Panel) -> None:
    """Columns by the longest path from the left, arrows back (of cycles) left out; then lines, clocks at the bottom."""
    rank = {part: index for index, part in enumerate(panel.boxes)}
    for part in panel.boxes:
        before = [panel.boxes[start].column for start, end in panel.arrows if end == part and rank[start] < rank[part]]
        panel.boxes[part].column = 1 + max(before) if before else 0
    used: dict[int, int] = defaultdict(int)
    for _, box in sorted(panel.boxes.items(), key=lambda item: "clock" in item[0]):
        box.line = used[box.column]
        used[box.column] += 1


def place(panels: dict[str, Panel]) -> tuple[float, float]:
    """Give every panel its place; return width and height of the picture."""
    x, y, row, tallest, widest = 0.5, 1.5, 0, 0.0, 0.0
    previous = ""
    for group, panel in panels.items():
        if previous and (_starts_row(previous, group) or x + panel.width > WIDEST_ROW):
            x, y, row, tallest = 0.5, y + tallest + ROW_GAP, row + 1, 0.0
        panel.x, panel.y, panel.row = x, y, row
        x += panel.width + PANEL_GAP
        widest, tallest = max(widest, x - PANEL_GAP + 0.5), max(tallest, panel.height)
        previous = group
    return max(widest, 9.0), y + tallest + 0.4


def _starts_row(previous: str, group: str) -> bool:
    """Whether a new stage or block begins."""
    if not group.startswith("stage"):
        return previous.startswith("stage")
    stage, before = group.split()[:2], previous.split()[:2]
    return stage[0] != before[0] or ("down" not in before and stage != before)


def links(structure: Structure) -> dict[tuple[str, str], int]:
    """Synapses between groups, the valid line's left out: those of the linear map at the near end of each edge."""
    total: dict[tuple[str, str], int] = defaultdict(int)
    for start, end in structure.edges:
        source, target = structure.nodes[start], structure.nodes[end]
        if source.group != target.group and source.group != VALID:
            synapses = source.synapses if source.is_linear else target.synapses if target.is_linear else source.neurons
            total[source.group, target.group] += synapses
    return dict(total)


def _colour(node: Node) -> str:
    return LINEAR_COLOUR if node.is_linear else COLOURS.get(node.kind, OTHER_COLOUR)


def _rounded(axes: Axes, x: float, y: float, width: float, height: float, colour: str, radius: float, z: float) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle=f"round,pad=0,rounding_size={radius}",
            facecolor=colour,
            edgecolor=LINE_COLOUR,
            linewidth=0.8,
            zorder=z,
        )
    )


def _draw_panel(axes: Axes, panel: Panel) -> None:
    _rounded(axes, panel.x, panel.y, panel.width, panel.height, PANEL_COLOUR, 0.1, 1)
    axes.text(panel.x + PADDING, panel.y + 0.26, panel.title, fontsize=9.5, fontweight="bold", va="center", zorder=3)
    for start, end in sorted(panel.arrows):
        if start != end:
            _draw_arrow(axes, panel, panel.boxes[start], panel.boxes[end])
    for box in panel.boxes.values():
        _draw_box(axes, box, *panel.corner(box))


def _draw_box(axes: Axes, box: Box, x: float, y: float) -> None:
    first = box.shown[0]
    if len(box.shown) > 1:
        _rounded(axes, x + 0.05, y - 0.05, BOX_WIDTH, BOX_HEIGHT, _colour(first), 0.06, 2.4)
    _rounded(axes, x, y, BOX_WIDTH, BOX_HEIGHT, _colour(first), 0.25 if first.is_linear else 0.06, 2.5)
    ink = "white" if first.kind in ("Input", "Output") else "black"
    size = min(8.5, 8.5 * 14 / max(14, len(box.label)))
    centre = x + BOX_WIDTH / 2
    axes.text(centre, y + 0.22, box.label, fontsize=size, color=ink, ha="center", va="center", zorder=3)
    axes.text(centre, y + 0.44, box.caption, fontsize=7.5, color=ink, ha="center", va="center", zorder=3)
    if box.biased:
        axes.plot(x + 0.1, y + 0.1, "o", color=VALID_COLOUR, markersize=5, zorder=3)


def _draw_arrow(axes: Axes, panel: Panel, source: Box, target: Box) -> None:
    """An arrow between boxes; one over the heads of others bows, one back to the left runs below."""
    (x0, y0), (x1, y1) = panel.corner(source), panel.corner(target)
    step = target.column - source.column
    if step < 1:
        start, end, bow = (x0 + BOX_WIDTH / 2, y0 + BOX_HEIGHT), (x1 + BOX_WIDTH / 2, y1 + BOX_HEIGHT), -0.25
    else:
        start, end = (x0 + BOX_WIDTH, y0 + BOX_HEIGHT / 2), (x1, y1 + BOX_HEIGHT / 2)
        bow = 0.0 if step == 1 or source.line != target.line else 0.35
    _arrow(axes, start, end, f"arc3,rad={bow}", 0.9)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], style: str, width: float) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            connectionstyle=style,
            arrowstyle="-|>",
            mutation_scale=8,
            shrinkA=0,
            shrinkB=1,
            color=LINE_COLOUR,
            linewidth=width,
            zorder=2,
        )
    )


def _draw_links(axes: Axes, panels: dict[str, Panel], synapses: dict[tuple[str, str], int]) -> None:
    leaving: dict[str, int] = defaultdict(int)
    for (start, end), count in sorted(synapses.items(), key=lambda link: _link_key(panels, *link[0])):
        source, target = panels[start], panels[end]
        between = [panel for panel in panels.values() if source.row == panel.row and source.x < panel.x < target.x]
        if source.row == target.row and source.x < target.x and not between:
            _straight(axes, source, target, count)
        elif source.row == target.row:
            _arch(axes, source, target, count, len(between))
        else:
            _elbow(axes, source, target, count, leaving[start])
            leaving[start] += 1


def _link_key(panels: dict[str, Panel], start: str, end: str) -> tuple[float, ...]:
    source, target = panels[start], panels[end]
    return source.row, source.x, target.row, target.x


def _straight(axes: Axes, source: Panel, target: Panel, count: int) -> None:
    y = source.y + TITLE + PADDING + BOX_HEIGHT / 2
    _arrow(axes, (source.x + source.width, y), (target.x, y), "arc3,rad=0", 1.6)
    _count(axes, (source.x + source.width + target.x) / 2 - 0.04, y - 0.13, count)


def _arch(axes: Axes, source: Panel, target: Panel, count: int, between: int) -> None:
    """Over the panels in between, rounded corners."""
    x0, x1 = source.x + source.width - 0.25, target.x + 0.25
    y = min(source.y, target.y) - 0.22 - 0.12 * max(0, between - 1)
    _route(axes, [(x0, source.y), (x0, y), (x1, y), (x1, target.y)])
    _count(axes, (x0 + x1) / 2, y, count)


def _elbow(axes: Axes, source: Panel, target: Panel, count: int, already: int) -> None:
    """Down, along the gap above the target's row, and into the target from above."""
    x0 = source.x + source.width / 2 + 0.35 * already
    x1 = target.x + min(0.9, target.width / 2)
    floor = source.y + source.height
    y = target.y - 0.5
    _route(axes, [(x0, floor), (x0, y), (x1, y), (x1, target.y)])
    _count(axes, x0, floor + 0.14, count)


def _route(axes: Axes, points: list[tuple[float, float]]) -> None:
    """A line through ``points`` that ends in an arrow."""
    xs, ys = zip(*points[:-1], strict=True)
    axes.plot(xs, ys, color=LINE_COLOUR, linewidth=1.6, zorder=0.5, solid_joinstyle="round")
    _arrow(axes, points[-2], points[-1], "arc3,rad=0", 1.6)


def _count(axes: Axes, x: float, y: float, count: int) -> None:
    background = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    axes.text(x, y, compact(count), fontsize=7, ha="center", va="center", color="#333333", bbox=background, zorder=4)


def _draw_legend(axes: Axes, structure: Structure) -> None:
    kinds = {node.kind for node in structure.nodes.values()}
    x = 0.3
    for colour, text, radius in _legend_entries(kinds):
        _rounded(axes, x, 0.7, 0.3, 0.2, colour, radius, 2)
        axes.text(x + 0.38, 0.8, text, fontsize=8, va="center")
        x += 0.6 + 0.075 * len(text)
    text = "Numbers in boxes: neurons, or synapses of a linear map; on arrows: synapses."
    if any(node.group == VALID for node in structure.nodes.values()):
        axes.plot(x + 0.1, 0.8, "o", color=VALID_COLOUR, markersize=5)
        axes.text(x + 0.22, 0.8, "current from the valid line", fontsize=8, va="center")
    axes.text(0.3, 1.08, text, fontsize=8, va="center", color="#333333")


def _legend_entries(kinds: Iterable[str]) -> Iterator[tuple[str, str, float]]:
    present = set(kinds)
    for kind, text in LEGEND.items():
        if kind in present:
            yield COLOURS[kind], text, 0.04
    yield LINEAR_COLOUR, "linear map", 0.1
