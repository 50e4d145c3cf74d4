"""How to run a NIR graph: its flat nodes with all shapes known, the order of a step, and the late edges."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import nir
import numpy as np
from scipy import sparse

from export.nir.implicit_matrix import Matrix, matrix_of
from export.nir.marked_attention import read_marked
from export.nir.read import time_step
from export.nir.stepwise.dynamics import NEURONS, delay_steps, dynamics
from export.nir.stepwise.flatten import Edges, Nodes, flatten
from export.nir.stepwise.order import visiting_order
from export.nir.stepwise.shapes import check_values, settled, taken_shape
from export.nir.synapse_matrix import LINEAR_NODES, Shape, check_numbers, input_shape, output_shape, synapse_matrix
from spikinghash.errors import GraphError

MatrixT = TypeVar("MatrixT")
SPIKING_NODES = (nir.LIF, nir.IF, nir.CubaLIF, nir.Threshold)
"""Nodes that emit zeros and ones."""


@dataclass(frozen=True)
class GraphPlan:
    """A graph ready to run.

    Attributes:
        nodes: by name, nested graphs flattened; every node knows its shape.
        edges: (source, target), as in the file.
        sources: by node, the nodes with an edge into it; what they emit is summed.
        order: the nodes as a step visits them.
        late: edges (source, target) that carry the value of the step before.
        input, output: names of the only Input and Output.
        shapes: of what each node emits.
        dt: seconds per step.
    """

    nodes: Nodes
    edges: Edges
    sources: Mapping[str, list[str]]
    order: list[str]
    late: frozenset[tuple[str, str]]
    input: str
    output: str
    shapes: Mapping[str, Shape]
    dt: float

    def matrix(self, name: str) -> sparse.csr_matrix:
        """The matrix of linear node ``name``, written out.

        Raises:
            GraphError: its attributes contradict each other.
        """
        return self._made(synapse_matrix, name)

    def factor(self, name: str) -> Matrix:
        """The same, to multiply with only: in little memory.

        Raises:
            GraphError: its attributes contradict each other.
        """
        return self._made(matrix_of, name)

    def _made(self, make: Callable[[nir.NIRNode], MatrixT], name: str) -> MatrixT:
        try:
            return make(self.nodes[name])
        except (TypeError, ValueError) as error:
            raise GraphError(f"node {name}: {error}") from None


def make_plan(graph: nir.NIRGraph, dt: float | None = None) -> GraphPlan:
    """GraphPlan a graph with one Input and one Output, nested graphs and cycles included.

    Where a file names no Input or Output, a single node without source or without target gets one, as nir does it.

    Args:
        graph: as read.
        dt: seconds per step; by default what the graph's metadata say.

    Raises:
        GraphError: a node that cannot be run, a parameter that makes no sense, shapes that do not fit, or an end that
            is missing or there twice; the message names the node.
    """
    dt = time_step(graph) if dt is None else dt
    nodes, edges = flatten(graph)
    _add_ends(nodes, edges)
    source, output = _only(nodes, nir.Input), _only(nodes, nir.Output)
    sources: dict[str, list[str]] = {name: [] for name in nodes}
    for start, end in edges:
        sources[end].append(start)
    order, late = visiting_order(nodes, edges)
    shapes: dict[str, Shape] = {}
    for name in order:
        try:
            arriving = [shapes[start] for start in sources[name] if (start, name) not in late]
            nodes[name] = _settled(name, nodes[name], sources[name], arriving)
            _check_parameters(nodes[name], dt)
            shapes[name] = emitted_shape(name, nodes[name])
        except (TypeError, ValueError) as error:
            raise GraphError(f"node {name}: {error}") from None
    for start, end in sorted(late):
        if np.prod(shapes[start]) != np.prod(taken_shape(nodes[end])):
            raise GraphError(f"node {end}: it takes shape {taken_shape(nodes[end])}, but {start} sends {shapes[start]}")
    return GraphPlan(nodes, edges, sources, order, late, source, output, shapes, dt)


def _settled(name: str, node: nir.NIRNode, sources: list[str], arriving: list[Shape]) -> nir.NIRNode:
    if isinstance(node, nir.Input):
        if sources:
            raise ValueError(f"an Input takes no edge, but {sources[0]} leads to it")
        return node
    if not sources:
        raise ValueError("nothing arrives at it: connect or remove it")
    if not isinstance(node, (nir.Output, *LINEAR_NODES, *NEURONS, nir.Delay)) and read_marked(name, node) is None:
        raise TypeError(f"no simulator can run a {type(node).__name__}")
    for shape in arriving[1:]:
        if shape != arriving[0]:
            raise ValueError(f"shapes {arriving[0]} and {shape} arrive: only equal ones can be added")
    # In a cycle that no Input reaches, nothing is known of what arrives at the first node.
    return settled(node, arriving[0] if arriving else taken_shape(node))


def emitted_shape(name: str, node: nir.NIRNode) -> Shape:
    """Shape of what a settled node emits.

    Raises:
        ValueError: it is unknown, or has no element.
    """
    if isinstance(node, LINEAR_NODES):
        input_shape(node)  # raises where it is unknown
        shape = output_shape(node)
    else:
        marked = read_marked(name, node)
        shape = taken_shape(node) if marked is None else marked.stored_shape
    if 0 in shape:
        raise ValueError(f"it emits shape {shape}, which has no element")
    return shape


def _check_parameters(node: nir.NIRNode, dt: float) -> None:
    """Raise what a run would raise, or would spoil it."""
    if isinstance(node, LINEAR_NODES):
        check_numbers(node)
    check_values(node)
    if isinstance(node, NEURONS):
        dynamics(node, dt)
    elif isinstance(node, nir.Delay):
        delay_steps(node, dt)


def _add_ends(nodes: Nodes, edges: Edges) -> None:
    if not any(isinstance(node, nir.Input) for node in nodes.values()):
        roots = sorted(set(nodes) - {target for _, target in edges})
        if len(roots) == 1:
            nodes["input"] = nir.Input(np.array(taken_shape(nodes[roots[0]])))
            edges.append(("input", roots[0]))
    if not any(isinstance(node, nir.Output) for node in nodes.values()):
        leaves = sorted(set(nodes) - {source for source, _ in edges})
        if len(leaves) == 1:
            nodes["output"] = nir.Output(np.array(emitted_shape(leaves[0], nodes[leaves[0]])))
            edges.append((leaves[0], "output"))


def _only(nodes: Nodes, kind: type[nir.NIRNode]) -> str:
    names = [name for name, node in nodes.items() if isinstance(node, kind)]
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise GraphError(f"graph: needs exactly one {kind.__name__} node, has {len(names)} ({found})")
    return names[0]
