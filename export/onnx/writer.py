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
from export.encoder.node import Array, Shape, Value
from export.encoder.operations import Input, Output

PACKED_SIZE = 64
"""Rows from which a batch of matrix products is written as single ones: ONNX Runtime brings constant matrices into the
order of its kernels when it loads them, but not batches of matrices."""


class OnnxWriter:
    """Writes a graph; its operations write themselves with the operators below.

    Args:
        graph: the encoder, batch normalisation folded, before anything is lowered.
        dtype: arithmetic; float32 is exact where the certificate says so.
        batch: recordings that the graph takes; None for any number.
        counted: whether spikes are counted.
    """

    def __init__(
        self, graph: Graph, dtype: type[np.floating[Any]], batch: int | None = None, counted: bool = True
    ) -> None:
        self.graph, self.dtype = graph, np.dtype(dtype)
        self._batch, self._counted = batch or "batch", counted
        self.steps = graph.time_steps
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
            total = self._total([values[source] for source in self.graph.sources(name)])
            values[name] = node.to_onnx(name, self, total)
        size = self.graph.only(Input)[1].shape
        frames = helper.make_tensor_value_info("frames", TensorProto.UINT8, [self._batch, self.steps, *size])
        answers = [*self._answers(), *self._spike_counts()]
        return helper.make_graph(self._nodes, "encoder", [frames], answers, list(self._constants.values()))

    def _spike_counts(self) -> list[onnx.ValueInfoProto]:
        """The counts of all populations side by side, if they are wanted."""
        if not self._counted:
            return []
        self._scope = "spike_counts"
        totals = self.op("ReduceSum", self.op("Concat", *self._counts, axis=2), self.sizes(0), keepdims=0)
        self.cast(totals, "int32", output="spike_counts")
        return [helper.make_tensor_value_info("spike_counts", TensorProto.INT32, [self._batch, len(self._counts)])]

    def _answers(self) -> list[onnx.ValueInfoProto]:
        """What leaves beside the spike counts."""
        output = self.graph.only(Output)[1]
        if not output.classes:
            return [helper.make_tensor_value_info("codes", TensorProto.UINT8, [self._batch, output.shape[0] // 8])]
        return [
            helper.make_tensor_value_info("classes", TensorProto.INT32, [self._batch, output.shape[0]]),
            helper.make_tensor_value_info("class", TensorProto.INT64, [self._batch]),
        ]

    def _total(self, sources: Sequence[Value]) -> Value:
        """Sum of currents; a residual stream that several nodes read is summed once."""
        total = next(iter(sources), "frames")
        for source in sources[1:]:
            if (total, source) not in self._sums:
                self._sums[total, source] = self.op("Add", total, source)
            total = self._sums[total, source]
        return total

    def frames(self, shape: Shape) -> Value:
        """The frames that come in, as images (T B, C, H, W)."""
        images = self.reshape(self.cast(self.op("Transpose", "frames", perm=[1, 0, 2, 3, 4])), -1, *shape)
        self._images[images] = images
        return images

    def images(self, rows: Value, shape: Shape) -> Value:
        """A map (C, H, W) in rows as images (T B, C, H, W)."""
        if rows not in self._images:
            channels, height, width = shape
            images = self.reshape(rows, -1, height, width, channels)
            self._images[rows] = self.op("Transpose", images, perm=[0, 3, 1, 2])
        return self._images[rows]

    def rows(self, images: Value, channels: int) -> Value:
        """Images (T B, C, H, W) as rows."""
        return self.reshape(self.op("Transpose", images, perm=[0, 2, 3, 1]), -1, channels)

    def count(self, spikes: Value, shape: Shape) -> Value:
        """Note the sums of each step and sample, (T, B, 1), of a population; pass ``spikes`` on."""
        if not self._counted:
            return spikes
        samples = self.reshape(spikes, self.steps, -1, prod(shape))
        self._counts.append(self.op("ReduceSum", samples, self.sizes(2)))
        return spikes

    def product(self, spikes: Value, weight: Array, bias: Array | None) -> Value:
        """Negated currents ``-(spikes @ weight + bias)``."""
        if bias is None:
            return self.op("MatMul", spikes, self.weight(weight))
        return self.op("Gemm", spikes, self.weight(weight), self.weight(bias, "bias"))

    def products(self, blocks: Value, weights: Array, name: str = "weight") -> Value:
        """``-(blocks @ weights)`` for each group, the first axis of both."""
        groups, size, _ = weights.shape
        if size < PACKED_SIZE:
            return self.op("MatMul", blocks, self.weight(weights, name))
        parts = [self.reshape(part, -1, size) for part in self.ops("Split", groups, blocks, axis=0, num_outputs=groups)]
        products = [
            self.op("MatMul", part, self.weight(weight, f"{name}_{group}"))
            for group, (part, weight) in enumerate(zip(parts, weights, strict=True))
        ]
        return self.op("Concat", *products, axis=0)

    def weight(self, value: Array, name: str = "weight") -> Value:
        """A weight of the node that is being written, negated."""
        return self.constant(-value, name=name)

    def constant(self, value: Any, dtype: Any = None, name: str = "") -> Value:
        """A constant, by default in the arithmetic's type; unnamed ones that are equal are stored once."""
        array: NDArray[Any] = np.array(value, dtype or self.dtype)
        digest = hashlib.sha256(array.tobytes()).hexdigest()[:16]
        label = f"{self._scope}/{name}" if name else f"{array.dtype}:{array.shape}:{digest}"
        self._constants.setdefault(label, numpy_helper.from_array(array, label))
        return label

    def sizes(self, *sizes: int) -> Value:
        """Whole numbers, as shapes and axes are."""
        return self.constant(sizes, np.int64)

    def reshape(self, value: Value, *sizes: int) -> Value:
        """``value`` in another shape, of which one size may be -1."""
        return self.op("Reshape", value, self.sizes(*sizes))

    def cast(self, value: Value, to: str = "", output: str = "") -> Value:
        """``value`` in another type, by default the arithmetic's."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(to or self.dtype))
        return self.op("Cast", value, to=kind, output=output)

    def op(self, kind: str, *inputs: Value, output: str = "", **attributes: Any) -> Value:
        """An operator with one result."""
        name = output or f"{self._scope}/{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def ops(self, kind: str, outputs: int, *inputs: Value, **attributes: Any) -> list[Value]:
        """An operator with several."""
        name = f"{self._scope}/{kind}_{len(self._nodes)}"
        names = [f"{name}:{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(kind, inputs, names, name, **attributes))
        return names
