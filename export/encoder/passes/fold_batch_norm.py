"""Fold batch normalisation into the linear map before it."""

from dataclasses import replace

import numpy as np

from export.encoder.graph import Graph
from export.encoder.node import Array, Linear
from export.encoder.operations import Conv, Dense, Norm, WaveMixer
from spikinghash.errors import GraphError


def fold_batch_norm(graph: Graph) -> Graph:
    """Replace every (linear map, ``Norm``) by a linear map with a bias."""
    graph = graph.copy()
    for name, norm in list(graph.find(Norm)):
        (source,) = graph.sources(name)
        linear = graph.nodes[source]
        if graph.targets(source) != [name] or not isinstance(linear, Conv | Dense | WaveMixer):
            raise GraphError(
                f"node {name}: it normalises {source}, which is no linear map of its own: it cannot be folded"
            )
        graph.nodes[source] = _fold(linear, norm)
        graph.bypass(name, source)
    return graph


def _fold(linear: Linear, norm: Norm) -> Linear:
    bias = norm.shift if linear.bias is None else norm.shift + norm.scale * linear.bias
    if isinstance(linear, WaveMixer):
        groups = linear.weight.shape[0]
        scale = np.repeat(norm.scale, 8**linear.levels).reshape(groups, -1, 1)
        return replace(linear, weight=linear.weight * scale, bias=bias)
    assert isinstance(linear, Conv | Dense)
    return replace(linear, weight=_scale_rows(linear.weight, norm.scale), bias=bias)


def _scale_rows(weight: Array, scale: Array) -> Array:
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
