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
    shape, bias = output_shape(node), np.asarray(bias, np.float64)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        bias = bias.reshape(-1, *[1] * (len(shape) - 1))
    return np.broadcast_to(bias, shape).ravel()


def check_numbers(node: nir.NIRNode) -> None:
    """Refuse what no simulator could make sense of in a linear node that knows its input shape.

    Raises:
        ValueError: a weight is no finite number, the bias has another size than the output, or a stride, a dilation
            or a padding is too small.
    """
    for name in ("weight", "bias", "scale"):
        values = np.asarray(getattr(node, name, 0.0))
        if values.dtype.kind not in "biuf":
            raise ValueError(f"its {name} holds {values.dtype} values: use real numbers")
        if not np.all(np.isfinite(values)):
            raise ValueError(f"its {name} holds {values[~np.isfinite(values)][0]}: use finite numbers")
    for name, least in (("stride", 1), ("dilation", 1), ("padding", 0)):
        value = getattr(node, name, least)
        if not isinstance(value, str) and min(_integers(value)) < least:
            raise ValueError(f"its {name} is {min(_integers(value))}: at least {least} is needed")
    convolves = isinstance(node, nir.Conv1d | nir.Conv2d)
    size = np.size(getattr(node, "bias", 0.0))
    if size not in ((takes := output_shape(node)[0 if convolves else -1]), 1, math.prod(output_shape(node))):
        raise ValueError(f"its bias has {size} values for {takes} outputs")


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
        return (node.weight.shape[0], *(axis.outputs for axis in axes_of(node)))
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        return (input_shape(node)[0], *(axis.outputs for axis in axes_of(node)))
    return _integers(node.output_type["output"])


class Axis(NamedTuple):
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

    def reads(self) -> Array:
        """Input position that each tap reads at each output position, (kernel, outputs); some lie on the padding."""
        return np.arange(self.outputs) * self.stride - self.begin + self.dilation * np.arange(self.kernel)[:, None]


def axes_of(node: nir.Conv1d | nir.Conv2d | nir.SumPool2d | nir.AvgPool2d) -> list[Axis]:
    """The axes of a convolution or a pooling, but that of the channels."""
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
    return [Axis(*settings) for settings in zip(size, kernel, stride, begin, end, dilation, strict=True)]


def reads_of(axes: Sequence[Axis]) -> tuple[Array, Array]:
    """What each tap reads at each output position, flat, (taps, positions), and whether that is on the input."""
    reads, inside = np.zeros((1, 1), np.intp), np.ones((1, 1), bool)
    for axis in axes:
        read = axis.reads()
        valid = (read >= 0) & (read < axis.length)
        size = len(reads) * len(read), -1
        reads = (axis.length * reads[:, None, :, None] + np.where(valid, read, 0)[None, :, None]).reshape(size)
        inside = (inside[:, None, :, None] & valid[None, :, None]).reshape(size)
    return reads, inside


@singledispatch
def _matrix(node: nir.NIRNode) -> sparse.spmatrix:
    raise TypeError(f"{type(node).__name__} is not a linear node")


@_matrix.register(nir.Affine)
@_matrix.register(nir.Linear)
def _dense(node: nir.Affine | nir.Linear) -> sparse.spmatrix:
    """Leading dimensions of the weight are a batch of independent maps: a block-diagonal matrix."""
    weight = np.asarray(node.weight, np.float64)
    blocks = weight.reshape(-1, *weight.shape[-2:])
    return sparse.csr_matrix(blocks[0]) if len(blocks) == 1 else sparse.block_diag(blocks)


@_matrix.register
def _scale(node: nir.Scale) -> sparse.spmatrix:
    return sparse.diags(np.ravel(node.scale).astype(np.float64))


@_matrix.register
def _flatten(node: nir.Flatten) -> sparse.spmatrix:
    return sparse.identity(int(np.prod(input_shape(node))))


@_matrix.register(nir.Conv1d)
@_matrix.register(nir.Conv2d)
def _convolution(node: nir.Conv1d | nir.Conv2d) -> sparse.spmatrix:
    return _connected(np.asarray(node.weight, np.float64), axes_of(node), int(node.groups))


@_matrix.register(nir.SumPool2d)
@_matrix.register(nir.AvgPool2d)
def _pool(node: nir.SumPool2d | nir.AvgPool2d) -> sparse.spmatrix:
    axes = axes_of(node)
    pooled = _connected(np.ones((1, 1, *(axis.kernel for axis in axes))), axes, 1)
    if isinstance(node, nir.AvgPool2d):
        pooled = pooled / math.prod(axis.kernel for axis in axes)
    return sparse.kron(sparse.identity(input_shape(node)[0]), pooled)


def _connected(weight: Array, axes: Sequence[Axis], groups: int) -> sparse.coo_matrix:
    """An entry for every weight that is not zero and every position at which its tap lies on the input."""
    if weight.shape[0] % groups:
        raise ValueError(f"{weight.shape[0]} output channels do not divide into {groups} groups")
    written, read = (math.prod(getattr(axis, side) for axis in axes) for side in ("outputs", "length"))
    shape = (weight.shape[0] * written, weight.shape[1] * groups * read)
    size = np.int32 if max(shape) <= np.iinfo(np.int32).max else np.int64
    kernels = np.moveaxis(weight.reshape(*weight.shape[:2], -1), -1, 0)
    reads, inside = reads_of(axes)
    parts = []
    for tap in np.flatnonzero(kernels.any(axis=(1, 2))):
        out, channel = np.nonzero(kernels[tap])
        values = kernels[tap][out, channel].astype(np.float64)
        channel = channel + out // (weight.shape[0] // groups) * weight.shape[1]
        targets, sources = np.flatnonzero(inside[tap]), reads[tap][inside[tap]]
        rows = np.add.outer((out * written).astype(size), targets.astype(size)).ravel()
        columns = np.add.outer((channel * read).astype(size), sources.astype(size)).ravel()
        parts.append((np.repeat(values, len(targets)), rows, columns))
    if not parts:
        return sparse.coo_matrix(shape)
    data, rows, columns = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return sparse.coo_matrix((data, (rows, columns)), shape)


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
