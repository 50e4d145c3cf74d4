"""The registers of a population: its grid, and weights, thresholds and biases as whole multiples of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from export.loihi.arithmetic import DECAY_UNITY, LARGEST_POTENTIAL, SHIFT, Integers, NeuronState
from export.loihi.bounds import Bounds, Driving, Floats, Neurons, worst_cases
from spikinghash.errors import GraphError

POTENTIAL_BITS = 24
WEIGHT_EXPONENT = range(-8, 8)
LARGEST_MANTISSA = 127
LARGEST_SINGLE = LARGEST_MANTISSA << WEIGHT_EXPONENT[-1] + 1
"""Largest weight, in grid units, of one synapse."""
LARGEST_SPLIT = LARGEST_SINGLE + LARGEST_MANTISSA
"""Largest weight of which every whole number is the sum of two synapses."""
LARGEST_THRESHOLD = 2**17 - 1
LARGEST_BIAS = 2**12 - 1
FINEST_GRID = 8
"""Binary digits behind the point up to which weights are taken for whole numbers on a grid."""
LARGEST_FRACTION = 17
"""Binary digits behind the point that any population is given."""
NOISE = 2.0**-40
"""Relative error below which a weight is a whole number that met a rounded gain."""


@dataclass(frozen=True)
class Registers:
    """A population on its grid; arrays (neurons,)."""

    fraction: int
    """A weight, bias or threshold of 1 is ``2^fraction``."""
    decay: Integers
    """dv."""
    current_decay: Integers
    """du."""
    threshold: Integers
    """vth; zeros where the neurons never spike."""
    bias: Integers
    """bias_mant."""
    exact: bool
    """Whether the weights are those of the graph, not rounded."""
    spiking: bool
    """Whether the neurons spike; else they emit their potential."""
    weights: tuple[sparse.csr_matrix, ...] = ()
    """By source, int64: the sums of their planes."""

    @property
    def unit(self) -> float:
        """What a 1 that they emit stands for: a spike, or the last digit of a potential."""
        return 1.0 if self.spiking else 2.0 ** -(self.fraction + SHIFT)

    def at_rest(self, shape: tuple[int, ...]) -> NeuronState:
        """The neurons at the start of a sample; registers broadcast to ``shape``."""
        missing = (1,) * (len(shape) - 1)
        decay, current_decay, threshold, bias = (
            values.reshape(-1, *missing) for values in (self.decay, self.current_decay, self.threshold, self.bias)
        )
        return NeuronState(shape, decay, threshold, bias << SHIFT, current_decay, self.spiking)


def registers(name: str, sources: Sequence[Driving], neurons: Neurons, window: int) -> Registers:
    """Registers of a population that starts at rest and runs for ``window`` steps.

    Args:
        name: named in messages.
        sources: what drives it; all gains are in the weights.
        neurons: the population.
        window: time steps per sample.

    Raises:
        GraphError: a threshold or decay has no register, or 24 bits are too few.
    """
    _check(name, neurons)
    decay, gain = _in_4096ths(neurons.decay)
    current_decay, current_gain = _in_4096ths(neurons.current_decay)
    rounded = Neurons(decay, neurons.threshold, current_decay, neurons.bias * gain)
    gains = sparse.diags(gain * current_gain)
    scaled = [Driving(sparse.csr_matrix(gains @ s.weights), s.lowest, s.highest) for s in sources]
    values = [*(source.weights.data for source in scaled), rounded.bias]
    own = on_finest_grid(name, rounded, worst_cases(scaled, rounded, window), values)
    return replace(own, weights=tuple(_on_grid(source.weights, own.fraction, own.exact) for source in scaled))


def on_finest_grid(name: str, neurons: Neurons, bounds: Bounds, values: Sequence[Floats]) -> Registers:
    """Registers, but for weights, on the finest grid on which nothing overflows.

    Args:
        name: named in messages.
        neurons: their decays are multiples of 1 / 4096.
        bounds: their worst cases.
        values: their weights and biases: they stay as they are where they are whole numbers on some grid.

    Raises:
        GraphError: there is no such grid.
    """
    exact = _whole_grid(values)
    fraction = _fraction(name, bounds, exact)
    threshold = np.zeros_like(neurons.decay) if neurons.threshold is None else neurons.threshold
    return Registers(
        fraction,
        decay=np.rint(neurons.decay * DECAY_UNITY).astype(np.int64),
        current_decay=np.rint(neurons.current_decay * DECAY_UNITY).astype(np.int64) - 1,
        threshold=np.floor(np.ldexp(threshold, fraction)).astype(np.int64),
        bias=np.rint(np.ldexp(neurons.bias, fraction)).astype(np.int64),
        exact=exact is not None,
        spiking=neurons.threshold is not None,
    )


def _check(name: str, neurons: Neurons) -> None:
    for decay, lowest in ((neurons.decay, 0.0), (neurons.current_decay, 1 / DECAY_UNITY)):
        wrong = decay[(decay < lowest) | (decay > 1)]
        if wrong.size:
            raise GraphError(f"node {name}: dt/tau is {wrong[0]:g}, Loihi's are {lowest:g} to 1: choose another tau")
    if neurons.threshold is not None and neurons.threshold.min(initial=0) < 0:
        raise GraphError(
            f"node {name}: threshold {neurons.threshold.min():g}, Loihi's are at least 0: raise it and its bias"
        )


def _in_4096ths(decay: Floats) -> tuple[Floats, Floats]:
    """Decays rounded to 4096ths, and by what factor they are larger than those asked for."""
    rounded = np.rint(decay * DECAY_UNITY) / DECAY_UNITY
    return rounded, np.divide(rounded, decay, out=np.ones_like(decay), where=decay > 0)


def _whole_grid(weights: Sequence[Floats]) -> int | None:
    """The coarsest ``g <= FINEST_GRID`` at which all weights are whole multiples of ``2^-g`` and fit two synapses."""
    values = np.unique(np.concatenate([np.zeros(1), *map(np.abs, weights)]))
    for grid in range(-WEIGHT_EXPONENT[-1], FINEST_GRID + 1):
        units = values * 2.0**grid
        if np.all(np.abs(units - np.rint(units)) <= NOISE * units):
            return grid if units.max() <= LARGEST_SPLIT else None
    return None


def _fraction(name: str, bounds: Bounds, grid: int | None) -> int:
    """The finest grid on which nothing overflows; ``grid`` is the coarsest that is exact.

    Raises:
        GraphError: there is none.
    """
    room = LARGEST_POTENTIAL / 2**SHIFT
    slack = 1.0 if grid is not None else 1.01  # rounding moves a weight by less than 1 %
    chosen = min(
        _digits(room, bounds.above * slack),
        _digits(LARGEST_THRESHOLD, bounds.threshold),
        _digits(LARGEST_BIAS, bounds.bias),
        _digits(LARGEST_SPLIT if grid is not None else LARGEST_SINGLE, bounds.weight),
    )
    inhibited = _digits(room, bounds.below * slack)
    if grid is not None:
        chosen, needed = min(chosen, inhibited), grid
    else:
        needed = _digits(LARGEST_MANTISSA, bounds.weight)
        chosen = min(chosen, max(inhibited, needed))
    if chosen < needed:
        raise GraphError(_too_large(name, bounds, needed))
    return chosen


def _digits(limit: float, value: float) -> int:
    """The largest f with ``value 2^f <= limit``, at most ``LARGEST_FRACTION``."""
    if value <= limit * 2.0**-LARGEST_FRACTION:  # also where the quotient would be infinite
        return LARGEST_FRACTION
    return math.floor(math.log2(limit / value))


def _too_large(name: str, bounds: Bounds, fraction: int) -> str:
    """Which register is too small for ``fraction`` digits behind the point."""
    scale = 2.0**fraction
    if bounds.threshold * scale >= LARGEST_THRESHOLD + 1:
        return (
            f"node {name}: threshold {bounds.threshold * scale:.0f} where a weight is {bounds.weight * scale:.0f}, "
            f"Loihi's are at most {LARGEST_THRESHOLD}: quantise the layer coarser"
        )
    if bounds.bias * scale > LARGEST_BIAS:
        return f"node {name}: bias {bounds.bias * scale:.0f}, Loihi's are at most {LARGEST_BIAS}: quantise it coarser"
    peak = max(bounds.above, bounds.below)
    bits = math.ceil(math.log2(peak * scale * 2**SHIFT)) + 1
    return (
        f"node {name}: its potential can reach {peak:g}, which takes {bits} bits, Loihi has {POTENTIAL_BITS}: use "
        "smaller weights, fewer inputs or fewer steps per sample"
    )


def _on_grid(weights: sparse.csr_matrix, fraction: int, exact: bool) -> sparse.csr_matrix:
    """Weights as whole multiples of the grid; where they are not exact, of 8 significant bits."""
    units = weights.data * 2.0**fraction
    if not exact:
        step = 2.0 ** max(0, math.ceil(math.log2(max(np.abs(units).max(initial=0), 1.0) / LARGEST_MANTISSA)))
        units = np.rint(units / step) * step
    whole = np.rint(units).astype(np.int64)
    return sparse.csr_matrix((whole, weights.indices, weights.indptr), shape=weights.shape)
