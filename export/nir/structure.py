"""What a NIR graph is made of: its nodes with their sizes, gathered into the blocks of the network.

A group is what a reader takes for one thing: a block's mixer or MLP, a downsampling layer, the head, as an encoder's
metadata say; in a graph of another origin, the nodes whose names share what stands before the last dot.
"""

from dataclasses import dataclass, replace

import nir
import numpy as np

from export.nir.marked_attention import MarkedAttention, read_marked
from export.nir.metadata import Metadata
from export.nir.stepwise.dynamics import NEURONS
from export.nir.stepwise.plan import GraphPlan, make_plan
from export.nir.synapse_matrix import LINEAR_NODES
from spikinghash.errors import GraphError

INPUT, VALID_LINE = "input", "valid line"


@dataclass(frozen=True)
class Node:
    """One NIR node."""

    name: str
    kind: str
    """NIR's name of the primitive."""
    shape: tuple[int, ...]
    """Of what it emits."""
    group: str
    neurons: int = 0
    synapses: int = 0
    """Non-zero, convolutions unrolled."""
    weights: int = 0
    """Stored and not zero: a shared kernel counts once."""
    latency: int | None = None
    """Steps by which it lags behind the input, where metadata say so."""
    layer: str = ""
    """Layer of the encoder that it holds or serves, where metadata say so."""
    attention: MarkedAttention | None = None

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
        GraphError: the graph cannot be run (``export.nir.stepwise.plan``).
    """
    try:
        plan = make_plan(graph)
        sizes = {name: _sized(name, plan) for name in plan.order}
    except GraphError as error:
        raise GraphError(f"{source}: {error}") from None
    depth = _depths(plan)
    told = metadata.groups if metadata else {}
    groups = {name: told.get(name) or name.rpartition(".")[0] or name for name in plan.order}
    deepest: dict[str, int] = {}
    for name, group in groups.items():
        deepest[group] = max(deepest.get(group, 0), depth[name])
    first = (INPUT, VALID_LINE)
    order = sorted(depth, key=lambda name: (groups[name] not in first, deepest[groups[name]], depth[name], name))
    served = _served_layers(metadata)
    nodes = {}
    for name in order:
        layer, latency = served.get(name, ("", None))
        nodes[name] = replace(sizes[name], group=groups[name], latency=latency, layer=layer)
    return Structure(nodes, tuple(plan.edges))


def _sized(name: str, plan: GraphPlan) -> Node:
    """A node with its numbers; its group comes later."""
    node, shape = plan.nodes[name], plan.shapes[name]
    sized = Node(name, type(node).__name__, shape, "", attention=read_marked(name, node))
    if isinstance(node, LINEAR_NODES):
        weights = int(np.count_nonzero(getattr(node, "weight", getattr(node, "scale", ()))))
        synapses = 0 if isinstance(node, nir.Flatten) else plan.factor(name).nnz
        return replace(sized, synapses=synapses, weights=weights)
    return replace(sized, neurons=int(np.prod(shape))) if isinstance(node, (*NEURONS, nir.Delay)) else sized


def _served_layers(metadata: Metadata | None) -> dict[str, tuple[str, int | None]]:
    """Layer and latency by node, as far as metadata tell."""
    if metadata is None:
        return {}
    served: dict[str, tuple[str, int | None]] = {name: (layer, None) for name, layer in metadata.serves.items()}
    for population in metadata.populations:
        served |= dict.fromkeys(population.nodes, (population.name, population.latency))
    return served


def _depths(plan: GraphPlan) -> dict[str, int]:
    """Length of the longest path to each node; edges that close a cycle are left aside."""
    depth: dict[str, int] = {}
    for name in plan.order:
        before = (depth[source] for source in plan.sources[name] if (source, name) not in plan.late)
        depth[name] = max(before, default=-1) + 1
    return depth
