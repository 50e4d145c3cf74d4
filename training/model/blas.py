"""Matrix products for compiled kernels: the BLAS that torch itself computes with.

Numba's ``np.dot`` calls SciPy's OpenBLAS. torch's builds for x86 hold Intel's MKL, which takes up to a third less time
for the narrow products of an MLP's chunks, and keeps to the number of threads that torch set for the calling thread.
"""

import ctypes
from collections.abc import Callable

import llvmlite.binding
import torch
from numba import types
from numba.extending import get_cython_function_address


def general_product(routine: str) -> Callable[..., None]:
    """BLAS's ``sgemm`` or ``dgemm`` as what a compiled kernel can call: 13 addresses, as Fortran wants its arguments.

    It is torch's if the library shows it (MKL does), else SciPy's. LLVM knows it by a name of our own, so that compiled
    code can be kept from one run to the next.
    """
    name = f"spikinghash_{routine}"
    llvmlite.binding.add_symbol(name, _address(routine))
    function: Callable[..., None] = types.ExternalFunction(name, types.void(*[types.uintp] * 13))
    return function


def _address(routine: str) -> int:
    try:
        function = getattr(ctypes.CDLL(torch._C.__file__), f"{routine}_")
    except (AttributeError, OSError):
        address: int = get_cython_function_address("scipy.linalg.cython_blas", routine)
        return address
    found = ctypes.cast(function, ctypes.c_void_p).value
    assert found is not None  # the loader gives no symbol at address 0
    return found
