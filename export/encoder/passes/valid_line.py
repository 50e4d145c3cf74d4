"""The valid line: a spike in every step of the window, and all biases as weights from it.

A bias in a neuron would act before the data arrives and after it has left, and a pipeline of several steps would
never be at rest. The valid line comes in as a third input channel and is delayed with the data.
"""

from collections.abc import Iterator

import numpy as np

from export.encoder.graph import Graph
from export.encoder.node import Array, Linear
from export.encoder.operations import Delay, Dense, Lif, Stream
from export.encoder.operations.lines import valid_line


def biases_from_valid_line(graph: Graph) -> Graph:
    """Replace the biases of linear maps by weights from the valid line, one map per population that has any."""
    graph = graph.copy()
    for name, lif in list(graph.find(Lif)):
        bias = _total_bias(graph, name)
        if bias is not None:
            weight = np.broadcast_to(bias[:, None, None], lif.shape)[..., None, None, None]
            line = valid_line(graph, graph.latency.get(name, 0))
            with graph.within(graph.groups[name]):
                graph.connect(graph.add(f"{name}_bias", Dense(weight.copy()), line), name)
    for name, node in graph.find(Linear):
        graph.nodes[name] = node.with_numbers(node.weight, None)
    return graph.sort()


def _total_bias(graph: Graph, name: str) -> Array | None:
    biases = list(_biases(graph, name))
    return np.sum(biases, axis=0) if biases else None


def _biases(graph: Graph, name: str) -> Iterator[Array]:
    """Those of all maps whose currents arrive at ``name``, through a ``Stream`` or not."""
    for source in graph.sources(name):
        node = graph.nodes[source]
        if isinstance(node, Stream | Delay):
            yield from _biases(graph, source)
        elif isinstance(node, Linear) and node.bias is not None:
            yield node.bias
