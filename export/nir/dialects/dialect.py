"""What operations are written with: the NIR nodes of both dialects. Arrays are spelled out per neuron, as NIR wants."""

from collections.abc import Sequence
from typing import Any, NoReturn

import nir
import numpy as np
from numpy.typing import NDArray

from export.encoder.graph import Graph
from export.encoder.node import Array, Shape
from spikinghash.errors import GraphError

TIME_STEP = 1e-4
"""dt in seconds. NIR has continuous time; snnTorch assumes this step."""


class Dialect:
    """Writes the nodes of a lowered graph; a dialect refuses what it has no node for."""

    name: str
    lif_gain = 2.0
    """What drives a LIF is multiplied by tau/dt, since NIR's LIF divides its input by that."""
    counter_gain = 1.0
    """The same for the neuron that counts votes."""

    def nodes(self, graph: Graph) -> dict[str, nir.NIRNode]:
        """One NIR node per node of ``graph``, of the same name."""
        return {name: node.to_nir(name, self, self._gain(graph, name)) for name, node in graph.nodes.items()}

    def _gain(self, graph: Graph, name: str) -> float:
        return max((graph.nodes[target].gain(self) for target in graph.targets(name)), default=1.0)

    def input(self, shape: Shape) -> nir.NIRNode:
        """Where spikes enter."""
        return nir.Input(input_type=np.array(shape))

    def output(self, shape: Shape) -> nir.NIRNode:
        """Where spikes leave."""
        return nir.Output(output_type=np.array(shape))

    def lif(self, shape: Shape, threshold: float, steps: float = lif_gain) -> nir.NIRNode:
        """``v <- v + (i - v) dt/tau`` with tau = ``steps`` dt, resistance 1, strict threshold, reset to 0.

        With two steps this is ``v <- v/2 + i/2``: the currents of the graph must arrive doubled.
        """
        return nir.LIF(
            tau=np.full(shape, steps * TIME_STEP),
            r=np.ones(shape),
            v_leak=np.zeros(shape),
            v_reset=np.zeros(shape),
            v_threshold=np.full(shape, threshold),
        )

    def biased_lif(self, shape: Shape, threshold: float, bias: Array) -> nir.NIRNode:
        """A LIF with a current per channel that flows in every step."""
        self._refuse("LIF with a bias")

    def convolution(self, weight: Array, source: Shape, stride: int, padding: Sequence[int]) -> nir.NIRNode:
        """A convolution of maps of shape ``source``, all channels in one group."""
        return nir.Conv2d(
            input_shape=source[1:],
            weight=narrowed(weight),
            stride=(stride, stride),
            padding=tuple(padding),
            dilation=(1, 1),
            groups=1,
            bias=np.zeros(len(weight), np.float32),
        )

    def threshold(self, shape: Shape, threshold: float) -> nir.NIRNode:
        """A unit without memory."""
        self._refuse("threshold without memory")

    def counter(self, shape: Shape, votes: int) -> nir.NIRNode:
        """A neuron that spikes at the last of ``votes`` spikes."""
        self._refuse("vote counter")

    def delay(self, shape: Shape, steps: Sequence[int]) -> nir.NIRNode:
        """A delay of ``steps[c]`` time steps for channel c."""
        self._refuse("delay")

    def stream(self, shape: Shape) -> nir.NIRNode:
        """A sum of currents that is emitted as it is, as a graded spike."""
        self._refuse("graded spikes")

    def product(self, shape: Shape, heads: int, factor: int) -> nir.NIRNode:
        """Coincidence counts Q (K^T V) of queries, keys and values, a map of ``shape`` in polyphase layout each."""
        self._refuse("product of two signals")

    def _refuse(self, what: str) -> NoReturn:
        raise GraphError(f"the {self.name} dialect has no {what}: lower the graph first")


def narrowed(values: Array) -> NDArray[Any]:
    """``values`` in float32, unless that would change one of them."""
    narrow = values.astype(np.float32)
    return narrow if np.array_equal(narrow, values) else values.astype(np.float64)
