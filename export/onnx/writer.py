"""The encoder's graph as an ONNX graph, written for speed: few and large operators, no copy that can be spared.

Every map of the network has one layout, (T * B * H * W, C): a row per step, sample and pixel. So a 1x1 convolution is
one matrix product with its bias, and the steps of a window are equal slices of the rows. All T steps pass a node
before the next node is entered.

Currents are held negated. Then the reset of a LIF neuron, "v is 0 where v > threshold", is the one operator
ThresholdedRelu ("x where x > alpha, else 0") with alpha = -threshold instead of a comparison and a selection.
"""

import hashlib
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.encoder.graph import Graph
from export.encoder.node import Array, Node
from export.encoder.operations import Attention, Conv, Counter, Dense, Input, Lif, Output, WaveMixer

Value = str
"""Name of a tensor in the ONNX graph."""
PACKED_SIZE = 64
"""Rows from which a batch of matrix products is written as single ones: ONNX Runtime brings constant matrices into the
order of its kernels when it loads them, but not batches of matrices."""


class OnnxWriter:
    """Writes a graph of ``Input``, ``Lif``, ``Conv``, ``Dense``, ``WaveMixer``, ``Attention``, ``Counter``, ``Output``.

    Args:
        graph: the encoder, batch normalisation folded, before anything is lowered.
        dtype: arithmetic; float32 is exact where the certificate says so.
    """

    def __init__(self, graph: Graph, dtype: type[np.floating[Any]]) -> None:
        self.graph, self.dtype = graph, np.dtype(dtype)
        self.steps = graph.time_steps
        self.float = helper.np_dtype_to_tensor_dtype(self.dtype)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._sums: dict[tuple[Value, Value], Value] = {}
        self._images: dict[Value, Value] = {}
        self._counts: list[Value] = []
        self._scope = ""

    def write(self) -> onnx.GraphProto:
        """Inputs, outputs, nodes and weights; see ``export.to_onnx`` for what goes in and out."""
        values: dict[str, Value] = {}
        for name, node in self.graph.nodes.items():
            self._scope = name
            values[name] = self._write(node, [values[source] for source in self.graph.sources(name)])
        self._scope = "spike_counts"
        totals = self._op("ReduceSum", self._op("Concat", *self._counts, axis=2), self._sizes(0), keepdims=0)
        self._op("Cast", totals, to=TensorProto.INT32, output="spike_counts")
        size, bits = self.graph.only(Input)[1].shape, self.graph.only(Output)[1].shape[0]
        frames = helper.make_tensor_value_info("frames", TensorProto.UINT8, ["batch", self.steps, *size])
        codes = helper.make_tensor_value_info("codes", TensorProto.UINT8, ["batch", bits // 8])
        counts = helper.make_tensor_value_info("spike_counts", TensorProto.INT32, ["batch", len(self._counts)])
        return helper.make_graph(self._nodes, "encoder", [frames], [codes, counts], list(self._constants.values()))

    def _write(self, node: Node, sources: list[Value]) -> Value:
        if isinstance(node, Input):
            return self._input(node)
        total = self._total(sources)
        if isinstance(node, Lif):
            return self._count(self._lif(total, node), node)
        if isinstance(node, Conv):
            return self._conv(total, node)
        if isinstance(node, Dense):
            return self._dense(total, node)
        if isinstance(node, WaveMixer):
            return self._wave_mixer(total, node)
        if isinstance(node, Attention):
            counts = self._count(self._attention(total, node), node)
            return self._op("Mul", counts, self._constant(-node.weight))
        if isinstance(node, Counter):
            votes = self._op("ReduceSum", self._reshape(total, self.steps, -1, prod(node.shape)), self._sizes(0))
            return self._op("LessOrEqual", votes, self._constant(-node.votes))
        assert isinstance(node, Output), f"{type(node).__name__}: lower it first"
        return self._pack(total, node)

    def _total(self, sources: Sequence[Value]) -> Value:
        """Sum of currents; a residual stream that several nodes read is summed once."""
        total = sources[0]
        for source in sources[1:]:
            if (total, source) not in self._sums:
                self._sums[total, source] = self._op("Add", total, source)
            total = self._sums[total, source]
        return total

    def _input(self, node: Input) -> Value:
        frames = self._op("Cast", self._op("Transpose", "frames", perm=[1, 0, 2, 3, 4]), to=self.float)
        images = self._reshape(frames, -1, *node.shape)
        self._images[images] = images
        return images

    def _rows(self, images: Value, channels: int) -> Value:
        return self._reshape(self._op("Transpose", images, perm=[0, 2, 3, 1]), -1, channels)

    def _lif(self, current: Value, node: Lif) -> Value:
        """``v <- v/2 + a; s = [v > threshold]; v <- (1 - s) v`` on negated currents, unrolled over the steps."""
        slices = self._ops("Split", self.steps, current, axis=0, num_outputs=self.steps)
        potentials = slices[:1]
        for step in slices[1:]:
            kept = self._op("Mul", self._reset(potentials[-1], node.threshold), self._constant(0.5))
            potentials.append(self._op("Add", kept, step))
        whole = self._op("Concat", *potentials, axis=0)
        return self._op("Cast", self._op("Greater", self._constant(-node.threshold), whole), to=self.float)

    def _reset(self, negated: Value, threshold: float) -> Value:
        if self.dtype == np.float32:
            # Where the certificate allows float32, thresholds lie off the lattice: ">" or ">=" is the same.
            return self._op("ThresholdedRelu", negated, alpha=-threshold)
        # ONNX Runtime has no ThresholdedRelu in float64.
        return self._op("Where", self._op("Greater", self._constant(-threshold), negated), self._constant(0.0), negated)

    def _conv(self, spikes: Value, node: Conv) -> Value:
        if _pointwise(node):
            return self._product(spikes, node.weight[:, :, 0, 0].T, node.bias)
        if spikes not in self._images:
            channels, height, width = node.source
            images = self._reshape(spikes, -1, height, width, channels)
            self._images[spikes] = self._op("Transpose", images, perm=[0, 3, 1, 2])
        images = self._images[spikes]
        if self.dtype != np.float32:
            taps = self._taps(images, node)
            weight = node.weight.transpose(2, 3, 1, 0).reshape(-1, node.shape[0])
            return self._product(self._rows(taps, len(weight)), weight, node.bias)
        sizes: dict[str, Any] = {"strides": [node.stride] * 2, "pads": [node.padding] * 4}
        weights = [self._weight(node.weight), *([] if node.bias is None else [self._weight(node.bias, "bias")])]
        return self._rows(self._op("Conv", images, *weights, **sizes), node.shape[0])

    def _taps(self, images: Value, node: Conv) -> Value:
        """The pixels that each tap of the kernel meets, as channels: ONNX Runtime has no convolution in float64."""
        pads = [0, 0, node.padding, node.padding]
        padded = self._op("Pad", images, self._sizes(*pads, *pads))
        reach = [node.stride * (size - 1) + 1 for size in node.shape[1:]]
        axes, stride = self._sizes(2, 3), self._sizes(node.stride, node.stride)
        taps = [
            self._op("Slice", padded, self._sizes(y, x), self._sizes(y + reach[0], x + reach[1]), axes, stride)
            for y, x in np.ndindex(*node.weight.shape[2:])
        ]
        return self._op("Concat", *taps, axis=1)

    def _dense(self, spikes: Value, node: Dense) -> Value:
        channels, height, width = node.shape
        size = prod(node.source_shape)
        weight = node.weight.transpose(4, 5, 3, 1, 2, 0).reshape(size, -1)
        bias = None if node.bias is None else np.tile(node.bias, height * width)
        return self._reshape(self._product(self._reshape(spikes, -1, size), weight, bias), -1, channels)

    def _wave_mixer(self, spikes: Value, node: WaveMixer) -> Value:
        """Blocks of (2^L)^3 steps and pixels, per channel group, as rows of one batched matrix product."""
        channels, height, width = node.shape
        n, groups = 2**node.levels, node.weight.shape[0]
        inner, volume = channels // groups, n**3
        split = self._reshape(spikes, self.steps // n, n, -1, height // n, n, width // n, n, groups, inner)
        blocks = self._reshape(
            self._op("Transpose", split, perm=[7, 0, 2, 3, 5, 1, 4, 6, 8]), groups, -1, volume * inner
        )
        kernel = node.weight.reshape(groups, inner, volume, inner, volume).transpose(0, 4, 3, 2, 1)
        mixed = self._products(blocks, kernel.reshape(groups, volume * inner, volume * inner))
        split = self._reshape(mixed, groups, self.steps // n, -1, height // n, width // n, n, n, n, inner)
        rows = self._reshape(self._op("Transpose", split, perm=[1, 5, 2, 3, 6, 4, 7, 0, 8]), -1, channels)
        return rows if node.bias is None else self._op("Add", rows, self._weight(node.bias, "bias"))

    def _attention(self, spikes: Value, node: Attention) -> Value:
        """Coincidences ``Q (K^T V)`` per step and head, whole numbers."""
        channels, height, width = node.shape
        tokens, depth = height * width, channels // node.heads
        split = self._reshape(spikes, -1, tokens, 3, node.heads, depth)
        parts = self._ops("Split", 3, split, axis=2, num_outputs=3)
        query, key, value = (self._reshape(part, -1, tokens, node.heads, depth) for part in parts)
        query, value = (self._op("Transpose", part, perm=[0, 2, 1, 3]) for part in (query, value))
        key = self._op("Transpose", key, perm=[0, 2, 3, 1])
        if tokens > depth:
            counts = self._op("MatMul", query, self._op("MatMul", key, value))
        else:
            counts = self._op("MatMul", self._op("MatMul", query, key), value)
        return self._reshape(self._op("Transpose", counts, perm=[0, 2, 1, 3]), -1, channels)

    def _pack(self, bits: Value, node: Output) -> Value:
        """Bits (B, K) to bytes, the first bit most significant, by a product with the place values."""
        places = np.kron(np.eye(node.shape[0] // 8), 2.0 ** np.arange(7, -1, -1)[:, None])
        numbers = self._op("Cast", self._reshape(bits, -1, node.shape[0]), to=self.float)
        codes = self._op("MatMul", numbers, self._constant(places))
        return self._op("Cast", codes, to=TensorProto.UINT8, output="codes")

    def _count(self, spikes: Value, node: Lif | Attention) -> Value:
        """Note the sums of each step and sample, (T, B, 1); pass ``spikes`` on."""
        samples = self._reshape(spikes, self.steps, -1, prod(node.shape))
        self._counts.append(self._op("ReduceSum", samples, self._sizes(2)))
        return spikes

    def _product(self, spikes: Value, weight: Array, bias: Array | None) -> Value:
        """Negated currents ``-(spikes @ weight + bias)``."""
        if bias is None:
            return self._op("MatMul", spikes, self._weight(weight))
        return self._op("Gemm", spikes, self._weight(weight), self._weight(bias, "bias"))

    def _products(self, blocks: Value, weights: Array) -> Value:
        """``-(blocks @ weights)`` for each group, the first axis of both."""
        groups, size, _ = weights.shape
        if size < PACKED_SIZE:
            return self._op("MatMul", blocks, self._weight(weights))
        parts = [
            self._reshape(part, -1, size) for part in self._ops("Split", groups, blocks, axis=0, num_outputs=groups)
        ]
        products = [
            self._op("MatMul", part, self._weight(weight, f"weight_{group}"))
            for group, (part, weight) in enumerate(zip(parts, weights, strict=True))
        ]
        return self._op("Concat", *products, axis=0)

    def _weight(self, value: Array, name: str = "weight") -> Value:
        return self._constant(-value, name=name)

    def _constant(self, value: Any, dtype: Any = None, name: str = "") -> Value:
        """A constant, by default in the arithmetic's type; unnamed ones that are equal are stored once."""
        array: NDArray[Any] = np.array(value, dtype or self.dtype)
        digest = hashlib.sha256(array.tobytes()).hexdigest()[:16]
        label = f"{self._scope}/{name}" if name else f"{array.dtype}:{array.shape}:{digest}"
        self._constants.setdefault(label, numpy_helper.from_array(array, label))
        return label

    def _sizes(self, *sizes: int) -> Value:
        return self._constant(sizes, np.int64)

    def _reshape(self, value: Value, *sizes: int) -> Value:
        return self._op("Reshape", value, self._sizes(*sizes))

    def _op(self, kind: str, *inputs: Value, output: str = "", **attributes: Any) -> Value:
        name = output or f"{self._scope}/{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def _ops(self, kind: str, outputs: int, *inputs: Value, **attributes: Any) -> list[Value]:
        name = f"{self._scope}/{kind}_{len(self._nodes)}"
        names = [f"{name}:{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(kind, inputs, names, name, **attributes))
        return names


def _pointwise(node: Conv) -> bool:
    return node.weight.shape[2:] == (1, 1) and node.stride == 1 and node.padding == 0
