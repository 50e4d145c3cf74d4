"""What a NIR graph is made of: its nodes with their sizes, gathered into the blocks of the network.

A group is what a reader takes for one thing: a block's mixer or MLP, a downsampling layer, the head; in a graph of
another origin, the nodes whose names share what stands before the last dot or number. Within a group, nodes that differ
only in their attention head, delay or step of a block make up one part.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import nir
import numpy as np

from export.metadata import Metadata
from export.synapse_matrix import LINEAR_NODES, input_shape, output_shape, synapse_matrix
from spikinghash.errors import GraphError

INPUT, VALID, HEAD = "input", "valid line", "head"
_ORDER = re.compile(r"^n\d{4}_")
_BLOCK = re.compile(r"^(stage\d+)_(?:(block\d+)_(mixer|mlp)|(down))")
_CLOCK = re.compile(r"^clock\d+_after\d+")
_HEAD = re.compile(r"_head\d+")
_COPIES = re.compile(r"(?:_(?:delay|after|step)\d+)+")
_REGISTER = re.compile(r"_from_.*|_register\d+.*")
_NUMBERED = re.compile(r"^(.+?)[._-]?\d+(?:[._-].*)?$")


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
    order = _flow_order(graph)
    groups = _encoder_groups(order, graph.edges) if metadata else {name: foreign_group(name) for name in order}
    served = _served_layers(metadata)
    nodes = {name: _describe(name, graph.nodes[name], groups[name], served, source) for name in order}
    return Structure(nodes, tuple((str(start), str(end)) for start, end in graph.edges))


def _describe(
    name: str, node: nir.NIRNode, group: str, served: dict[str, tuple[str, int | None]], source: str
) -> Node:
    layer, latency = served.get(name, ("", None))
    common = {"group": group, "part": part_of(name), "latency": latency, "layer": layer}
    kind = type(node).__name__
    try:
        if isinstance(node, LINEAR_NODES):
            input_shape(node)
            weights = int(np.count_nonzero(getattr(node, "weight", getattr(node, "scale", ()))))
            synapses = 0 if isinstance(node, nir.Flatten) else synapse_matrix(node).nnz
            return Node(name, kind, output_shape(node), synapses=synapses, weights=weights, **common)
        shape = tuple(int(size) for size in np.ravel(next(iter(node.output_type.values()))))
    except (ValueError, TypeError, AttributeError, StopIteration) as error:
        raise GraphError(f"{source}: node {name}: the shape of this {kind} is unknown ({error})") from None
    counts = isinstance(node, nir.Input | nir.Output | nir.NIRGraph)
    return Node(name, kind, shape, neurons=0 if counts else int(np.prod(shape)), **common)


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
    name = _HEAD.sub("", _ORDER.sub("", name))
    return _COPIES.sub("", _REGISTER.sub("", name) if "_register" in name else name)


def _flow_order(graph: nir.NIRGraph) -> list[str]:
    """Nodes by their distance from the input, shortcuts and cycles left aside; alphabetical within a distance."""
    targets: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for start, end in graph.edges:
        targets[start].append(end)
    state: dict[str, bool] = {}
    finished: list[str] = []
    roots = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    for root in [*sorted(roots), *sorted(graph.nodes)]:
        if root in state:
            continue
        state[root] = True
        stack = [(root, iter(sorted(targets[root], reverse=True)))]
        while stack:
            name, remaining = stack[-1]
            following = next((target for target in remaining if target not in state), None)
            if following is None:
                finished.append(name)
                stack.pop()
            else:
                state[following] = True
                stack.append((following, iter(sorted(targets[following], reverse=True))))
    return finished[::-1]
