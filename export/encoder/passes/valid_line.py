"""The valid line: a spike in every step of the window, and all biases as weights from it.

A bias in a neuron acts before the data arrives and after it has left, so that a pipeline of several steps is never at
rest. The valid line comes in as a third input channel and is delayed with the data. ``biases_in_neurons`` needs it only
where the data arrives late.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from export.encoder.graph import Graph
from export.encoder.node import Array, Linear
from export.encoder.operations import Delay, Dense, Lif, Output, Stream
from export.encoder.operations.lines import valid_but, valid_line


def biases_from_valid_line(graph: Graph) -> Graph:
    """Replace the biases of linear maps by weights from the valid line, one map per population that has any."""
    return _without_biases(graph, _from_line)


def biases_in_neurons(graph: Graph) -> Graph:
    """Replace the biases of linear maps by biases of the neurons, which cost no synaptic operation.

    A run of L steps of latency has T + L steps, and a population d steps late works in T of them. In the d steps before
    it is held at rest by the opposite current. In the L - d steps behind, nothing arrives but its bias b, which takes a
    potential v no higher than max(v, 2 b): only neurons with 2 b above threshold could spike then, and only they are
    held. So every population is silent outside of its window, as it is with a valid line, at d to L operations per
    neuron, not T. (Where the windows of d and of the output do not meet, or d is T or more, the line is kept.)

    What a potential is when the run ends is of no account: a run starts from rest, as it always had to.
    """
    return _without_biases(graph, _in_neuron)


def _without_biases(graph: Graph, place: Callable[[Graph, str, Lif, Array], None]) -> Graph:
    graph = graph.copy()
    for name, lif in list(graph.find(Lif)):
        bias = _total_bias(graph, name)
        if bias is not None:
            place(graph, name, lif, bias)
    for name, node in graph.find(Linear):
        graph.nodes[name] = node.with_numbers(node.weight, None)
    return graph.sort()


def _from_line(graph: Graph, name: str, lif: Lif, bias: Array) -> None:
    _connect(graph, name, bias, valid_line(graph, graph.latency.get(name, 0)))


def _in_neuron(graph: Graph, name: str, lif: Lif, bias: Array) -> None:
    late, last = graph.latency.get(name, 0), graph.latency.get(graph.only(Output)[0], 0)
    if late >= graph.time_steps or last > graph.time_steps + late:
        _from_line(graph, name, lif, bias)
        return
    graph.nodes[name] = replace(lif, bias=bias)
    restless = np.where(2 * bias > lif.threshold, bias, 0.0)
    if late:
        _connect(graph, name, -bias, valid_but(graph, 0, late))
    if last > late and restless.any():
        _connect(graph, name, -restless, valid_but(graph, last, late), "_after")


def _connect(graph: Graph, name: str, current: Array, line: str, suffix: str = "") -> None:
    """A current per channel of ``name`` with every spike of ``line``."""
    weight = np.broadcast_to(current[:, None, None], graph.nodes[name].shape)[..., None, None, None]
    with graph.within(graph.groups[name]):
        graph.connect(graph.add(f"{name}_bias{suffix}", Dense(weight.copy()), line), name)


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
