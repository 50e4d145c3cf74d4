"""Sums and affine maps by channel on a CPU, compiled by Numba: what batch normalisation is made of.

Arrays are maps with channels last, as one line of values. A call handles the values ``start`` to ``stop``, both at the
start of a pixel, and lets go of the interpreter's lock. Innermost loops run along lanes: the channels of as many pixels
as make up for what a loop costs.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_LANES = 192
"""Least length of an innermost loop."""
_RUN = 64
"""Rows of lanes that are summed in the values' own precision, before they go to the totals in double precision."""

_Kernel = Callable[..., Any]
_compiled: Callable[[_Kernel], _Kernel] = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})


@_compiled
def sums(weights: Array, values: Array, centre: Array, totals: Array, start: int, stop: int) -> None:
    """Add the sums of ``weights`` and of ``weights (values - centre)`` to ``totals``, shape (2, C), float64."""
    channels, centres = len(centre), _repeated(centre)
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
    for lane in range(lanes):
        totals[0, lane % channels] += lane_totals[0, lane]
        totals[1, lane % channels] += lane_totals[1, lane]


@_compiled
def combine(
    one: Array, other: Array, of_one: Array, of_other: Array, offset: Array, start: int, stop: int, result: Array
) -> None:
    """Write ``of_one one + of_other other + offset``; ``result`` may be ``one``."""
    by, by_other, plus = _repeated(of_one), _repeated(of_other), _repeated(offset)
    for row in range(start, stop, len(by)):
        last = min(row + len(by), stop)
        g, x, out = one[row:last], other[row:last], result[row:last]
        for n in range(len(x)):
            out[n] = by[n] * g[n] + (by_other[n] * x[n] + plus[n])


@_compiled
def _repeated(of_channels: Array) -> Array:
    channels = len(of_channels)
    result = np.empty(-(-_LANES // channels) * channels, of_channels.dtype)
    for n in range(len(result)):
        result[n] = of_channels[n % channels]
    return result
