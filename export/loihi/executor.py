"""The integer encoder with Loihi's neurons, nothing lowered.

Sums are those of the integer network, exact in float64; only what a neuron makes of them is Loihi's. On a grid of
``2^-f`` potentials have 6 + f fractional bits. A neuron that last reset n steps ago needs n - 1 to be exact, so windows
of T <= 7 + f steps give the spikes of the integer network, and longer ones drift by truncation.

Attention is carried out by coincidence gates, which have no memory and are exact.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from export.encoder.certificate import Bound, certify
from export.encoder.executor import GraphExecutor
from export.encoder.graph import Graph
from export.encoder.node import Array, Map, Node
from export.encoder.operations import Lif
from export.loihi.bounds import Neurons, reachable
from export.loihi.registers import LARGEST_SPLIT, Registers, on_finest_grid
from spikinghash.errors import GraphError


class LoihiExecutor(GraphExecutor):
    """Runs an integer graph with neurons in Loihi's arithmetic.

    Args:
        graph: the encoder, batch normalisation folded.

    Attributes:
        registers: of each population, one neuron for all of it.

    Raises:
        GraphError: the graph is not an integer one, or a register is too small for its worst case: the layer, the
            actual value and the limit are named. So no run can overflow, whatever its frames.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph, torch.float64)
        self.registers = {bound.population: _registers(graph, bound) for bound in certify(graph).bounds}

    def emitted(self, name: str, node: Node, total: Tensor) -> Tensor:
        """Spikes of Loihi's neurons; what other nodes emit."""
        if name not in self.registers:
            return super().emitted(name, node, total)
        own = self.registers[name]
        neurons = own.at_rest(tuple(total.shape[1:]))
        currents = np.ldexp(total.numpy(), own.fraction).astype(np.int64)
        return torch.from_numpy(np.stack([neurons.step(a) for a in currents])).to(self.dtype)


def _registers(graph: Graph, bound: Bound) -> Registers:
    """Of a neuron ``v <- v/2 + a`` that stands for all of a population; biases are synapses."""
    one, name = np.ones(1), bound.population
    lif = graph.nodes[name]
    assert isinstance(lif, Lif)
    neurons, values = Neurons(one / 2, one * lif.threshold, one, 0 * one), list(_weights(graph, name))
    extremes = one * max(bound.highest, 0), one * min(bound.lowest, 0)
    largest = max(float(np.abs(each).max()) for each in values)
    own = on_finest_grid(name, neurons, reachable(*extremes, neurons, graph.time_steps, largest), values)
    if not own.exact:  # the weights of a lowered graph would be rounded
        limit = f"at most {LARGEST_SPLIT} do"
        raise GraphError(f"node {name}: weights up to {largest:g} do not fit two synapses, {limit}: quantise coarser")
    return own


def _weights(graph: Graph, name: str) -> Iterator[Array]:
    for node in map(graph.nodes.__getitem__, graph.sources(name)):
        assert isinstance(node, Map)
        yield np.ravel(node.weight)
        if node.bias is not None:
            yield node.bias
