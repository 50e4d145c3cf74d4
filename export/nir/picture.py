"""A graph drawn by its groups: a row per stage, a box per group with its sizes, arrows with the synapses between them.

The SVG's bytes depend on the graph alone.
"""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import networkx as nx
from matplotlib.figure import Figure

from export.nir.structure import INPUT, VALID_LINE, Node, Structure
from spikinghash.files import atomic_path

STYLE: dict[Any, Any] = {"svg.hashsalt": "spikinghash", "svg.fonttype": "none", "font.family": "DejaVu Sans"}
COLUMN, ROW = 2.6, 1.7
"""Inches between the middles of two boxes."""
BOX = {"boxstyle": "round,pad=0.6", "facecolor": "#eef3fa", "edgecolor": "#5b6570", "linewidth": 0.8}


def draw(structure: Structure, title: str, path: Path) -> None:
    """Write the picture of ``structure`` to ``path``, an SVG file."""
    graph = group_graph(structure)
    places = _places(graph)
    width = COLUMN + max(x for x, _ in places.values())
    height = 1.7 * ROW - min(y for _, y in places.values())
    with mpl.rc_context(STYLE), atomic_path(path) as temporary:
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-COLUMN / 2, width - COLUMN / 2), ylim=(ROW - height, ROW))
        axes.axis("off")
        axes.text(0.3 - COLUMN / 2, ROW - 0.35, title, fontsize=13, fontweight="bold")
        captions = {group: caption(group, nodes) for group, nodes in structure.groups().items()}
        synapses = {(start, end): compact(count) for start, end, count in graph.edges.data("synapses")}
        nx.draw_networkx_labels(graph, places, captions, font_size=8, bbox=BOX, ax=axes)
        nx.draw_networkx_edges(
            graph, places, ax=axes, node_size=2900, node_shape="s", edge_color="#5b6570", arrowsize=9,
            connectionstyle="arc3,rad=0.12", width=0.9,
        )  # fmt: skip
        nx.draw_networkx_edge_labels(
            graph, places, synapses, font_size=6.5, rotate=False, ax=axes, connectionstyle="arc3,rad=0.12"
        )  # fmt: skip
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Title": title})


def group_graph(structure: Structure) -> "nx.DiGraph[str]":
    """Groups from input to output; an edge's ``synapses`` are those of the linear map at its near end.

    The valid line, which reaches nearly every group, has no edges.
    """
    total: dict[tuple[str, str], int] = defaultdict(int)
    for start, end in structure.edges:
        source, target = structure.nodes[start], structure.nodes[end]
        if source.group not in (target.group, VALID_LINE):
            synapses = source.synapses if source.is_linear else target.synapses if target.is_linear else source.neurons
            total[source.group, target.group] += synapses
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(structure.groups())
    graph.add_edges_from((start, end, {"synapses": count}) for (start, end), count in total.items())
    return graph


def _places(graph: "nx.DiGraph[str]") -> dict[str, tuple[float, float]]:
    """Middle of each group's box, in inches, y upwards: groups that share the first word of their names are a row.

    The valid line stands beside the input.
    """
    rows: dict[str, list[str]] = defaultdict(list)
    for group in graph:
        rows[INPUT if group == VALID_LINE else group.split()[0]].append(group)
    return {
        group: (column * COLUMN, -row * ROW)
        for row, groups in enumerate(rows.values())
        for column, group in enumerate(groups)
    }


def caption(group: str, nodes: list[Node]) -> str:
    """Name and sizes of a group: its populations by kind, and the synapses of its maps."""
    neurons: Counter[str] = Counter()
    for node in nodes:
        neurons[node.kind] += node.neurons
    lines = [f"{compact(count)} {kind}" for kind, count in neurons.items() if count]
    synapses = sum(node.synapses for node in nodes)
    return "\n".join([group, *lines, *([f"{compact(synapses)} synapses"] if synapses else [])])


def compact(count: int) -> str:
    """A count in at most five characters: 8,192, 98.3k, 1.57M."""
    if count < 10_000:
        return f"{count:,}"
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
        if count < 999.5 * size or unit == "G":
            return f"{count / size:.3g}{unit}"
    raise AssertionError("unreachable")
