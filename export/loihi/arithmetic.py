"""One time step of Loihi's neurons, in whole numbers."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

LARGEST_POTENTIAL = 2**23 - 1
"""Of membrane potentials and currents, which have 24 bits."""
SHIFT = 6
"""By which currents and thresholds are shifted to the left before they meet the potential."""
DECAY_UNITY = 4096
"""A decay of 1."""
NO_MEMORY = DECAY_UNITY - 1
"""The du of a current without memory."""


class NeuronState:
    """Neurons that start at rest and step together; registers are numbers, or arrays that broadcast to ``shape``.

    Args:
        shape: of the neurons and what runs beside them.
        decay: dv, in 4096ths per step.
        threshold: vth.
        bias: ``bias_mant << bias_exp``, added in every step.
        current_decay: du.
        spiking: whether they spike; else they emit their potential.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        decay: Integers | int,
        threshold: Integers | int,
        bias: Integers | int = 0,
        current_decay: Integers | int = NO_MEMORY,
        spiking: bool = True,
    ) -> None:
        self._decay, self._limit, self._bias = decay, threshold << SHIFT, bias
        self._current_decay, self._spiking = current_decay, spiking
        self._forgets = bool(np.all(np.equal(current_decay, NO_MEMORY)))
        self._u: Integers | int = 0
        self._v: Integers = np.zeros(shape, np.int64)

    def step(self, arriving: Integers) -> Integers:
        """Take one step; return what the neurons emit: ``s = v > (vth << 6); v <- (1 - s) v``."""
        u = gather(self._u, arriving, self._current_decay)
        self._u = 0 if self._forgets else u
        self._v = advance(self._v, u, self._decay, self._bias)
        if not self._spiking:
            return self._v
        spikes = self._v > self._limit
        self._v = np.where(spikes, 0, self._v)
        return spikes.astype(np.int64)


def advance(v: Integers, current: Integers, decay: Integers | int, bias: Integers | int = 0) -> Integers:
    """Potentials after one step: ``clip(tz(v (4096 - dv) / 4096) + u + bias)``.

    Args:
        v: potentials before.
        current: u, see ``gather``.
        decay: dv, in 4096ths per step.
        bias: ``bias_mant << bias_exp``.
    """
    return np.clip(_decayed(v, decay) + current + bias, -LARGEST_POTENTIAL, LARGEST_POTENTIAL)


def gather(u: Integers | int, arriving: Integers, decay: Integers | int = NO_MEMORY) -> Integers:
    """Currents after one step: ``wrap(tz(u (4096 - (du + 1)) / 4096) + (a << 6))``.

    Args:
        u: currents before.
        arriving: what the synapses bring, a.
        decay: du.
    """
    return wrap_current(_decayed(u, decay + 1) + (arriving << SHIFT))


def _decayed(value: Integers | int, decay: Integers | int) -> Integers:
    """``tz(value (4096 - decay) / 4096)``: tz truncates toward zero."""
    product = np.asarray(value) * (DECAY_UNITY - decay)
    return np.asarray(np.sign(product) * (np.abs(product) // DECAY_UNITY))


def wrap_current(current: Integers) -> Integers:
    """Currents beyond 24 bits wrap around once, into (-2^23, 2^23]."""
    limit = LARGEST_POTENTIAL + 1
    wrapped = np.where(current > limit, current - 2 * limit, current)
    return np.where(wrapped <= -limit, current + 2 * limit, wrapped)
