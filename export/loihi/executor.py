"""The integer encoder with Loihi's neurons, nothing lowered.

Sums are those of the integer network, exact in float64; only what a neuron makes of them is Loihi's. On a grid of
``2^-f`` potentials have 6 + f fractional bits. A neuron that last reset n steps ago needs n - 1 to be exact, so windows
of T <= 7 + f steps give the spikes of the integer network, and longer ones drift by truncation.

Attention is carried out by coincidence gates, which have no memory and are exact.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from export.encoder.certify import certify
from export.encoder.executor import GraphExecutor
from export.encoder.graph import Graph
from export.encoder.node import Array, Map, Node
from export.encoder.operations import Lif, WaveMixer
from export.loihi.bounds import Neurons, reachable
from export.loihi.registers import LARGEST_SPLIT, Registers, on_finest_grid
from spikinghash.errors import GraphError

LONG = 64
"""Steps in which a halved potential reaches its bound; the deployed graph runs for longer than a window, to drain."""


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
        certify(graph)  # raises where a number is not whole
        maps = dict(graph.find(Map))
        self.registers = {
            name: _registers(lif, name, {source: maps[source] for source in graph.sources(name)})
            for name, lif in graph.find(Lif)
        }

    def emitted(self, name: str, node: Node, total: Tensor) -> Tensor:
        """Spikes of Loihi's neurons; what other nodes emit."""
        if name not in self.registers:
            return super().emitted(name, node, total)
        own = self.registers[name]
        neurons = own.at_rest(tuple(total.shape[1:]))
        currents = np.ldexp(total.numpy(), own.fraction).astype(np.int64)
        return torch.from_numpy(np.stack([neurons.step(a) for a in currents])).to(self.dtype)


def _extremes(name: str, node: Map) -> tuple[Array, Array]:
    """Least and greatest current without bias per channel, as the bounds of the lowered graph have them.

    There a WaveMixer is a map for each step of a block, which the bounds add up.
    """
    if isinstance(node, WaveMixer):
        steps = node.rows().reshape(node.shape[0], 2**node.levels, 4**node.levels, -1)
        return np.minimum(steps, 0).sum((1, 3)).min(1), np.maximum(steps, 0).sum((1, 3)).max(1)
    least, greatest = node.current_range(name)
    return (least, greatest) if node.bias is None else (least - node.bias, greatest - node.bias)


def _registers(lif: Lif, name: str, maps: Mapping[str, Map]) -> Registers:
    """Of one neuron for all of a population, driven by ``maps``; their biases are one synapse of the valid line."""
    one = np.ones(1)
    neurons = Neurons(one / 2, one * lif.threshold, one, 0 * one)
    bias = sum((each.bias for each in maps.values() if each.bias is not None), 0 * one)
    rising, falling = np.maximum(bias, 0), np.minimum(bias, 0)
    for source, each in maps.items():
        least, greatest = _extremes(source, each)
        rising, falling = rising + greatest, falling + least
    values = [*(np.ravel(each.weight) for each in maps.values()), bias]
    largest = max(float(np.abs(each).max()) for each in values)
    found = on_finest_grid(name, neurons, reachable(rising, falling, neurons, LONG, largest), values)
    if not found.exact:  # the weights of a lowered graph would be rounded
        limit = f"at most {LARGEST_SPLIT} do"
        raise GraphError(f"node {name}: weights up to {largest:g} do not fit two synapses, {limit}: quantise coarser")
    return found
