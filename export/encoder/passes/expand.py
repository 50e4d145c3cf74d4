"""Let operations replace themselves by populations and linear maps, before the layout is chosen and after."""

from export.encoder.graph import Graph


def expand(graph: Graph, keep_large: bool = False) -> Graph:
    """Replace what no neuromorphic node can compute; see ``Node.expand``."""
    graph = graph.copy()
    for name, node in list(graph.nodes.items()):
        with graph.within(graph.groups[name]):
            node.expand(graph, name, keep_large)
    return graph.sort()


def unroll(graph: Graph) -> Graph:
    """Replace what spans several time steps; see ``Node.unroll``."""
    graph = graph.copy()
    for name, node in list(graph.nodes.items()):
        with graph.within(graph.groups[name]):
            node.unroll(graph, name)
    return graph.sort()
