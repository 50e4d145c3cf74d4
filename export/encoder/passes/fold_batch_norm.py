"""Fold batch normalisation into the linear map before it."""

from export.encoder.graph import Graph
from export.encoder.node import Linear
from export.encoder.operations import Norm
from spikinghash.errors import GraphError


def fold_batch_norm(graph: Graph) -> Graph:
    """Replace every (linear map, ``Norm``) by a linear map with a bias."""
    graph = graph.copy()
    for name, norm in list(graph.find(Norm)):
        (source,) = graph.sources(name)
        linear = graph.nodes[source]
        if graph.targets(source) != [name] or not isinstance(linear, Linear):
            raise GraphError(
                f"node {name}: it normalises {source}, which is no linear map of its own: it cannot be folded"
            )
        graph.nodes[source] = linear.normalised(norm.scale, norm.shift)
        graph.bypass(name, source)
    return graph
