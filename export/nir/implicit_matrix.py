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
    matrix does, and zeros for the padding.
    """

    def __init__(self, node: nir.Conv1d | nir.Conv2d) -> None:
        axes, groups = axes_of(node), int(node.groups)
        weight = np.asarray(node.weight, np.float64)
        weight = weight.reshape(*weight.shape[:2], -1)
        (outputs, inner, taps), self._channels = weight.shape, weight.shape[1] * groups
        if outputs % groups:
            raise ValueError(f"{outputs} output channels do not divide into {groups} groups")
        out, channel, tap = np.nonzero(weight)
        columns = (channel + out // (outputs // groups) * inner) * taps + tap
        self._kernel = sparse.csr_matrix((weight[out, channel, tap], (out, columns)), (outputs, self._channels * taps))
        reads, inside = reads_of(axes)
        self._length, self._positions = math.prod(axis.length for axis in axes), reads.shape[1]
        self._whole = inside.all() and np.array_equal(reads, [np.arange(self._length)])
        self._reads = np.where(inside, reads, self._length)
        self.nnz = int(np.bincount(tap, minlength=taps) @ inside.sum(axis=1))

    @property
    def gathered(self) -> int:
        """Values that one sample's product works on."""
        return self._channels * self._reads.size

    def __matmul__(self, values: Values) -> Values:
        """(inputs, samples) to (outputs, samples)."""
        samples = values.shape[1]
        maps = values.reshape(self._channels, self._length, samples)
        if not self._whole:
            padded = np.concatenate([maps, np.zeros((self._channels, 1, samples))], axis=1)
            maps = padded[:, self._reads]
        result: Values = self._kernel @ maps.reshape(self._kernel.shape[1], self._positions * samples)
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
