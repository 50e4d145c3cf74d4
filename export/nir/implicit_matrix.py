"""Convolutions that are multiplied with, not written out: a kernel is stored once, not at every pixel.

Of a map of 128x128 pixels the synapses of one wave mixer fill gigabytes as a sparse matrix; its kernels fill megabytes.
"""

import math
from typing import Protocol

import nir
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from export.nir.synapse_matrix import axes_of, reads_of, synapse_matrix

Values = NDArray[np.float64]


class Matrix(Protocol):
    """What a run needs of the matrix of a linear node."""

    @property
    def nnz(self) -> int:
        """Synapses: weights that are not zero, at every place where they read the input and not its padding."""

    def __matmul__(self, values: Values) -> Values:
        """(inputs, samples) to (outputs, samples)."""


class ConvolutionMatrix:
    """``synapse_matrix`` of a convolution in few bytes.

    Products are the same, bit for bit: an output adds what it reads channel by channel, tap by tap, as the row of the
    matrix does, and zeros for the padding. Taps of a channel that no output reads are left out: most are where the
    phases of a map lie in channels of their own.
    """

    def __init__(self, node: nir.Conv1d | nir.Conv2d) -> None:
        axes, groups = axes_of(node), int(node.groups)
        weight = np.asarray(node.weight, np.float64)
        weight = weight.reshape(*weight.shape[:2], -1)
        outputs, inner, taps = weight.shape
        if outputs % groups:
            raise ValueError(f"{outputs} output channels do not divide into {groups} groups")
        out, channel, tap = np.nonzero(weight)
        read = np.flatnonzero(weight.reshape(groups, -1, inner * taps).any(axis=1))
        columns = np.searchsorted(read, (channel + out // (outputs // groups) * inner) * taps + tap)
        self._kernel = sparse.csr_matrix((weight[out, channel, tap], (out, columns)), (outputs, len(read)))
        reads, inside = reads_of(axes)
        length = math.prod(axis.length for axis in axes)
        self._inputs = inner * groups * length
        self._rows = np.where(inside[read % taps], read[:, None] // taps * length + reads[read % taps], self._inputs)
        self._whole = np.array_equal(self._rows.ravel(), np.arange(self._inputs))
        self.nnz = int(np.bincount(tap, minlength=taps) @ inside.sum(axis=1))

    @property
    def gathered(self) -> int:
        """Values that one sample's product works on."""
        return self._rows.size

    def __matmul__(self, values: Values) -> Values:
        """(inputs, samples) to (outputs, samples)."""
        samples = values.shape[1]
        if not self._whole:
            values = np.concatenate([values, np.zeros((1, samples))]).take(self._rows, axis=0)
        result: Values = self._kernel @ values.reshape(len(self._rows), self._rows.shape[1] * samples)
        return result.reshape(-1, samples)


def matrix_of(node: nir.NIRNode) -> Matrix:
    """The matrix of a linear node in the form that takes less memory.

    Raises:
        TypeError, ValueError: as ``synapse_matrix``.
    """
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        implicit = ConvolutionMatrix(node)
        if implicit.gathered <= implicit.nnz:
            return implicit
    return synapse_matrix(node)
