"""The spiking graph: populations of neurons, joined by linear maps.

Several edges into one node are summed, so that a residual stream is no node of its own: whoever reads the stream has
one edge from every linear node that adds to it. What the nodes are is in ``export.encoder.operations``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Literal, TypeVar

from export.encoder.node import Node, Shape
from spikinghash.errors import GraphError

NodeT = TypeVar("NodeT", bound=Node)


@dataclass(frozen=True)
class Parts:
    """The populations that hold a layer of the encoder: one, or one per attention head."""

    kind: Literal["map", "qkv", "gates", "head"]
    """``map``: one node, (C, H, W) in its layout; ``qkv``: (part, channel, token) of a head; ``gates``: its coincidence
    gates; ``head``: (channel, token)."""
    nodes: tuple[str, ...]
    shape: Shape
    """Of the whole layer."""


@dataclass
class Graph:
    """Nodes by name, in topological order, and edges (source, target)."""

    time_steps: int
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    latency: dict[str, int] = field(default_factory=dict)
    """Steps by which a spiking node lags behind the input; absent means 0."""
    polyphase: dict[str, int] = field(default_factory=dict)
    """Space-to-depth factor f of a population: shape (f^2 C, H/f, W/f) stands for (C, H, W); absent means 1."""
    serves: dict[str, str] = field(default_factory=dict)
    """For a population that only helps to compute another layer (delay line, clock, gate): the layer it serves."""
    implements: dict[str, "Parts"] = field(default_factory=dict)
    """Layers of the encoder that other populations hold; absent means the node of the same name."""
    groups: dict[str, str] = field(default_factory=dict)
    """Part of the encoder that a node belongs to, such as ``stage1 block0 mixer``."""
    group: str = ""
    """Part that ``add`` adds to; where there is none, a node belongs to the part of its first source."""

    def add(self, name: str, node: Node, *sources: str) -> str:
        """Add ``node`` with an edge from each of ``sources``; return ``name``."""
        if name in self.nodes:
            raise GraphError(f"node {name}: the name is taken: give every node a name of its own")
        self.nodes[name] = node
        self.groups[name] = self.group or (self.groups[sources[0]] if sources else name)
        for source in sources:
            self.connect(source, name)
        return name

    @contextmanager
    def within(self, group: str) -> Iterator[None]:
        """What is added meanwhile belongs to the part ``group`` of the encoder."""
        before, self.group = self.group, group
        try:
            yield
        finally:
            self.group = before

    def connect(self, source: str, target: str) -> None:
        """Add an edge; the shapes at its ends must agree."""
        if source not in self.nodes:
            raise GraphError(f"edge {source} -> {target}: node {source} does not exist")
        out, inp = self.nodes[source].shape, self.nodes[target].source_shape
        if out != inp:
            raise GraphError(f"edge {source} -> {target}: {source} sends {out}, {target} takes {inp}")
        self.edges.append((source, target))

    def sources(self, name: str) -> list[str]:
        """Names of the nodes with an edge into ``name``."""
        return [source for source, target in self.edges if target == name]

    def targets(self, name: str) -> list[str]:
        """Names of the nodes with an edge from ``name``."""
        return [target for source, target in self.edges if source == name]

    def find(self, kind: type[NodeT]) -> Iterator[tuple[str, NodeT]]:
        """All nodes of one kind, with their names."""
        for name, node in self.nodes.items():
            if isinstance(node, kind):
                yield name, node

    def only(self, kind: type[NodeT]) -> tuple[str, NodeT]:
        """The one node of a kind."""
        (found,) = self.find(kind)
        return found

    def copy(self) -> "Graph":
        """A copy that shares the (immutable) nodes."""
        return replace(
            self,
            nodes=dict(self.nodes),
            edges=list(self.edges),
            latency=dict(self.latency),
            polyphase=dict(self.polyphase),
            serves=dict(self.serves),
            implements=dict(self.implements),
            groups=dict(self.groups),
        )

    def bypass(self, name: str, replacement: str) -> None:
        """Remove node ``name``; what it fed is fed by ``replacement`` instead."""
        self.edges = [
            (replacement if source == name else source, target) for source, target in self.edges if target != name
        ]
        del self.nodes[name]

    def remove(self, *names: str) -> None:
        """Remove nodes and all of their edges."""
        gone = set(names)
        self.edges = [edge for edge in self.edges if not gone & set(edge)]
        for name in names:
            del self.nodes[name]

    def rename(self, names: dict[str, str]) -> "Graph":
        """A copy in which every node has the name that ``names`` gives it."""
        parts = {
            layer: replace(part, nodes=tuple(names[node] for node in part.nodes))
            for layer, part in self.implements.items()
        }
        for layer, node in self.nodes.items():
            parts.setdefault(layer, Parts("map", (names[layer],), node.shape))
        return replace(
            self,
            nodes={names[name]: node for name, node in self.nodes.items()},
            edges=[(names[source], names[target]) for source, target in self.edges],
            latency={names[name]: latency for name, latency in self.latency.items() if name in names},
            polyphase={names[name]: factor for name, factor in self.polyphase.items() if name in names},
            serves={names[name]: layer for name, layer in self.serves.items() if name in names},
            implements=parts,
            groups={names[name]: self.groups[name] for name in self.nodes},
        )

    def sort(self) -> "Graph":
        """Put the nodes in topological order (stable).

        Raises:
            GraphError: the graph has a cycle.
        """
        sorter = TopologicalSorter(dict.fromkeys(self.nodes, ()))
        for source, target in self.edges:
            sorter.add(target, source)
        try:
            order = list(sorter.static_order())
        except CycleError as error:
            stuck = error.args[1][0]
            raise GraphError(f"node {stuck}: it lies on a cycle: only feed-forward graphs can be lowered") from None
        self.nodes = {name: self.nodes[name] for name in order}
        return self
