"""Loops over time of LIF neurons on a CPU, the normalisation before and the MLP around them, compiled by Numba.

Neurons are taken in blocks whose state stays in the processor's cache, so that each current is read from memory once.
Arrays have shape (T, neurons); a call handles the neurons ``start`` to ``stop`` and lets go of the interpreter lock.
All is in one file because Numba compiles anew what a changed file holds, but not what calls it from elsewhere.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from training.model.blas import general_product

Array = NDArray[Any]

_BLOCK = 1024
_RUN = 64
"""Blocks that are summed in the values' own precision, before they go to the totals in double precision."""
_CHUNK = 1 << 15
"""Hidden currents of an MLP in a chunk, about: the four arrays of its backward pass fit a core's cache."""

_Kernel = Callable[..., Any]
_compiled: Callable[[_Kernel], _Kernel] = numba.njit(nogil=True, cache=True, error_model="numpy")
_sgemm, _dgemm = general_product("sgemm"), general_product("dgemm")


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
def driven(
    stream: Array, current: Array, factor: Array, offset: Array, total: Array, result: Array,
    start: int, stop: int, constants: Any,
) -> None:  # fmt: skip
    """Write ``total = stream + factor current + offset`` and its spikes; there are factors and offsets per channel.

    Channels are last; ``start`` and ``stop`` are multiples of their number. ``stream`` may have no rows.
    """
    by, plus = _block(factor), _block(offset)
    for first in range(start, stop, len(by)):
        last = min(first + len(by), stop)
        for t in range(len(current)):
            z, u = current[t, first:last], total[t, first:last]
            if len(stream):
                before = stream[t, first:last]
                for n in range(len(z)):
                    u[n] = before[n] + (by[n] * z[n] + plus[n])
            else:
                for n in range(len(z)):
                    u[n] = by[n] * z[n] + plus[n]
        spikes(total, result, first, last, *constants)


@_compiled
def driven_gradient(
    current: Array, mean: Array, total: Array, of_total: Array, of_result: Array, result: Array, totals: Array,
    start: int, stop: int, constants: Any,
) -> None:  # fmt: skip
    """Write the gradient of the stream of ``driven``; ``of_total`` may have no rows.

    With g that gradient, add the sums by channel of g and ``g (current - mean)`` to ``totals``, shape (2, C), float64.
    """
    means = _block(mean)
    partial, lane_sums = np.empty_like(means), np.zeros((2, len(means)))
    for first in range(start, stop, len(means)):
        last = min(first + len(means), stop)
        gradient(total, of_result, result, first, last, *constants)
        if len(of_total):
            for t in range(len(current)):
                g, further = result[t, first:last], of_total[t, first:last]
                for n in range(len(g)):
                    g[n] += further[n]
        partial[:] = 0
        for t in range(len(current)):
            g = result[t, first:last]
            for n in range(len(g)):
                partial[n] += g[n]
        for n in range(len(partial)):
            lane_sums[0, n] += partial[n]
        partial[:] = 0
        for t in range(len(current)):
            g, z = result[t, first:last], current[t, first:last]
            for n in range(len(g)):
                partial[n] += g[n] * (z[n] - means[n])
        for n in range(len(partial)):
            lane_sums[1, n] += partial[n]
    _add_lanes(lane_sums, totals)


@_compiled
def sums(weights: Array, values: Array, centre: Array, totals: Array, start: int, stop: int) -> None:
    """Add the sums by channel of ``weights`` and ``weights (values - centre)`` to ``totals``, shape (2, C), float64.

    Arrays are maps with channels last, as one line of values.
    """
    centres = _block(centre)
    lanes = len(centres)
    first, second = np.empty(lanes, values.dtype), np.empty(lanes, values.dtype)
    lane_totals = np.zeros((2, lanes))
    for run in range(start, stop, _RUN * lanes):
        first[:] = 0
        second[:] = 0
        for row in range(run, min(run + _RUN * lanes, stop), lanes):
            last = min(row + lanes, stop)
            g, x = weights[row:last], values[row:last]
            for n in range(len(x)):
                first[n] += g[n]
                second[n] += g[n] * (x[n] - centres[n])
        for n in range(lanes):
            lane_totals[0, n] += first[n]
            lane_totals[1, n] += second[n]
    _add_lanes(lane_totals, totals)


@_compiled
def combine(
    one: Array, other: Array, of_one: Array, of_other: Array, offset: Array, start: int, stop: int, result: Array
) -> None:
    """Write ``of_one one + of_other other + offset``, with constants per channel; ``result`` may be ``one``."""
    by, by_other, plus = _block(of_one), _block(of_other), _block(offset)
    for row in range(start, stop, len(by)):
        last = min(row + len(by), stop)
        g, x, out = one[row:last], other[row:last], result[row:last]
        for n in range(len(x)):
            out[n] = by[n] * g[n] + (by_other[n] * x[n] + plus[n])


@_compiled
def _add_lanes(lanes: Array, totals: Array) -> None:
    """From sums per lane of a block to sums per channel."""
    for lane in range(lanes.shape[1]):
        for kind in range(len(totals)):
            totals[kind, lane % totals.shape[1]] += lanes[kind, lane]


@_compiled
def _block(of_channels: Array) -> Array:
    """Repeated to about ``_BLOCK``."""
    channels = len(of_channels)
    result = np.empty(max(1, _BLOCK // channels) * channels, of_channels.dtype)
    for lane in range(0, len(result), channels):
        result[lane : lane + channels] = of_channels
    return result


@_compiled
def mlp(
    inputs: Array, first: Array, bias: Array, second: Array, result: Array, start: int, stop: int, constants: Any
) -> None:
    """Write ``LIF(x first + bias) second`` for the inputs ``start`` to ``stop`` of N; their shape is (T, N, C).

    Hidden neurons are walked through in chunks that stay in the cache. ``constants`` are threshold and decay.
    """
    steps, hidden = len(inputs), len(bias)
    biases = _biases(bias, steps)
    for begin in range(start, stop, len(biases) // steps):
        end = min(begin + len(biases) // steps, stop)
        x = _rows(inputs, begin, end)
        current = biases[: len(x)].copy()
        _product(x, first, current, False, 1)
        fired, out = np.empty_like(current), np.empty((len(x), second.shape[1]), x.dtype)
        by_step = (steps, (end - begin) * hidden)
        spikes(current.reshape(by_step), fired.reshape(by_step), 0, by_step[1], *constants)
        _product(fired, second, out, False, 0)
        _put(out, result, begin, end)


@_compiled
def mlp_gradient(
    inputs: Array, outer: Array, first: Array, bias: Array, second: Array,
    of_inputs: Array, of_first: Array, of_bias: Array, of_second: Array, start: int, stop: int, constants: Any,
) -> None:  # fmt: skip
    """Write the gradient of the inputs of ``mlp`` and add those of its weights, ``outer`` being that of the result.

    ``second`` and its gradient are the transposed ones of ``mlp``: products with a long last side are the faster ones.
    """
    steps, hidden = len(inputs), len(bias)
    biases = _biases(bias, steps)
    first_back = first.T.copy()
    for begin in range(start, stop, len(biases) // steps):
        end = min(begin + len(biases) // steps, stop)
        x, of_result = _rows(inputs, begin, end), _rows(outer, begin, end)
        current = biases[: len(x)].copy()
        _product(x, first, current, False, 1)
        fired, of_spikes, of_current = np.empty_like(current), np.empty_like(current), np.empty_like(current)
        _product(of_result, second, of_spikes, False, 0)
        by_step = (steps, (end - begin) * hidden)
        potentials = current.reshape(by_step)
        spikes(potentials, fired.reshape(by_step), 0, by_step[1], *constants)
        gradient(potentials, of_spikes.reshape(by_step), of_current.reshape(by_step), 0, by_step[1], *constants)
        _product(of_result, fired, of_second, True, 1)
        _product(x, of_current, of_first, True, 1)
        total = np.zeros_like(of_bias)
        for row in of_current:
            total += row
        of_bias += total
        of_x = np.empty_like(x)
        _product(of_current, first_back, of_x, False, 0)
        _put(of_x, of_inputs, begin, end)


@_compiled
def add_linear(inputs: Array, matrix: Array, bias: Array, result: Array, start: int, stop: int) -> None:
    """``result += inputs matrix + bias`` for the rows ``start`` to ``stop``."""
    size = max(1, _CHUNK // len(bias))
    for begin in range(start, stop, size):
        rows = result[begin : min(begin + size, stop)]
        for row in rows:
            for n in range(len(bias)):
                row[n] += bias[n]
        _product(inputs[begin : begin + len(rows)], matrix, rows, False, 1)


@_compiled
def _biases(bias: Array, steps: int) -> Array:
    """Repeated for the inputs of a chunk, in all their steps."""
    rows = max(1, _CHUNK // (steps * len(bias))) * steps
    result = np.empty((rows, len(bias)), bias.dtype)
    result[:] = bias
    return result


@_compiled
def _product(one: Array, two: Array, result: Array, flipped: bool, kept: int) -> None:
    """``result <- kept result + one two``, or ``one.T two`` if ``flipped``. All are contiguous, row by row."""
    # Fortran takes rows for columns: to it this is result <- kept result + two one. As sizes it takes 32-bit integers,
    # or 64-bit ones; little-endian 64-bit integers are either.
    sizes = np.empty(6, np.int64)
    sizes[0], sizes[1], sizes[2] = result.shape[1], result.shape[0], len(two)
    sizes[3], sizes[4], sizes[5] = two.shape[1], one.shape[1], result.shape[1]
    scales = np.empty(2, result.dtype)
    scales[0], scales[1] = 1, kept
    letters = np.empty(2, np.uint8)
    letters[0], letters[1] = ord("N"), ord("T") if flipped else ord("N")
    _call(one, two, result, sizes, scales, letters)


@_compiled
def _call(one: Array, two: Array, result: Array, sizes: Array, scales: Array, letters: Array) -> None:
    # A function of its own: its caller holds the arrays until BLAS has read them.
    n, scale, letter = sizes.ctypes.data, scales.ctypes.data, letters.ctypes.data
    a, b, c = two.ctypes.data, one.ctypes.data, result.ctypes.data
    if result.itemsize == 4:
        _sgemm(letter, letter + 1, n, n + 8, n + 16, scale, a, n + 24, b, n + 32, scale + 4, c, n + 40)
    else:
        _dgemm(letter, letter + 1, n, n + 8, n + 16, scale, a, n + 24, b, n + 32, scale + 8, c, n + 40)


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
