"""Linear NIR nodes as sparse matrices: one stored entry per synapse that exists.

Every linear primitive of NIR is a matrix between flattened arrays (C order). One matrix form serves the interpreter,
the Lava lowering and the synaptic operation counts, so they cannot disagree about borders, strides or groups.
"""

import math
from collections.abc import Sequence
from functools import singledispatch
from typing import Any, NamedTuple

import nir
import numpy as np
import numpy.typing as npt
from scipy import sparse

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

LINEAR_NODES = (nir.Affine, nir.Linear, nir.Conv1d, nir.Conv2d, nir.Scale, nir.SumPool2d, nir.AvgPool2d, nir.Flatten)


def synapse_matrix(node: nir.NIRNode) -> sparse.csr_matrix:
    """The matrix M of a linear node, such that ``y.ravel() = M @ x.ravel() + bias``.

    Zeros are not stored: ``M.nnz`` counts the synapses, and weights that would read the padding do not exist. A
    pooling node must carry its input type (``NIRGraph.infer_types`` sets it). The mean of AvgPool2d divides by the
    kernel's size, padding included, as torch does by default.

    Args:
        node: one of ``LINEAR_NODES``.

    Returns:
        csr_matrix of float64, shape (output size, input size), indices sorted.

    Raises:
        TypeError: the node is not linear.
        ValueError: the node's input shape is unknown, or its attributes contradict each other.
    """
    matrix = sparse.csr_matrix(_matrix(node), dtype=np.float64)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def bias_vector(node: nir.NIRNode) -> npt.NDArray[np.float64] | None:
    """What a linear node adds in every time step, shape (output size,), or None where it adds nothing."""
    bias = getattr(node, "bias", None)
    if bias is None or not np.any(bias):
        return None
    bias = np.asarray(bias, np.float64)
    positions = int(np.prod(output_shape(node))) // bias.size
    return np.repeat(bias.ravel(), positions)


def input_shape(node: nir.NIRNode) -> Shape:
    """Shape of what a linear node reads. Differs from ``node.input_type`` for grouped convolutions, which nir mistypes.

    Raises:
        ValueError: the node does not know its input shape.
    """
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        if node.input_shape is None:
            raise ValueError(f"{type(node).__name__} has no input_shape")
        return (node.weight.shape[1] * int(node.groups), *_integers(node.input_shape))
    shape = node.input_type["input"]
    if shape is None:
        raise ValueError(f"{type(node).__name__} has no input type")
    return _integers(shape)


def output_shape(node: nir.NIRNode) -> Shape:
    """Shape of what a linear node writes, right also for kernels that are not square, which nir mistypes.

    Raises:
        ValueError: the node does not know its input shape.
    """
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return (node.weight.shape[0], *(axis.outputs for axis in _axes(node)))
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        return (input_shape(node)[0], *(axis.outputs for axis in _axes(node)))
    return _integers(node.output_type["output"])


class _Axis(NamedTuple):
    """One axis of a convolution or a pooling."""

    length: int
    kernel: int
    stride: int
    begin: int
    """Padding before the first element."""
    end: int
    dilation: int

    @property
    def outputs(self) -> int:
        """Windows that fit (the floor rule of torch)."""
        room = self.length + self.begin + self.end - self.dilation * (self.kernel - 1) - 1
        return max(0, room // self.stride + 1)

    def taps(self) -> list[sparse.csr_matrix]:
        """Per kernel position, (outputs, length) with a 1 where an output position reads an input position."""
        output = np.arange(self.outputs)
        matrices = []
        for tap in range(self.kernel):
            read = output * self.stride - self.begin + tap * self.dilation
            inside = (read >= 0) & (read < self.length)
            entries = np.ones(np.count_nonzero(inside))
            places = (output[inside], read[inside])
            matrices.append(sparse.csr_matrix((entries, places), shape=(self.outputs, self.length)))
        return matrices


def _axes(node: nir.Conv1d | nir.Conv2d | nir.SumPool2d | nir.AvgPool2d) -> list[_Axis]:
    _, *size = input_shape(node)
    axes = len(size)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        kernel, dilation = node.weight.shape[2:], _per_axis(node.dilation, axes)
    else:
        kernel, dilation = _per_axis(node.kernel_size, axes), (1,) * axes
    stride = _per_axis(node.stride, axes)
    if not isinstance(node.padding, str):
        begin = end = _per_axis(node.padding, axes)
    elif node.padding == "valid":
        begin = end = (0,) * axes
    elif any(step != 1 for step in stride):
        raise ValueError("padding 'same' needs stride 1")
    else:  # the odd element goes to the end, as in torch
        whole = [step * (width - 1) for step, width in zip(dilation, kernel, strict=True)]
        begin, end = tuple(each // 2 for each in whole), tuple(each - each // 2 for each in whole)
    return [_Axis(*settings) for settings in zip(size, kernel, stride, begin, end, dilation, strict=True)]


@singledispatch
def _matrix(node: nir.NIRNode) -> sparse.spmatrix:
    raise TypeError(f"{type(node).__name__} is not a linear node")


@_matrix.register(nir.Affine)
@_matrix.register(nir.Linear)
def _dense(node: nir.Affine | nir.Linear) -> sparse.spmatrix:
    """Leading dimensions of the weight are a batch of independent maps: a block-diagonal matrix."""
    weight = np.asarray(node.weight)
    blocks = weight.reshape(-1, *weight.shape[-2:])
    return sparse.csr_matrix(blocks[0]) if len(blocks) == 1 else sparse.block_diag(blocks)


@_matrix.register
def _scale(node: nir.Scale) -> sparse.spmatrix:
    return sparse.diags(np.ravel(node.scale))


@_matrix.register
def _flatten(node: nir.Flatten) -> sparse.spmatrix:
    return sparse.identity(int(np.prod(input_shape(node))))


@_matrix.register(nir.Conv1d)
@_matrix.register(nir.Conv2d)
def _convolution(node: nir.Conv1d | nir.Conv2d) -> sparse.spmatrix:
    return _sum_of_taps(np.asarray(node.weight), [axis.taps() for axis in _axes(node)], int(node.groups))


@_matrix.register(nir.SumPool2d)
@_matrix.register(nir.AvgPool2d)
def _pool(node: nir.SumPool2d | nir.AvgPool2d) -> sparse.spmatrix:
    axes = _axes(node)
    pooled = sparse.kron(*(sum(axis.taps()) for axis in axes))
    if isinstance(node, nir.AvgPool2d):
        pooled = pooled / math.prod(axis.kernel for axis in axes)
    return sparse.kron(sparse.identity(input_shape(node)[0]), pooled)


def _sum_of_taps(weight: Array, taps: Sequence[Sequence[sparse.spmatrix]], groups: int) -> sparse.spmatrix:
    """A convolution is a sum over kernel positions of (channel matrix) x (which input each output position reads)."""
    parts = []
    for position in np.ndindex(*weight.shape[2:]):
        channels = _grouped(weight[(..., *position)], groups)
        where = taps[0][position[0]]
        for axis in range(1, len(taps)):
            where = sparse.kron(where, taps[axis][position[axis]])
        parts.append(sparse.kron(channels, where, format="coo"))
    return _concatenated(parts)


def _concatenated(parts: Sequence[sparse.coo_matrix]) -> sparse.csr_matrix:
    """The sum of matrices in one go: entries at the same place are added when csr is made."""
    entries = np.concatenate([part.data for part in parts])
    rows = np.concatenate([part.row for part in parts])
    columns = np.concatenate([part.col for part in parts])
    return sparse.csr_matrix((entries, (rows, columns)), shape=parts[0].shape)


def _grouped(weight: Array, groups: int) -> sparse.spmatrix:
    """Channel matrix (C_out, C_in) of a weight (C_out, C_in / groups): one block per group on the diagonal."""
    if weight.shape[0] % groups:
        raise ValueError(f"{weight.shape[0]} output channels do not divide into {groups} groups")
    matrix = sparse.coo_matrix(weight)
    group = matrix.row // (weight.shape[0] // groups)
    columns = matrix.col + group * weight.shape[1]
    return sparse.coo_matrix((matrix.data, (matrix.row, columns)), shape=(weight.shape[0], weight.shape[1] * groups))


def _per_axis(value: Any, axes: int) -> Shape:
    """One integer per axis from a scalar, a sequence, or what HDF5 makes of either."""
    numbers = _integers(value)
    if len(numbers) == 1:
        return numbers * axes
    if len(numbers) != axes:
        raise ValueError(f"{len(numbers)} values for {axes} axes")
    return numbers


def _integers(value: Any) -> Shape:
    return tuple(int(number) for number in np.ravel(value))
