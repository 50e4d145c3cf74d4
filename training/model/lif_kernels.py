"""Loops over time of LIF neurons on a CPU, and the MLP around them, compiled by Numba.

Neurons are taken in blocks whose state stays in the processor's cache, so that each current is read from memory once.
Arrays have shape (T, neurons); a call handles the neurons ``start`` to ``stop`` and lets go of the interpreter lock.
All is in one file because Numba compiles anew what a changed file holds, but not what calls it from elsewhere.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_BLOCK = 1024
_CHUNK = 1 << 15
"""Hidden currents of an MLP in a chunk, about: the four arrays of its backward pass fit a core's cache."""

_Kernel = Callable[..., Any]
_compiled: Callable[[_Kernel], _Kernel] = numba.njit(nogil=True, cache=True, error_model="numpy")


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


@_compiled
def mlp(
    inputs: Array, first: Array, bias: Array, second: Array, result: Array, start: int, stop: int, constants: Any
) -> None:
    """Write ``LIF(x first + bias) second`` for the inputs ``start`` to ``stop`` of N; their shape is (T, N, C).

    Hidden neurons are walked through in chunks that stay in the cache. ``constants`` are threshold and decay.
    """
    steps, hidden = len(inputs), len(bias)
    size = max(1, _CHUNK // (steps * hidden))
    for begin in range(start, stop, size):
        end = min(begin + size, stop)
        current = _affine(_rows(inputs, begin, end), first, bias)
        fired = np.empty_like(current)
        by_step = (steps, (end - begin) * hidden)
        spikes(current.reshape(by_step), fired.reshape(by_step), 0, by_step[1], *constants)
        _put(np.dot(fired, second), result, begin, end)


@_compiled
def mlp_gradient(
    inputs: Array, outer: Array, first: Array, bias: Array, second: Array,
    of_inputs: Array, of_first: Array, of_bias: Array, of_second: Array, start: int, stop: int, constants: Any,
) -> None:  # fmt: skip
    """Write the gradient of the inputs of ``mlp`` and add those of its weights, ``outer`` being that of the result.

    ``second`` and its gradient are the transposed ones of ``mlp``: products with a long last side are the faster ones.
    """
    steps, hidden = len(inputs), len(bias)
    first_back = first.T.copy()
    size = max(1, _CHUNK // (steps * hidden))
    for begin in range(start, stop, size):
        end = min(begin + size, stop)
        x, of_result = _rows(inputs, begin, end), _rows(outer, begin, end)
        current, of_spikes = _affine(x, first, bias), np.dot(of_result, second)
        fired, of_current = np.empty_like(current), np.empty_like(current)
        by_step = (steps, (end - begin) * hidden)
        potentials = current.reshape(by_step)
        spikes(potentials, fired.reshape(by_step), 0, by_step[1], *constants)
        gradient(potentials, of_spikes.reshape(by_step), of_current.reshape(by_step), 0, by_step[1], *constants)
        of_second += np.dot(of_result.T, fired)
        of_first += np.dot(x.T, of_current)
        total = np.zeros_like(of_bias)
        for row in of_current:
            total += row
        of_bias += total
        _put(np.dot(of_current, first_back), of_inputs, begin, end)


@_compiled
def add_linear(inputs: Array, matrix: Array, bias: Array, result: Array, start: int, stop: int) -> None:
    """``result += inputs matrix + bias`` for the rows ``start`` to ``stop``."""
    size = max(1, _CHUNK // len(bias))
    for begin in range(start, stop, size):
        end = min(begin + size, stop)
        result[begin:end] += _affine(inputs[begin:end], matrix, bias)


@_compiled
def _affine(rows: Array, matrix: Array, bias: Array) -> Array:
    result = np.dot(rows, matrix)
    for row in result:
        for n in range(len(bias)):
            row[n] += bias[n]
    return result


@_compiled
def _rows(signal: Array, begin: int, end: int) -> Array:
    """(T n, C), out of (T, N, C)."""
    steps, _, channels = signal.shape
    lines, result = signal.reshape(steps, -1), np.empty((steps, (end - begin) * channels), signal.dtype)
    for t in range(steps):
        result[t] = lines[t, begin * channels : end * channels]
    return result.reshape(-1, channels)


@_compiled
def _put(rows: Array, signal: Array, begin: int, end: int) -> None:
    steps, _, channels = signal.shape
    lines, source = signal.reshape(steps, -1), rows.reshape(steps, -1)
    for t in range(steps):
        lines[t, begin * channels : end * channels] = source[t]
