"""Populations of neurons, joined by delayed synapses: what a NIR graph becomes on machines that run in time steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

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

    What arrives has three times as many elements as what it emits.
    """

    name: str
    attention: MarkedAttention

    @property
    def largest(self) -> int:
        """The count of spikes everywhere."""
        channels, height, width = self.shape
        return channels // self.attention.heads * height * width

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
