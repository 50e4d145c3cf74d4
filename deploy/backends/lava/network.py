"""What a NIR graph becomes before it becomes Lava processes: populations of neurons, joined by delayed synapses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from export.nir.mapping_size import MappingSize
from export.nir.marked_attention import MarkedAttention

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

CONSTANT = "<constant>"
"""Name of the line that carries 1 in every step: the source of biases and leak potentials."""


@dataclass(frozen=True)
class SynapticCurrent:
    """A current that outlasts the spikes that caused it: ``u <- (1 - decay) u + a``; shape of the arrays (neurons,).

    ``bias`` is what the membrane potential gains in every step besides u. (Elsewhere the ``CONSTANT`` line brings it.)
    """

    decay: Array
    bias: Array


@dataclass(frozen=True)
class Population:
    """Neurons that follow ``v <- (1 - decay) v + a`` in each time step, where a is what their synapses bring.

    With a ``current``, u takes the place of a. A spiking neuron emits 1 where ``v > threshold`` and then sets v to
    ``reset``; any other neuron emits v. At the start of every window v and u are 0. The arrays have shape (neurons,).
    """

    name: str
    shape: Shape
    spiking: bool
    decay: Array
    threshold: Array
    reset: Array
    current: SynapticCurrent | None = None

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Product:
    """Counts Q (K^T V) of the spikes that arrive in a step (``export.nir.marked_attention``); no memory, no threshold.

    What arrives has three times as many elements as what it emits. No count exceeds ``largest``.
    """

    name: str
    attention: MarkedAttention
    largest: int

    @property
    def shape(self) -> Shape:
        """(C, H, W) of the counts."""
        return self.attention.shape

    @property
    def size(self) -> int:
        """Number of counts."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Synapses:
    """``a(t) += weights @ s(t - delay)``, where s is zero before the window's first step.

    ``source`` is a population, a product, the input or ``CONSTANT``; ``target`` a population, a product or a readout;
    ``weights`` has shape (target size, source size) and ``delay`` counts time steps of the graph.
    """

    source: str
    target: str
    delay: int
    weights: sparse.csr_matrix


@dataclass(frozen=True)
class Readout:
    """A sum of synapses that is written to a file: the graph's output, or a recorded node without neurons."""

    name: str
    shape: Shape

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Network:
    """A graph without its linear nodes; the first readout is the output."""

    input: str
    input_shape: Shape
    populations: Sequence[Population]
    readouts: Sequence[Readout]
    synapses: Sequence[Synapses]
    products: Sequence[Product] = ()

    def shapes(self) -> dict[str, Shape]:
        """Shapes of what all populations, products and readouts emit."""
        parts: list[Population | Product | Readout] = [*self.populations, *self.products, *self.readouts]
        return {part.name: part.shape for part in parts}


@dataclass(frozen=True)
class Schedule:
    """When each population takes its steps: step t of the graph is Lava's step ``1 + t * pace + latencies[name]``.

    Attributes:
        pace: Lava steps per step of the graph.
        latencies: Lava steps by which each population and readout lags behind the graph's own time.
    """

    pace: int
    latencies: Mapping[str, int]


def schedule(network: Network) -> Schedule:
    """The fastest schedule in which nothing is needed before it is there.

    A synapse process takes one Lava step. A delay in the graph can hide it, so that a path is as long as the sum of
    ``1 - pace * delay`` over its synapses; whatever arrives earlier than the slowest input waits in the synapse
    process. A cycle of n synapses and a total delay of d steps needs a pace of at least n / d: one Lava step per step
    where a population feeds itself, two where two populations feed each other and only one of the ways is delayed.
    """
    for pace in count(1):
        latencies = _longest_paths(network, pace)
        if latencies is not None:
            return Schedule(pace, latencies)
    raise AssertionError("unreachable: every cycle holds a delay")


def _longest_paths(network: Network, pace: int) -> dict[str, int] | None:
    """Longest way to each population and readout (Bellman and Ford), or None where a cycle makes it endless."""
    latencies = dict.fromkeys((network.input, CONSTANT, *network.shapes()), 0)
    for _ in latencies:
        settled = True
        for part in network.synapses:
            arrival = latencies[part.source] + 1 - pace * part.delay
            if arrival > latencies[part.target]:
                latencies[part.target], settled = arrival, False
        if settled:
            return latencies
    return None


def mapping_size(network: Network) -> MappingSize:
    """Neurons and synapses that a network occupies, and how long a spike is on its way."""
    return MappingSize(
        neurons=sum(part.size for part in network.populations) + sum(part.size for part in network.products),
        synapses=sum(part.weights.nnz for part in network.synapses),
        steps=schedule(network).latencies[network.readouts[0].name],
    )
