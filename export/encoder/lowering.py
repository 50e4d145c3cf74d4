"""The whole way down: from the encoder's graph to populations and linear maps that live from step to step."""

from export.encoder.graph import Graph
from export.encoder.passes.align import align
from export.encoder.passes.expand import expand, unroll
from export.encoder.passes.polyphase import polyphase
from export.encoder.passes.remove_dead import remove_dead
from export.encoder.passes.valid_line import biases_from_valid_line


def lower(graph: Graph, keep_large: bool = False) -> Graph:
    """Lower a folded graph (float or integer) to ``Input``, neurons, delays, ``Conv`` and ``Dense``, without biases.

    Args:
        keep_large: leave what is too large in the graph (an ``Attention``), for a dialect that can mark it.

    Raises:
        GraphError: something cannot be lowered.
    """
    graph = expand(graph, keep_large)
    for transform in (polyphase, align, unroll, biases_from_valid_line, remove_dead):
        graph = transform(graph)
    return graph
