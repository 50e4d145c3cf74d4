"""Loops over time of LIF neurons on a CPU, compiled by Numba.

Neurons are taken in blocks whose state stays in the processor's cache, so that each current is read from memory once.
Arrays have shape (T, neurons); a call handles the neurons ``start`` to ``stop`` and lets go of the interpreter lock.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_BLOCK = 1024

_compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def spikes(current: Array, result: Array, start: int, stop: int, threshold: Any, decay: Any) -> None:
    """Write the spikes: ``v <- (v + i) decay; s = [v > threshold]; v <- (1 - s) v``, with decay 1/2."""
    v = np.empty(_BLOCK, current.dtype)
    zero, one = current.dtype.type(0), current.dtype.type(1)
    for first in range(start, stop, _BLOCK):
        size = min(_BLOCK, stop - first)
        v[:] = zero
        for t in range(len(current)):
            i, s = current[t, first : first + size], result[t, first : first + size]
            for n in range(size):
                potential = (v[n] + i[n]) * decay
                fired = potential > threshold
                s[n] = one if fired else zero
                v[n] = zero if fired else potential


@_compiled
def gradient(current: Array, outer: Array, result: Array, start: int, stop: int, threshold: Any, decay: Any) -> None:
    """Write the gradient of the currents, ``outer`` being that of the spikes.

    Reverse mode of v_t = (r_{t-1} + i_t) decay, s_t = H(v_t - theta), r_t = (1 - s_t) v_t. With e_t = dL/dr_t:
    dL/dv_t = (g_t - e_t v_t) H'(v_t - theta) + e_t (1 - s_t). H' is the SuperSpike derivative 1 / (|v - theta| + 1)^2
    (Zenke & Ganguli 2018, section 3.3.2).
    """
    steps = len(current)
    potentials = np.empty((steps, _BLOCK), current.dtype)
    rest = np.zeros(_BLOCK, current.dtype)
    zero, one = current.dtype.type(0), current.dtype.type(1)
    for first in range(start, stop, _BLOCK):
        size = min(_BLOCK, stop - first)
        before = rest
        for t in range(steps):
            i, p = current[t, first : first + size], potentials[t]
            for n in range(size):
                p[n] = ((zero if before[n] > threshold else before[n]) + i[n]) * decay
            before = p
        # i_t enters as r_{t-1} does, so e_t is the next result. Read from there: a loop with one store becomes vectors.
        later = rest[:size]
        for t in range(steps - 1, -1, -1):
            p, g, out = potentials[t], outer[t, first : first + size], result[t, first : first + size]
            for n in range(size):
                v, e = p[n], later[n]
                distance = abs(v - threshold) + one
                out[n] = ((g[n] - e * v) / (distance * distance) + (zero if v > threshold else e)) * decay
            later = out
