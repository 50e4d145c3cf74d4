"""What every operation says about itself, against loops over its weights."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from export.encoder.node import Linear
from export.encoder.operations import Conv, Dense, WaveMixer


def sparse_weights(generator: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    return generator.integers(-2, 3, shape).astype(float)


def reached(conv: Conv) -> NDArray[np.int64]:
    """Non-zero taps by source neuron, one synapse at a time."""
    counts = np.zeros(conv.source, np.int64)
    out, inner, *kernel = conv.weight.shape
    _, height, width = conv.shape
    for o, y, x, i, ky, kx in itertools.product(*map(range, (out, height, width, inner, *kernel))):
        row, column = conv.stride * y + ky - conv.padding, conv.stride * x + kx - conv.padding
        inside = 0 <= row < conv.source[1] and 0 <= column < conv.source[2]
        if inside and conv.weight[o, i, ky, kx]:
            counts[o // (out // conv.groups) * inner + i, row, column] += 1
    return counts


@given(
    groups=st.integers(1, 3), kernel=st.integers(1, 3), stride=st.integers(1, 3), padding=st.integers(0, 2),
    size=st.tuples(st.integers(3, 6), st.integers(3, 6)), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_fan_out_of_a_convolution(
    groups: int, kernel: int, stride: int, padding: int, size: tuple[int, int], seed: int
) -> None:
    weight = sparse_weights(np.random.default_rng(seed), 2 * groups, 2, kernel, kernel)
    conv = Conv((2 * groups, *size), weight, None, stride, padding, groups)
    np.testing.assert_array_equal(conv.fan_out(), reached(conv))
    assert conv.fan_out().dtype == np.int64


@given(st.integers(0, 10**6))
def test_fan_out_of_a_dense_map_and_of_blocks(seed: int) -> None:
    generator = np.random.default_rng(seed)
    dense = Dense(sparse_weights(generator, 3, 1, 1, 2, 2, 3))
    np.testing.assert_array_equal(dense.fan_out(), np.count_nonzero(dense.weight.reshape(3, 2, 2, 3), axis=0))
    mixer = WaveMixer((4, 4, 6), 1, sparse_weights(generator, 2, 16, 16))
    by_step = mixer.fan_out_by_step()
    for t, c, y, x in itertools.product(range(2), range(4), range(4), range(6)):
        column = ((c % 2 * 2 + t) * 2 + y % 2) * 2 + x % 2
        assert by_step[t, c, y, x] == np.count_nonzero(mixer.weight[c // 2, :, column])
    assert np.abs(mixer.fan_out() - by_step.mean(axis=0)).max() <= 0.5


@pytest.mark.parametrize("node", [
    Conv((2, 3, 3), np.array([0.0, 1.0]).reshape(1, 2, 1, 1)), Dense(np.array([0.0, 1.0]).reshape(1, 1, 1, 2, 1, 1)),
    WaveMixer((2, 1, 1), 0, np.array([[[0.0]], [[1.0]]])),
])  # fmt: skip
def test_a_kernel_is_stored_once_and_zeros_are_not(node: Linear) -> None:
    assert node.stored_weights().tolist() == [1.0]
