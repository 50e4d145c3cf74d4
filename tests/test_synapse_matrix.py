"""Sparse matrices of linear NIR nodes, held against torch's own operators."""

import time
from typing import Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from export.nir.implicit_matrix import ConvolutionMatrix, matrix_of
from export.nir.synapse_matrix import bias_vector, input_shape, output_shape, synapse_matrix

SEEDS = st.integers(0, 2**32 - 1)
SMALL = st.integers(1, 3)


def apply(node: nir.NIRNode, x: np.ndarray) -> np.ndarray:
    """What the node computes, through its matrix and bias."""
    assert x.shape == input_shape(node)
    y = synapse_matrix(node) @ x.ravel()
    bias = bias_vector(node)
    return (y if bias is None else y + bias).reshape(output_shape(node))


def whole_numbers(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Small whole numbers, a third of them zero, so that sums are exact and zeros occur."""
    return generator.integers(-3, 4, shape).astype(np.float64) * (generator.random(shape) > 1 / 3)


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


@settings(deadline=None, max_examples=80)
@given(data=st.data(), seed=SEEDS, groups=SMALL, c_in=SMALL, c_out=SMALL)
def test_conv2d_equals_torch(data: Any, seed: int, groups: int, c_in: int, c_out: int) -> None:
    stride, dilation, kernel = (data.draw(st.tuples(SMALL, SMALL)) for _ in range(3))
    padding = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    size = tuple(data.draw(st.integers(d * (k - 1) + 1, 9)) for d, k in zip(dilation, kernel, strict=True))
    generator = np.random.default_rng(seed)
    weight = whole_numbers(generator, c_out * groups, c_in, *kernel)
    bias, x = whole_numbers(generator, c_out * groups), whole_numbers(generator, c_in * groups, *size)
    node = nir.Conv2d(size, weight, stride, padding, dilation, groups, bias)
    expected = functional.conv2d(tensor(x), tensor(weight), tensor(bias), stride, padding, dilation, groups)
    np.testing.assert_array_equal(apply(node, x), expected.numpy())


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, size=st.integers(4, 9), kernel=st.tuples(SMALL, SMALL), padding=st.sampled_from(["same", "valid"]))
def test_named_padding_equals_torch(seed: int, size: int, kernel: tuple[int, int], padding: str) -> None:
    generator = np.random.default_rng(seed)
    weight, x = whole_numbers(generator, 2, 3, *kernel), whole_numbers(generator, 3, size, size)
    node = nir.Conv2d((size, size), weight, 1, padding, 1, 1, np.zeros(2))
    expected = functional.conv2d(tensor(x), tensor(weight), padding=padding)
    np.testing.assert_array_equal(apply(node, x), expected.numpy())


@settings(deadline=None, max_examples=40)
@given(
    seed=SEEDS,
    size=st.integers(7, 12),
    kernel=SMALL,
    stride=SMALL,
    padding=st.integers(0, 3),
    dilation=SMALL,
    groups=SMALL,
)
def test_conv1d_equals_torch(
    seed: int, size: int, kernel: int, stride: int, padding: int, dilation: int, groups: int
) -> None:
    generator = np.random.default_rng(seed)
    weight, bias = whole_numbers(generator, 2 * groups, 3, kernel), whole_numbers(generator, 2 * groups)
    x = whole_numbers(generator, 3 * groups, size)
    node = nir.Conv1d(size, weight, stride, padding, dilation, groups, bias)
    expected = functional.conv1d(tensor(x), tensor(weight), tensor(bias), stride, padding, dilation, groups)
    np.testing.assert_array_equal(apply(node, x), expected.numpy())


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, size=st.tuples(st.integers(3, 9), st.integers(3, 9)), kernel=st.tuples(SMALL, SMALL), stride=SMALL)
@pytest.mark.parametrize("padded", [0, 1])
def test_pools_equal_torch(padded: int, seed: int, size: tuple[int, int], kernel: tuple[int, int], stride: int) -> None:
    padding = tuple(padded * (width // 2) for width in kernel)  # torch allows at most half a kernel
    x = whole_numbers(np.random.default_rng(seed), 2, *size)
    attributes = (np.array(kernel), np.array([stride, stride]), np.array(padding))
    mean = functional.avg_pool2d(tensor(x), kernel, stride, padding).numpy()
    for kind, expected in ((nir.AvgPool2d, mean), (nir.SumPool2d, mean * np.prod(kernel))):
        node = kind(*attributes)
        node.input_type = {"input": np.array(x.shape)}
        np.testing.assert_allclose(apply(node, x), expected, rtol=1e-14, atol=1e-14)


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, batch=st.lists(SMALL, max_size=2), n_in=st.integers(1, 5), n_out=st.integers(1, 5))
def test_dense_nodes_equal_matmul(seed: int, batch: list[int], n_in: int, n_out: int) -> None:
    generator = np.random.default_rng(seed)
    weight, x = whole_numbers(generator, *batch, n_out, n_in), whole_numbers(generator, *batch, n_in)
    bias = whole_numbers(generator, *batch, n_out)
    expected = np.einsum("...oi,...i->...o", weight, x)
    np.testing.assert_array_equal(apply(nir.Linear(weight), x), expected)
    np.testing.assert_array_equal(apply(nir.Affine(weight, bias), x), expected + bias)


def test_scale_and_flatten() -> None:
    x = np.arange(12.0).reshape(3, 4)
    factors = x - 5
    np.testing.assert_array_equal(apply(nir.Scale(factors), x), factors * x)
    flatten = nir.Flatten({"input": np.array([3, 4])}, start_dim=0)
    np.testing.assert_array_equal(apply(flatten, x), x.ravel())


def test_zeros_are_not_synapses() -> None:
    """A 3x3 kernel of ones on 2x2 with padding 1 has 16 synapses, not 36; a zero weight has none."""
    ones = nir.Conv2d((2, 2), np.ones((1, 1, 3, 3)), 1, 1, 1, 1, np.zeros(1))
    assert synapse_matrix(ones).nnz == 16
    assert synapse_matrix(nir.Linear(np.array([[0.0, 1.0], [0.0, 0.0]]))).nnz == 1
    assert synapse_matrix(nir.Scale(np.array([0.0, 2.0]))).nnz == 1
    assert bias_vector(ones) is None


def test_node_read_from_file(tmp_path: Any) -> None:
    """HDF5 turns tuples into arrays and strings into bytes; the matrix must not change."""
    weight = np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype(np.float32)
    nodes = {
        "x": nir.Input({"input": np.array([3, 5, 6])}),
        "conv": nir.Conv2d((5, 6), weight, (1, 1), "same", (1, 1), 1, np.ones(2)),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "y": nir.Output({"output": np.array([2, 2, 3])}),
    }
    graph = nir.NIRGraph(nodes, [("x", "conv"), ("conv", "pool"), ("pool", "y")])
    nir.write(tmp_path / "graph.nir", graph)
    again = nir.read(tmp_path / "graph.nir")
    for name in ("conv", "pool"):
        before, after = synapse_matrix(graph.nodes[name]), synapse_matrix(again.nodes[name])
        assert before.nnz > 0
        assert (before != after).nnz == 0


def test_refusals() -> None:
    threshold = nir.Threshold(np.ones(2))
    with pytest.raises(TypeError, match="Threshold is not a linear node"):
        synapse_matrix(threshold)
    with pytest.raises(ValueError, match="no input_shape"):
        synapse_matrix(nir.Conv2d(None, np.ones((1, 1, 1, 1)), 1, 0, 1, 1, np.zeros(1)))
    with pytest.raises(ValueError, match="no input type"):
        synapse_matrix(nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])))
    with pytest.raises(ValueError, match="3 output channels do not divide into 2 groups"):
        synapse_matrix(nir.Conv2d((2, 2), np.ones((3, 1, 1, 1)), 1, 0, 1, 2, np.zeros(3)))


@pytest.mark.parametrize(
    ("shape", "size", "density"), [((1536, 1536, 1, 1), 4, 0.01), ((48, 64, 3, 3), 8, 1.0)], ids=["sparse 1x1", "3x3"]
)
def test_large_convolutions_are_quick(shape: tuple[int, ...], size: int, density: float) -> None:
    generator = np.random.default_rng(1)
    weight = np.where(generator.random(shape) < density, 1.0, 0.0).astype(np.float32)
    node = nir.Conv2d((size, size), weight, 1, shape[-1] // 2, 1, 1, np.zeros(shape[0]))
    begin = time.perf_counter()
    matrix = synapse_matrix(node)
    assert time.perf_counter() - begin < 2.0  # well under a second on an idle core
    x = whole_numbers(generator, shape[1], size, size)
    expected = functional.conv2d(tensor(x), tensor(weight.astype(np.float64)), padding=shape[-1] // 2).numpy()
    np.testing.assert_array_equal((matrix @ x.ravel()).reshape(expected.shape), expected)


@st.composite
def convolutions(draw: st.DrawFn) -> nir.Conv1d | nir.Conv2d:
    """Convolutions of one or two axes: kernels that are not square, strides, padding, dilation, groups, zeros."""
    axes, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    small = st.lists(st.integers(1, 3), min_size=axes, max_size=axes).map(tuple)
    kernel, stride, dilation = draw(small), draw(small), draw(small)
    padding = tuple(draw(st.integers(0, 2)) for _ in range(axes))
    size = tuple(draw(st.integers(d * (k - 1) + 1, 9)) for k, d in zip(kernel, dilation, strict=True))
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    weight = generator.normal(size=(groups * draw(st.integers(1, 2)), draw(st.integers(1, 3)), *kernel))
    weight *= generator.random(weight.shape) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    bias = np.zeros(len(weight))
    if axes == 1:
        return nir.Conv1d(size[0], weight, stride[0], padding[0], dilation[0], groups, bias)
    return nir.Conv2d(size, weight, stride, padding, dilation, groups, bias)


@given(convolutions(), st.integers(0, 2**16))
def test_a_convolution_need_not_be_written_out(node: nir.Conv1d | nir.Conv2d, seed: int) -> None:
    """Products of any numbers are the same, bit for bit, and so is the count of synapses."""
    written, implicit = synapse_matrix(node), ConvolutionMatrix(node)
    values = np.random.default_rng(seed).normal(size=(written.shape[1], 3))
    assert implicit.nnz == written.nnz
    np.testing.assert_array_equal(implicit @ values, written @ values)


def test_what_is_smaller_is_taken() -> None:
    def conv(weight: np.ndarray, size: tuple[int, int], padding: int) -> nir.Conv2d:
        return nir.Conv2d(size, weight, (1, 1), (padding,) * 2, (1, 1), 1, np.zeros(len(weight)))

    assert isinstance(matrix_of(conv(np.ones((2, 3, 3, 3)), (8, 8), 1)), ConvolutionMatrix)
    onto_a_map = conv(np.ones((2, 3, 4, 4)), (1, 1), 3)  # each position reads one of the 16 taps
    assert not isinstance(matrix_of(onto_a_map), ConvolutionMatrix)
