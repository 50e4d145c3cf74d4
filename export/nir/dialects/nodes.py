"""NIR nodes that both dialects use. Arrays are spelled out per neuron, as NIR wants them."""

import nir
import numpy as np

from export.encoder.node import Array, Shape
from export.encoder.operations import Conv, Dense, Input, Lif, Output

TIME_STEP = 1e-4
"""dt in seconds. NIR has continuous time; snnTorch assumes this step."""


def common_node(node: Input | Output | Lif) -> nir.NIRNode:
    """What both dialects write alike."""
    if isinstance(node, Input):
        return nir.Input(input_type=np.array(node.shape))
    if isinstance(node, Output):
        return nir.Output(output_type=np.array(node.shape))
    return lif(node.shape, node.threshold)


def lif(shape: Shape, threshold: float, steps: float = 2.0) -> nir.LIF:
    """``v <- v + (i - v) dt/tau`` with tau = ``steps`` dt, resistance 1, strict threshold, reset to 0.

    With two steps this is ``v <- v/2 + i/2``: the currents of the graph must arrive doubled.
    """
    return nir.LIF(
        tau=np.full(shape, steps * TIME_STEP),
        r=np.ones(shape),
        v_leak=np.zeros(shape),
        v_reset=np.zeros(shape),
        v_threshold=np.full(shape, threshold),
    )


def convolution(linear: Conv | Dense, gain: float) -> nir.Conv2d:
    """``linear`` as an ungrouped convolution, its weights multiplied by ``gain``."""
    if isinstance(linear, Dense):
        weight, padding = dense_kernel(linear)
        size, stride = linear.source_shape[1:], max(linear.source_shape[1:]) if padding == (0, 0) else 1
    else:
        weight, padding = linear.weight, (linear.padding, linear.padding)
        size, stride = linear.source[1:], linear.stride
    return nir.Conv2d(
        input_shape=size,
        weight=(gain * weight).astype(np.float32 if is_exact_in_float32(gain * weight) else np.float64),
        stride=(stride, stride),
        padding=padding,
        dilation=(1, 1),
        groups=1,
        bias=np.zeros(len(weight), np.float32),
    )


def dense_kernel(dense: Dense) -> tuple[Array, tuple[int, int]]:
    """Kernel and padding of a convolution that computes ``dense``.

    A kernel as large as its input map needs no padding. On a 1x1 input, padding of one less than the output map makes
    output pixel p read tap (size - 1 - p), so that the kernel is the weight, turned around.
    """
    _, height, width = dense.shape
    if (height, width) == (1, 1):
        return dense.weight[:, 0, 0], (0, 0)
    kernel = dense.weight[..., 0, 0][:, ::-1, ::-1].transpose(0, 3, 1, 2)
    return np.ascontiguousarray(kernel), (height - 1, width - 1)


def is_exact_in_float32(values: Array) -> bool:
    """Whether no value is changed by rounding it to float32."""
    return bool(np.array_equal(values.astype(np.float32), values))
