"""Products of compiled kernels against NumPy's, by torch's BLAS and by SciPy's."""

import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.extending import get_cython_function_address

from training.model import blas
from training.model.lif_kernels import _product

SIZES = st.integers(1, 40)


@given(SIZES, SIZES, SIZES, st.booleans(), st.sampled_from([0, 1, 3]), st.sampled_from([np.float32, np.float64]))
def test_product(rows: int, inner: int, columns: int, flipped: bool, kept: int, dtype: type) -> None:
    generator = np.random.default_rng(rows * 41 + inner)
    one = generator.integers(-9, 10, (inner, rows) if flipped else (rows, inner)).astype(dtype)
    two = generator.integers(-9, 10, (inner, columns)).astype(dtype)
    result = generator.integers(-9, 10, (rows, columns)).astype(dtype)
    expected = kept * result + (one.T if flipped else one) @ two  # whole numbers: no rounding in any order
    _product(one, two, result, flipped, kept)
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("shown", [True, False], ids=["torch", "SciPy"])
def test_where_torch_shows_no_product_scipys_is_taken(shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shown:
        monkeypatch.setattr(blas.ctypes, "CDLL", lambda path: object())
    address = blas._address("dgemm")
    assert shown or address == get_cython_function_address("scipy.linalg.cython_blas", "dgemm")
    generator = np.random.default_rng(0)
    one, two, result = (generator.integers(-9, 10, (3, 3)).astype(float) for _ in range(3))
    held = [np.array([3]), np.array([1.0]), np.array([ord("N")], np.uint8)]
    size, scale, letter = (each.ctypes.data_as(ctypes.c_void_p) for each in held)
    expected = result + one @ two
    pointers = [each.ctypes.data_as(ctypes.c_void_p) for each in (two, one, result)]
    product = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(address)
    product(letter, letter, size, size, size, scale, pointers[0], size, pointers[1], size, scale, pointers[2], size)
    assert np.array_equal(result, expected)
