"""The native dialect: delays and memoryless thresholds as the NIR nodes made for them, large attentions marked."""

import nir
import numpy as np

from export.encoder.graph import Graph
from export.encoder.node import Node, Shape
from export.encoder.operations import Attention, Conv, Counter, Delay, Dense, Input, Lif, Output, Threshold
from export.nir.dialects.nodes import TIME_STEP, common_node, convolution
from export.nir.marked_attention import MarkedAttention
from spikinghash.errors import GraphError

Edges = list[tuple[str, str]]


def write_native(graph: Graph) -> tuple[nir.NIRGraph, Graph]:
    """The lowered ``graph`` in NIR, and the graph itself; every node becomes one NIR node of the same name."""
    nodes = {name: _node(name, node, _gain(graph, name)) for name, node in graph.nodes.items()}
    return nir.NIRGraph(nodes=nodes, edges=list(graph.edges)), graph


def _gain(graph: Graph, name: str) -> float:
    """2 for what drives a LIF, since NIR's LIF halves its input."""
    return 2.0 if any(isinstance(graph.nodes[target], Lif) for target in graph.targets(name)) else 1.0


def _node(name: str, node: Node, gain: float) -> nir.NIRNode:
    if isinstance(node, Input | Output | Lif):
        return common_node(node)
    if isinstance(node, Threshold):
        return nir.Threshold(np.full(node.shape, node.threshold))
    if isinstance(node, Counter):
        return _integrator(node)
    if isinstance(node, Delay):
        return nir.Delay(TIME_STEP * _per_neuron(node.steps, node.shape))
    if isinstance(node, Conv | Dense):
        return convolution(node, gain)
    if isinstance(node, Attention) and node.weight == 1.0:
        return MarkedAttention(node.shape, node.heads).subgraph()
    raise GraphError(f"node {name}: NIR has no {type(node).__name__}: lower the graph first")


def _integrator(counter: Counter) -> nir.IF:
    """``v <- v + r dt i``, r = 1/dt: spikes when the count exceeds ``votes`` - 1/2."""
    shape = counter.shape
    return nir.IF(
        np.full(shape, 1 / TIME_STEP), v_threshold=np.full(shape, counter.votes - 0.5), v_reset=np.zeros(shape)
    )


def _per_neuron(steps: tuple[int, ...], shape: Shape) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.broadcast_to(np.array(steps, float)[:, None, None], shape).copy()
