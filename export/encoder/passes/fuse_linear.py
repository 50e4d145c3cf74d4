"""Fuse two linear maps in a row into one."""

import numpy as np

from export.encoder.graph import Graph
from export.encoder.node import Array
from export.encoder.operations import Conv, Dense


def fuse_linear(graph: Graph) -> Graph:
    """Merge every linear map whose only reader is a 1x1 convolution with it, as a pooling before a classifier.

    The first map must carry no bias into the second one other than one per channel, which is folded too.
    """
    graph = graph.copy()
    for name, second in list(graph.find(Conv)):
        sources = graph.sources(name)
        if len(sources) != 1 or second.weight.shape[2:] != (1, 1) or (second.stride, second.padding) != (1, 0):
            continue
        first = graph.nodes[sources[0]]
        if graph.targets(sources[0]) != [name] or not isinstance(first, Conv | Dense):
            continue
        matrix = second.weight[:, :, 0, 0]
        weight = np.tensordot(matrix, first.weight, axes=1)
        graph.nodes[name] = _with(first, weight, _fused_bias(matrix, first.bias, second.bias))
        _adopt_sources(graph, sources[0], name)
    return graph.sort()


def _with(first: Conv | Dense, weight: Array, bias: Array | None) -> Conv | Dense:
    if isinstance(first, Conv):
        return Conv(first.source, weight, bias, first.stride, first.padding)
    return Dense(weight, bias)


def _fused_bias(matrix: Array, first: Array | None, second: Array | None) -> Array | None:
    parts = [part for part in (None if first is None else matrix @ first, second) if part is not None]
    return sum(parts[1:], parts[0]) if parts else None


def _adopt_sources(graph: Graph, gone: str, name: str) -> None:
    graph.edges = [
        (source, name if target == gone else target)
        for source, target in graph.edges
        if (source, target) != (gone, name)
    ]
    del graph.nodes[gone]
