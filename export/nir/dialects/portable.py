"""The portable dialect: Input, Output, Conv2d (or Affine) and LIF only, uniform parameters in every node.

Norse, snnTorch, SpikingJelly and, with ``dense``, sc-neurocore run such files as they are.
"""

from typing import Any

import nir
import numpy as np

from export.encoder.graph import Graph
from export.encoder.node import Shape
from export.encoder.operations import Counter
from export.encoder.passes.remove_dead import remove_dead
from export.encoder.passes.shift_registers import shift_registers
from export.nir.dialects.dialect import Dialect, narrowed
from export.nir.synapse_matrix import synapse_matrix
from spikinghash.errors import GraphError

MEMORYLESS = 1.0 + 1e-6
"""tau/dt of a LIF that forgets all but a millionth of its potential; SpikingJelly wants more than 1."""
COUNTER_STEPS = 1024
"""tau/dt of a LIF that counts; it loses less than half a vote in windows of up to 32 steps."""
LARGEST_AFFINE = 50_000_000
"""Weights of one written-out convolution above which ``dense`` refuses."""


def write_portable(graph: Graph, dense: bool = False) -> tuple[nir.NIRGraph, Graph]:
    """The lowered ``graph`` in the portable dialect, and the graph with its delays turned into shift registers.

    Args:
        dense: write every convolution out as an Affine on flat arrays.

    Raises:
        GraphError: a written-out convolution is too large, or a window too long for the vote counter.
    """
    if any(graph.find(Counter)) and graph.time_steps * (graph.time_steps + 1) > COUNTER_STEPS:
        raise GraphError(
            f"a window of {graph.time_steps} steps is too long for a portable vote counter: limit 31 steps"
        )
    graph, cycles = shift_registers(graph)
    graph = remove_dead(graph)
    names = in_build_order(graph, cycles)
    graph, cycles = graph.rename(names), [(names[source], names[target]) for source, target in cycles]
    nodes = Portable().nodes(graph)
    if dense:
        nodes = {name: _flat(name, node) for name, node in nodes.items()}
    edges = cycles + [edge for edge in graph.edges if edge not in set(cycles)]
    return nir.NIRGraph(nodes=nodes, edges=edges), graph


def in_build_order(graph: Graph, cycles: list[tuple[str, str]]) -> dict[str, str]:
    """Names that sort alphabetically in topological order.

    NIR files give their nodes back in alphabetical order, and nirtorch builds a network in the order of its nodes,
    going round until the sources of each are there: minutes instead of seconds for names in any other order.
    """
    backward = {(source, target) for source, target in cycles if source.endswith("_shift")}
    forward = graph.copy()
    forward.edges = [edge for edge in graph.edges if edge not in backward]
    return {name: f"n{index:04d}_{name}" for index, name in enumerate(forward.sort().nodes)}


class Portable(Dialect):
    """Memoryless units and counters as LIF neurons of other time constants."""

    name = "portable"
    counter_gain = float(COUNTER_STEPS)

    def threshold(self, shape: Shape, threshold: float) -> nir.NIRNode:
        """A LIF that forgets."""
        return self.lif(shape, threshold, MEMORYLESS)

    def counter(self, shape: Shape, votes: int) -> nir.NIRNode:
        """A LIF that hardly leaks."""
        return self.lif(shape, votes - 0.5, COUNTER_STEPS)


def _flat(name: str, node: nir.NIRNode) -> nir.NIRNode:
    """``node`` on flat arrays, a convolution as an Affine."""
    if isinstance(node, nir.Conv2d):
        matrix = synapse_matrix(node)
        weights = matrix.shape[0] * matrix.shape[1]
        if weights > LARGEST_AFFINE:
            raise GraphError(
                f"node {name}: {weights:,} weights when written out as Affine, limit {LARGEST_AFFINE:,}: "
                "write it with convolutions (without --no-conv), or use a smaller network"
            )
        weight = narrowed(matrix.toarray())
        return nir.Affine(weight, np.zeros(len(weight), weight.dtype))
    if isinstance(node, nir.LIF):
        values: dict[str, Any] = {
            key: np.ravel(getattr(node, key)) for key in ("tau", "r", "v_leak", "v_threshold", "v_reset")
        }
        return nir.LIF(**values)
    if isinstance(node, nir.Input):
        return nir.Input(input_type=np.array([int(np.prod(node.input_type["input"]))]))
    return nir.Output(output_type=np.array([int(np.prod(node.output_type["output"]))]))
