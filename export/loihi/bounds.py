"""How large currents and potentials of a population can become, whatever the input."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Driving:
    """Synapses onto a population from one source.

    ``weights`` (neurons, sources) are real; each source emits whole numbers from ``lowest`` to ``highest``.
    """

    weights: sparse.csr_matrix
    lowest: int = 0
    highest: int = 1


@dataclass(frozen=True)
class Neurons:
    """Neurons as the graph has them; arrays (neurons,). Decays are dt/tau, in [0, 1]; 1 leaves no memory.

    A neuron without ``threshold`` never spikes and emits its potential.
    """

    decay: Floats
    threshold: Floats | None
    current_decay: Floats
    bias: Floats
    """Added to the potential in every step, besides what the synapses bring."""


@dataclass(frozen=True)
class Bounds:
    """Worst cases of a population over all inputs, in the units of its weights."""

    above: float
    """Largest potential, or magnitude of a current."""
    below: float
    """Magnitude of the smallest potential."""
    threshold: float
    bias: float
    weight: float


def worst_cases(sources: Sequence[Driving], neurons: Neurons, window: int) -> Bounds:
    """The worst cases of a population that starts at rest and runs for ``window`` steps."""
    rising, falling = np.zeros_like(neurons.decay), np.zeros_like(neurons.decay)
    for source in sources:
        highest, lowest = _extremes(source)
        rising += highest
        falling += lowest
    weight = max((float(np.abs(source.weights.data).max(initial=0)) for source in sources), default=0.0)
    return reachable(rising, falling, neurons, window, weight)


def reachable(rising: Floats, falling: Floats, neurons: Neurons, window: int, weight: float) -> Bounds:
    """The same from the largest and the smallest (``falling``) sum of synapses in one step, (neurons,), and weight."""
    memory = _reach(neurons.current_decay, window)
    rising, falling = rising * memory, falling * memory
    current = max(rising.max(initial=0), -falling.min(initial=0))
    rising, falling = rising + np.maximum(neurons.bias, 0), falling + np.minimum(neurons.bias, 0)
    reach = _reach(neurons.decay, window)
    highest = rising * reach
    if neurons.threshold is not None:  # what stays below threshold, and one more step
        highest = np.minimum(highest, neurons.threshold * (1 - neurons.decay) + rising)
    return Bounds(
        above=float(max(highest.max(initial=0), current)),
        below=float(-(falling * reach).min(initial=0)),
        threshold=0.0 if neurons.threshold is None else float(neurons.threshold.max(initial=0)),
        bias=float(np.abs(neurons.bias).max(initial=0)),
        weight=weight,
    )


def _reach(decay: Floats, window: int) -> Floats:
    """Sum of ``(1 - decay)^k`` over the steps of a window: what a constant 1 adds up to."""
    return np.divide(1 - (1 - decay) ** window, decay, out=np.full_like(decay, window), where=decay > 0)


def _extremes(source: Driving) -> tuple[Floats, Floats]:
    """Largest and smallest sum of synapses of each neuron, in one step."""
    rising = sparse.csr_matrix(source.weights.maximum(0)).sum(axis=1).A1
    falling = sparse.csr_matrix(source.weights.minimum(0)).sum(axis=1).A1
    return (
        rising * max(source.highest, 0) + falling * min(source.lowest, 0),
        rising * min(source.lowest, 0) + falling * max(source.highest, 0),
    )
