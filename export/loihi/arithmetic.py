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


def advance(v: Integers, current: Integers, decay: Integers | int, bias: Integers | int = 0) -> Integers:
    """Potentials after one step: ``clip(tz(v (4096 - dv) / 4096) + u + bias)``.

    Args:
        v: potentials before.
        current: u, see ``gather``.
        decay: dv, in 4096ths per step.
        bias: ``bias_mant << bias_exp``.
    """
    return np.clip(_decayed(v, decay) + current + bias, -LARGEST_POTENTIAL, LARGEST_POTENTIAL)


def gather(u: Integers | int, arriving: Integers, decay: Integers | int = DECAY_UNITY - 1) -> Integers:
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
