"""Whole weights as Loihi stores them: 8-bit mantissas and an exponent, one synapse or two."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from export.loihi.arithmetic import Integers
from export.loihi.registers import LARGEST_MANTISSA, LARGEST_SPLIT, WEIGHT_EXPONENT


class Plane(NamedTuple):
    """Synapses that share an exponent: ``mantissa * 2^exponent``, mantissas even and in [-256, 254]."""

    mantissa: sparse.csr_matrix
    exponent: int


def planes(weights: sparse.csr_matrix) -> list[Plane]:
    """The synapses that add up to whole ``weights``: one plane, or two where 8 bits are too few."""
    values = np.asarray(weights.data, np.int64)
    shift = _common_zeros(values)
    mantissa = values >> shift
    if np.abs(mantissa).max(initial=0) <= LARGEST_MANTISSA:
        return [_plane(weights, mantissa, shift - 1)]
    high = WEIGHT_EXPONENT[-1] + 1
    upper = (values + 2 ** (high - 1)) >> high
    assert np.abs(upper).max(initial=0) <= LARGEST_MANTISSA, f"beyond {LARGEST_SPLIT}"
    return [_plane(weights, values - (upper << high), -1), _plane(weights, upper, high - 1)]


def _common_zeros(values: Integers) -> int:
    """Trailing binary zeros that all values share, as far as an exponent can carry them."""
    together = int(np.bitwise_or.reduce(values)) if values.size else 0
    zeros = (together & -together).bit_length() - 1 if together else 0
    return min(zeros, WEIGHT_EXPONENT[-1] + 1)


def _plane(weights: sparse.csr_matrix, mantissa: Integers, exponent: int) -> Plane:
    matrix = sparse.csr_matrix((2 * mantissa, weights.indices.copy(), weights.indptr.copy()), shape=weights.shape)
    matrix.eliminate_zeros()
    return Plane(matrix, exponent)
