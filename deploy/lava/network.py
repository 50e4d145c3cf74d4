"""What a NIR graph becomes before it becomes Lava processes: populations of neurons, joined by delayed synapses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

CONSTANT = "<constant>"
"""Name of the line that carries 1 in every step: the source of biases and leak potentials."""


@dataclass(frozen=True)
class Population:
    """Neurons that follow ``v <- (1 - decay) v + a`` in each time step, where a is what their synapses bring.

    A spiking neuron emits 1 where ``v > threshold`` and then sets v to ``reset``; any other neuron emits v. At the
    start of every window v is 0. The arrays have shape (neurons,).
    """

    name: str
    shape: Shape
    spiking: bool
    decay: Array
    threshold: Array
    reset: Array

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Synapses:
    """``a(t) += weights @ s(t - delay)``, where s is zero before the window's first step.

    ``source`` is a population, the input or ``CONSTANT``; ``target`` a population or a readout; ``weights`` has shape
    (target size, source size) and ``delay`` counts time steps of the graph.
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
    """A graph without its linear nodes; populations are in topological order, the first readout is the output."""

    input: str
    input_shape: Shape
    populations: Sequence[Population]
    readouts: Sequence[Readout]
    synapses: Sequence[Synapses]

    def shapes(self) -> dict[str, Shape]:
        """Shapes of all populations and readouts, in topological order."""
        populations = {population.name: population.shape for population in self.populations}
        return populations | {readout.name: readout.shape for readout in self.readouts}


def latencies(network: Network) -> dict[str, int]:
    """By how many Lava steps each population and readout lags behind the graph's own time.

    A synapse process takes one step, which a delay of the graph can hide: this is the longest path where synapses
    count ``1 - delay``. Whatever arrives earlier than the slowest input waits in the synapse process.
    """
    arriving: dict[str, list[Synapses]] = {}
    for synapses in network.synapses:
        arriving.setdefault(synapses.target, []).append(synapses)
    latency = {network.input: 0, CONSTANT: 0}
    for name in network.shapes():
        latency[name] = max((latency[part.source] + 1 - part.delay for part in arriving.get(name, ())), default=0)
        latency[name] = max(latency[name], 0)
    return latency
