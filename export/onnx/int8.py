"""ONNX models of the integer network with their weights stored as the int8 numbers that they are.

Every weight of an integer graph is an eight-bit mantissa times a power of two that its whole tensor shares. The tensor
is stored as int8 and read through ``DequantizeLinear`` with that power as scale: the same numbers, exactly, in a
quarter of the space. Kernels of a ``Conv`` have the scale once per channel, since MNN 3.6 misreads a single one there.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

SMALLEST_TENSOR = 64
"""Elements; below this nothing is saved."""
_LARGEST_MANTISSA = 127
_KERNEL = 4
"""Dimensions of a kernel: channels out, channels in, height and width."""


def store_weights_as_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of ``model`` in which every large float initializer that fits is int8; the rest stay as they are."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    kept, stored, readers = [], [], []
    for tensor in result.graph.initializer:
        values = numpy_helper.to_array(tensor)
        scale = _shared_power(values) if values.dtype in (np.float32, np.float64) else None
        if scale is None or values.size < SMALLEST_TENSOR:
            kept.append(tensor)
            continue
        names = (f"{tensor.name}_int8", f"{tensor.name}_scale")
        stored.append(numpy_helper.from_array((values / scale).astype(np.int8), names[0]))
        scales = np.full(len(values) if values.ndim == _KERNEL else (), scale, values.dtype)
        stored.append(numpy_helper.from_array(scales, names[1]))
        readers.append(onnx.helper.make_node("DequantizeLinear", names, [tensor.name], f"{tensor.name}_read", axis=0))
    nodes = [*readers, *result.graph.node]
    del result.graph.initializer[:], result.graph.node[:]
    result.graph.initializer.extend([*kept, *stored])
    result.graph.node.extend(nodes)
    onnx.checker.check_model(result, full_check=True)
    return result


def _shared_power(values: NDArray[np.floating]) -> float | None:
    """The largest power of two 2^e, e >= 0, that divides all ``values``, if the quotients fit eight bits."""
    if not values.size or not np.any(values) or np.any(values != np.round(values)) or np.abs(values).max() >= 2**31:
        return None
    bits = int(np.bitwise_or.reduce(np.abs(values).astype(np.int64), axis=None))
    power = bits & -bits
    return float(power) if np.abs(values).max() / power <= _LARGEST_MANTISSA else None
