"""The whole way down: from the encoder's graph to populations and linear maps that live from step to step."""

from collections.abc import Callable

from export.encoder.graph import Graph
from export.encoder.lowering.attention import lower_attention
from export.encoder.passes.align import align
from export.encoder.passes.polyphase import polyphase
from export.encoder.passes.remove_dead import remove_dead
from export.encoder.passes.time_blocks import lower_time_blocks
from export.encoder.passes.valid_line import biases_from_valid_line

PASSES: tuple[Callable[[Graph], Graph], ...] = (
    polyphase,
    align,
    lower_time_blocks,
    biases_from_valid_line,
    remove_dead,
)


def lower(graph: Graph, keep_large_attention: bool = False) -> Graph:
    """Lower a folded graph (float or integer) to ``Input``, neurons, delays, ``Conv`` and ``Dense``, without biases.

    Args:
        keep_large_attention: leave an ``Attention`` too large for coincidence gates in the graph.

    Raises:
        GraphError: something cannot be lowered.
    """
    graph = lower_attention(graph, keep_large_attention)
    for transform in PASSES:
        graph = transform(graph)
    return graph
