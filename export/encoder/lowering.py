"""The whole way down: from the encoder's graph to populations and linear maps that live from step to step."""

from dataclasses import replace

from export.encoder.forms import Attentions, Biases, Streams
from export.encoder.graph import Graph
from export.encoder.operations import Attention
from export.encoder.passes.align import align
from export.encoder.passes.expand import expand, unroll
from export.encoder.passes.polyphase import polyphase
from export.encoder.passes.remove_dead import remove_dead
from export.encoder.passes.share_streams import share_streams
from export.encoder.passes.valid_line import biases_from_valid_line, biases_in_neurons


def lower(
    graph: Graph,
    keep_large: bool = False,
    streams: Streams = "copied",
    biases: Biases = "line",
    attention: Attentions = "gates",
) -> Graph:
    """Lower a folded graph (float or integer) to ``Input``, neurons, delays, ``Conv`` and ``Dense``, without biases.

    Args:
        keep_large: leave what is too large in the graph (an ``Attention``), for a dialect that can mark it.
        streams: what becomes of residual streams; ``shared`` ones need targets with graded spikes.
        biases: where they come from.
        attention: what stands for the products of queries, keys and values; ``product`` ones need ``keep_large``.

    Raises:
        GraphError: something cannot be lowered.
    """
    graph = share_streams(graph) if streams == "shared" else graph.copy()
    for name, node in graph.find(Attention):
        graph.nodes[name] = replace(node, product=attention == "product")
    graph = expand(graph, keep_large)
    place_biases = biases_in_neurons if biases == "neurons" else biases_from_valid_line
    for transform in (polyphase, align, unroll, place_biases, remove_dead):
        graph = transform(graph)
    return graph
