"""What a NIR graph is made of: its nodes with their sizes, gathered into the blocks of the network.

A group is what a reader takes for one thing: a block's mixer or MLP, a downsampling layer, the head; in a graph of
another origin, the nodes whose names share what stands before the last dot. Within a group, nodes that differ
only in their attention head, delay or step of a block make up one part.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import nir
import numpy as np

from export.nir.metadata import Metadata
from export.nir.synapse_matrix import LINEAR_NODES, input_shape, output_shape, synapse_matrix
from spikinghash.errors import GraphError

INPUT, VALID, HEAD = "input", "valid line", "head"
_ORDER = re.compile(r"^n\d{4}_")
_BLOCK = re.compile(r"^(stage\d+)_(?:(block\d+)_(mixer|mlp)|(down))")
_CLOCK = re.compile(r"^clock\d+_after\d+")
_HEAD = re.compile(r"_head\d+")
_COPIES = re.compile(r"_(?:after|step)\d+|_from_.*|(?<=_register)\d+.*|(?<=_delay)\d+")


@dataclass(frozen=True)
class Node:
    """One NIR node."""

    name: str
    kind: str
    """NIR's name of the primitive."""
    shape: tuple[int, ...]
    """Of what it emits."""
    group: str
    part: str
    neurons: int = 0
    synapses: int = 0
    """Non-zero, convolutions unrolled."""
    weights: int = 0
    """Stored and not zero: a shared kernel counts once."""
    latency: int | None = None
    """Steps by which it lags behind the input, where metadata say so."""
    layer: str = ""
    """Layer of the encoder that it holds or serves, where metadata say so."""

    @property
    def is_linear(self) -> bool:
        """Whether it is a linear map rather than a population."""
        return self.kind in {node.__name__ for node in LINEAR_NODES}


@dataclass(frozen=True)
class Structure:
    """The nodes of a graph in their groups, and its edges."""

    nodes: dict[str, Node]
    edges: tuple[tuple[str, str], ...]

    def groups(self) -> dict[str, list[Node]]:
        """Nodes of each group, from input to output."""
        gathered: dict[str, list[Node]] = {}
        for node in self.nodes.values():
            gathered.setdefault(node.group, []).append(node)
        return gathered

    @property
    def neurons(self) -> int:
        """Of all populations."""
        return sum(node.neurons for node in self.nodes.values())

    @property
    def synapses(self) -> int:
        """Of all linear maps."""
        return sum(node.synapses for node in self.nodes.values())


def describe_structure(graph: nir.NIRGraph, metadata: Metadata | None, source: str) -> Structure:
    """Sizes and groups of every node of ``graph``.

    Args:
        metadata: of an encoder, or ``None`` for a graph of another origin.
        source: named in messages.

    Raises:
        GraphError: a node's shape is unknown, or its attributes contradict each other.
    """
    depth = _depths(graph)
    groups = _encoder_groups(depth, graph.edges) if metadata else {name: foreign_group(name) for name in depth}
    deepest: dict[str, int] = {}
    for name, group in groups.items():
        deepest[group] = max(deepest.get(group, 0), depth[name])
    order = sorted(
        depth, key=lambda name: (groups[name] not in (INPUT, VALID), deepest[groups[name]], depth[name], name)
    )
    served = _served_layers(metadata)
    nodes = {name: _describe(name, graph.nodes[name], groups[name], served, source) for name in order}
    return Structure(nodes, tuple((str(start), str(end)) for start, end in graph.edges))


def _describe(name: str, node: nir.NIRNode, group: str, served: dict[str, tuple[str, int | None]], source: str) -> Node:
    layer, latency = served.get(name, ("", None))
    kind = type(node).__name__
    try:
        shape = _shape(node)
        described = Node(name, kind, shape, group, part_of(name), latency=latency, layer=layer)
        if isinstance(node, LINEAR_NODES):
            weights = int(np.count_nonzero(getattr(node, "weight", getattr(node, "scale", ()))))
            synapses = 0 if isinstance(node, nir.Flatten) else synapse_matrix(node).nnz
            return replace(described, synapses=synapses, weights=weights)
    except (ValueError, TypeError, AttributeError, StopIteration) as error:
        raise GraphError(f"{source}: node {name}: the shape of this {kind} is unknown ({error})") from None
    if isinstance(node, nir.Input | nir.Output | nir.NIRGraph):
        return described
    return replace(described, neurons=int(np.prod(shape)))


def _shape(node: nir.NIRNode) -> tuple[int, ...]:
    if isinstance(node, LINEAR_NODES):
        input_shape(node)  # raises where it is unknown
        return output_shape(node)
    return tuple(int(size) for size in np.ravel(next(iter(node.output_type.values()))))


def _served_layers(metadata: Metadata | None) -> dict[str, tuple[str, int | None]]:
    """Layer and latency by node, as far as metadata tell."""
    if metadata is None:
        return {}
    served: dict[str, tuple[str, int | None]] = {name: (layer, None) for name, layer in metadata.serves.items()}
    for population in metadata.populations:
        served |= dict.fromkeys(population.nodes, (population.name, population.latency))
    return served


def _encoder_groups(order: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Groups of an encoder that this project wrote; a clock belongs to the mixer that it opens the gates of."""
    targets: dict[str, list[str]] = {}
    for start, end in edges:
        targets.setdefault(start, []).append(end)
    groups = {}
    for name in order:
        reached = name
        while encoder_group(reached) == "" and targets.get(reached):
            reached = min(targets[reached])
        groups[name] = encoder_group(reached) or HEAD
    return groups


def encoder_group(name: str) -> str:
    """Group of a node by its name in an encoder's file; empty for a clock."""
    name = _ORDER.sub("", name)
    block = _BLOCK.match(name)
    if block:
        return " ".join(part for part in block.groups() if part)
    if _CLOCK.match(name):
        return ""
    for prefix, group in (("input", INPUT), ("valid", VALID)):
        if name.startswith(prefix):
            return group
    return HEAD


def foreign_group(name: str) -> str:
    """Group of a node in a graph of another origin: ``layer1.0.conv`` belongs to ``layer1.0``, ``lif_2`` to itself."""
    return name.rpartition(".")[0] or name


def part_of(name: str) -> str:
    """What ``name`` shares with its copies for other heads, delays and steps."""
    return _COPIES.sub("", _HEAD.sub("_head", _ORDER.sub("", name)))


def _depths(graph: nir.NIRGraph) -> dict[str, int]:
    """Length of the longest path to each node; edges that close a cycle are left aside."""
    order = _topological(graph)
    rank = {name: index for index, name in enumerate(order)}
    depth = dict.fromkeys(order, 0)
    for start, end in sorted(graph.edges, key=lambda edge: rank[edge[0]]):
        if rank[start] < rank[end]:
            depth[end] = max(depth[end], depth[start] + 1)
    return depth


def _topological(graph: nir.NIRGraph) -> list[str]:
    """Reverse postorder of a depth-first search from the inputs; nodes that no input reaches come first."""
    targets: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for start, end in graph.edges:
        targets[start].append(end)
    finished: list[str] = []
    seen: set[str] = set()
    roots = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    for root in [*roots, *graph.nodes]:
        if root in seen:
            continue
        seen.add(root)
        stack = [(root, iter(targets[root]))]
        while stack:
            name, remaining = stack[-1]
            following = next((target for target in remaining if target not in seen), None)
            if following is None:
                finished.append(name)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(targets[following])))
    return finished[::-1]
