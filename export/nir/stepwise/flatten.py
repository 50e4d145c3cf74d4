"""Nested NIR graphs put into one flat graph."""

from collections.abc import Sequence

import nir

from export.nir.marked_attention import MARK
from spikinghash.errors import GraphError

Nodes = dict[str, nir.NIRNode]
Edges = list[tuple[str, str]]


def flatten(graph: nir.NIRGraph) -> tuple[Nodes, Edges]:
    """Nodes and edges of a graph without nested graphs: node ``b`` of the nested graph ``a`` is called ``a.b``.

    The Inputs and Outputs of nested graphs dissolve into edges. A marked attention stays whole. An edge may occur
    twice, where two nested graphs pass a signal on.

    Raises:
        GraphError: an edge names a node that does not exist, an edge is there twice, a nested graph does not have
            exactly one Input and one Output, or two nodes get one name.
    """
    try:
        graph.validate_structure()
    except ValueError as error:
        raise GraphError(f"graph: {error}") from None
    return _flat(graph)


def _flat(graph: nir.NIRGraph) -> tuple[Nodes, Edges]:
    nodes: Nodes = {}
    edges: Edges = [(str(source), str(target)) for source, target in graph.edges]
    for name, node in graph.nodes.items():
        if not isinstance(node, nir.NIRGraph) or MARK in node.metadata:
            _add(nodes, name, node)
            continue
        inner_nodes, inner_edges = _flat(node)
        first, last = (f"{name}.{_only(name, inner_nodes, kind)}" for kind in (nir.Input, nir.Output))
        for key, inner in inner_nodes.items():
            _add(nodes, f"{name}.{key}", inner)
        edges = [(last if source == name else source, first if end == name else end) for source, end in edges]
        edges += [(f"{name}.{source}", f"{name}.{target}") for source, target in inner_edges]
        for end in (first, last):
            edges = _without(edges, end)
            del nodes[end]
    return nodes, edges


def _add(nodes: Nodes, name: str, node: nir.NIRNode) -> None:
    if name in nodes:
        raise GraphError(f"node {name}: the graph has this name twice, once inside a nested graph: rename one")
    nodes[name] = node


def _only(graph: str, nodes: Nodes, kind: type[nir.NIRNode]) -> str:
    names = [name for name, node in nodes.items() if isinstance(node, kind)]
    if len(names) != 1:
        raise GraphError(f"node {graph}: this nested graph has {len(names)} {kind.__name__} nodes: give it exactly 1")
    return names[0]


def _without(edges: Sequence[tuple[str, str]], name: str) -> Edges:
    """The edges around a node that only passes on what it gets."""
    sources = [source for source, target in edges if target == name]
    targets = [target for source, target in edges if source == name]
    kept = [edge for edge in edges if name not in edge]
    return kept + [(source, target) for source in sources for target in targets]
