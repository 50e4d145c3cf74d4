"""Linear NIR nodes as sparse matrices: one stored entry per synapse that exists.

Every linear primitive of NIR is a matrix between flattened arrays (C order). One matrix form serves the interpreter,
the Lava lowering and the synaptic operation counts, so they cannot disagree about borders, strides or groups.
"""

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import nir
import numpy as np
import numpy.typing as npt
from scipy import sparse

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

LINEAR_NODES = (
    nir.Affine,
    nir.Linear,
    nir.Conv1d,
    nir.Conv2d,
    nir.Scale,
    nir.SumPool2d,
    nir.AvgPool2d,
    nir.Flatten,
)


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
        return (node.weight.shape[0], *_convolved_shape(node))
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        channels, *size = input_shape(node)
        return (channels, *(len(window_starts) for window_starts in _pool_starts(node, size)))
    return _integers(node.output_type["output"])


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
    weight = np.asarray(node.weight)
    _, *size = input_shape(node)
    taps = [
        _tap_matrices(length, outputs, kernel, stride, begin, dilation)
        for length, outputs, kernel, stride, begin, dilation in zip(
            size,
            _convolved_shape(node),
            weight.shape[2:],
            _per_axis(node.stride, len(size)),
            _begin_padding(node),
            _per_axis(node.dilation, len(size)),
            strict=True,
        )
    ]
    return _sum_of_taps(weight, taps, int(node.groups))


@_matrix.register(nir.SumPool2d)
@_matrix.register(nir.AvgPool2d)
def _pool(node: nir.SumPool2d | nir.AvgPool2d) -> sparse.spmatrix:
    channels, *size = input_shape(node)
    kernel = _per_axis(node.kernel_size, 2)
    strides, padding = _per_axis(node.stride, 2), _per_axis(node.padding, 2)
    windows = [
        sum(_tap_matrices(length, len(starts), width, stride, begin, 1))
        for length, starts, width, stride, begin in zip(
            size, _pool_starts(node, size), kernel, strides, padding, strict=True
        )
    ]
    pooled = sparse.kron(*windows)
    if isinstance(node, nir.AvgPool2d):
        pooled = pooled / np.prod(kernel)
    return sparse.kron(sparse.identity(channels), pooled)


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


def _tap_matrices(
    length: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int
) -> list[sparse.csr_matrix]:
    """Per kernel position, the (outputs, length) matrix with a 1 where an output position reads an input position."""
    output = np.arange(outputs)
    matrices = []
    for tap in range(kernel):
        read = output * stride - padding + tap * dilation
        inside = (read >= 0) & (read < length)
        entries = np.ones(np.count_nonzero(inside))
        matrices.append(sparse.csr_matrix((entries, (output[inside], read[inside])), shape=(outputs, length)))
    return matrices


def _convolved_shape(node: nir.Conv1d | nir.Conv2d) -> Shape:
    _, *size = input_shape(node)
    if isinstance(node.padding, str) and node.padding == "same":
        return tuple(size)
    begins = _begin_padding(node)
    strides, dilations = _per_axis(node.stride, len(size)), _per_axis(node.dilation, len(size))
    return tuple(
        (length + 2 * begin - dilation * (kernel - 1) - 1) // stride + 1
        for length, begin, dilation, kernel, stride in zip(
            size, begins, dilations, node.weight.shape[2:], strides, strict=True
        )
    )


def _begin_padding(node: nir.Conv1d | nir.Conv2d) -> Shape:
    """Padding before the first element, per axis. 'same' puts the odd element at the end, as torch does."""
    kernel = node.weight.shape[2:]
    dilation = _per_axis(node.dilation, len(kernel))
    if not isinstance(node.padding, str):
        return _per_axis(node.padding, len(kernel))
    if node.padding == "valid":
        return (0,) * len(kernel)
    if any(stride != 1 for stride in _per_axis(node.stride, len(kernel))):
        raise ValueError("padding 'same' needs stride 1")
    return tuple(step * (width - 1) // 2 for step, width in zip(dilation, kernel, strict=True))


def _pool_starts(node: nir.SumPool2d | nir.AvgPool2d, size: Sequence[int]) -> list[range]:
    """Per axis, the first element of every window that fits (the floor rule of torch)."""
    settings = (_per_axis(node.kernel_size, 2), _per_axis(node.stride, 2), _per_axis(node.padding, 2))
    return [
        range(-padding, length + padding - kernel + 1, stride)
        for length, kernel, stride, padding in zip(size, *settings, strict=True)
    ]


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
