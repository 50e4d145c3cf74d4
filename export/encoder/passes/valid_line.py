"""The valid line: a spike in every step of the window, and all biases as weights from it.

A bias in a neuron would act before the data arrives and after it has left, and a pipeline of several steps would
never be at rest. The valid line comes in as a third input channel and is delayed with the data.
"""

from dataclasses import replace

import numpy as np

from export.encoder.graph import Graph
from export.encoder.node import Array, Linear, Shape
from export.encoder.operations import Conv, Delay, Dense, Input, Lif, Threshold
from export.encoder.passes.align import delay_line
from spikinghash.errors import GraphError

VALID = "valid"
"""Name of the population that spikes in every step of the window."""


def biases_from_valid_line(graph: Graph) -> Graph:
    """Replace the biases of linear maps by weights from the valid line, one map per population that has any."""
    graph = graph.copy()
    for name, lif in list(graph.find(Lif)):
        bias = _total_bias(graph, name)
        if bias is not None:
            weight = np.broadcast_to(bias[:, None, None], lif.shape)[..., None, None, None]
            line = valid_line(graph, graph.latency.get(name, 0))
            graph.connect(graph.add(f"{name}_bias", Dense(weight.copy()), line), name)
    for name, node in graph.nodes.items():
        if isinstance(node, Linear) and node.bias is not None:
            graph.nodes[name] = node.with_numbers(node.weight, None)
    return graph.sort()


def _total_bias(graph: Graph, name: str) -> Array | None:
    sources = [graph.nodes[source] for source in graph.sources(name)]
    biases = [node.bias for node in sources if isinstance(node, Linear) and node.bias is not None]
    return np.sum(biases, axis=0) if biases else None


def valid_line(graph: Graph, latency: int) -> str:
    """The population that spikes in every step of the window, ``latency`` steps late."""
    if VALID not in graph.nodes:
        _add_valid(graph)
    return delay_line(graph, VALID, latency) if latency else VALID


def _add_valid(graph: Graph) -> None:
    name, node = graph.only(Input)
    events, height, width = node.shape
    _widen(graph, name, (events + 1, height, width))
    pick = np.eye(events + 1)[-1].reshape(1, events + 1, 1, 1)
    graph.add("valid_pick", Conv((events + 1, height, width), pick, stride=max(height, width)), name)
    graph.add(VALID, Threshold((1, 1, 1), 0.5), "valid_pick")
    graph.serves[VALID] = VALID


def _widen(graph: Graph, name: str, shape: Shape) -> None:
    """Give a population the valid channel; who reads it ignores the channel."""
    node = graph.nodes[name]
    graph.nodes[name] = Delay(shape, (*node.steps, node.steps[-1])) if isinstance(node, Delay) else Input(shape)
    for reader in graph.targets(name):
        conv = graph.nodes[reader]
        if isinstance(conv, Delay):
            _widen(graph, reader, shape)
        elif isinstance(conv, Conv):
            out, _, *kernel = conv.weight.shape
            weight = np.concatenate([conv.weight, np.zeros((out, 1, *kernel))], axis=1)
            graph.nodes[reader] = replace(conv, source=shape, weight=weight)
        else:
            raise GraphError(f"node {reader}: it reads the frames, but only convolutions and delays can")
