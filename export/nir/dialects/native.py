"""The native dialect: delays and memoryless thresholds as the NIR nodes made for them, large attentions marked."""

from collections.abc import Sequence

import nir
import numpy as np

from export.encoder.graph import Graph
from export.encoder.node import Array, Shape
from export.nir.dialects.dialect import TIME_STEP, Dialect
from export.nir.marked_attention import MarkedAttention


def write_native(graph: Graph) -> tuple[nir.NIRGraph, Graph]:
    """The lowered ``graph`` in NIR, and the graph itself; every node becomes one NIR node of the same name."""
    return nir.NIRGraph(nodes=Native().nodes(graph), edges=list(graph.edges)), graph


class Native(Dialect):
    """All that NIR has, and marks for the products that it has not."""

    name = "native"

    def biased_lif(self, shape: Shape, threshold: float, bias: Array) -> nir.NIRNode:
        """The bias as leak potential, which like other currents is divided by tau/dt."""
        node = self.lif(shape, threshold)
        node.v_leak = np.broadcast_to(self.lif_gain * bias[:, None, None], shape).copy()
        return node

    def threshold(self, shape: Shape, threshold: float) -> nir.NIRNode:
        """NIR's own."""
        return nir.Threshold(np.full(shape, threshold))

    def counter(self, shape: Shape, votes: int) -> nir.NIRNode:
        """``v <- v + r dt i``, r = 1/dt: spikes when the count exceeds ``votes`` - 1/2."""
        return nir.IF(np.full(shape, 1 / TIME_STEP), v_threshold=np.full(shape, votes - 0.5), v_reset=np.zeros(shape))

    def delay(self, shape: Shape, steps: Sequence[int]) -> nir.NIRNode:
        """NIR's own."""
        return nir.Delay(TIME_STEP * np.broadcast_to(np.array(steps, float)[:, None, None], shape).copy())

    def stream(self, shape: Shape) -> nir.NIRNode:
        """``v <- v + (i - v) dt/tau`` with tau = dt: it forgets, and emits v."""
        return nir.LI(tau=np.full(shape, TIME_STEP), r=np.ones(shape), v_leak=np.zeros(shape))

    def product(self, shape: Shape, heads: int, factor: int) -> nir.NIRNode:
        """A marked subgraph."""
        return MarkedAttention.stored(shape, heads, factor).subgraph()
