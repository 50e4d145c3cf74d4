"""The integer network as an ONNX graph of operators that ncnn takes: one recording, floats in and out.

ncnn has no comparison, no cast, no batch, and at most four axes. So a map is (1, C, T, H, W), of which it drops the
first axis; a convolution of all steps is one of three axes whose kernel has one step; a wave mixer is one whose kernel
and stride are its block, and a transposed one that lays the members of a block out again. A spike is
``Clip((v - threshold) 2^e, 0, 1)``: the threshold is off the lattice of v, and 2^e its distance from there.

That holds in float32. ncnn computes in 16 bits where it may: see docs/runtimes.md.
"""

from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.encoder.integer import Blocks, Coincidences, Convolution, IntegerNetwork, Layer, Neurons, Tally, Vote
from export.encoder.node import Value

CHANNELS_IN = 2
"""ON and OFF."""


class NcnnWriter:
    """Writes an integer network; ``frames`` are float32 (1, T, 2, H, W), what comes out is float32, too."""

    def __init__(self, network: IntegerNetwork) -> None:
        self.network, self.steps = network, network.time_steps
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._spikes: dict[str, list[Value]] = {}
        self._sums: dict[tuple[str, ...], Value] = {}
        self._values: dict[str, Value] = {}
        self._scope = ""

    def write(self) -> onnx.GraphProto:
        """The graph, with ``frames`` in, and ``codes`` (1, K/8) or ``classes`` (1, K) out."""
        size = self.network.size
        frames = helper.make_tensor_value_info("frames", TensorProto.FLOAT, [1, self.steps, CHANNELS_IN, size, size])
        self._values["input"] = self._op("Transpose", "frames", perm=[0, 2, 1, 3, 4])
        for layer in self.network.layers:
            self._scope = layer.name
            self._values[layer.name] = self._written(layer)
        self._scope = self.network.vote.name
        name, width = self._answers(self.network.vote)
        answers = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width])
        return helper.make_graph(self._nodes, "encoder", [frames], [answers], [*self._constants.values()])

    def _written(self, layer: Layer) -> Value:
        match layer:
            case Convolution():
                return self._convolution(layer)
            case Blocks():
                return self._blocks(layer)
            case Coincidences():
                return self._coincidences(layer)
            case _:
                assert isinstance(layer, Neurons)
                return self._neurons(layer)

    def _convolution(self, layer: Convolution) -> Value:
        """All steps at once."""
        around = [0, layer.padding, layer.padding]
        return self._op(
            "Conv", self._values[layer.sources[0]], self._constant(layer.weight[:, :, None], "weight"),
            self._constant(layer.bias, "bias"), pads=[*around, *around], strides=[1, layer.stride, layer.stride],
            kernel_shape=[1, *layer.weight.shape[2:]], group=layer.groups, dilations=[1, 1, 1],
        )  # fmt: skip

    def _blocks(self, layer: Blocks) -> Value:
        """Members of a block to channels, and channels to members."""
        sides = layer.block_map.sides
        whole = layer.block_map.whole()
        groups, members, out, _, inner = whole.shape
        t, y, x = layer.members.T
        kernel = np.zeros((groups, out, members, inner, *sides), np.int64)
        kernel[..., t, y, x] = whole.transpose(0, 2, 1, 4, 3)
        spread = np.zeros((groups * out, members, 1, *sides), np.int64)
        spread[:, np.arange(members), 0, t, y, x] = 1
        mixed = self._op(
            "Conv", self._values[layer.sources[0]], self._constant(kernel.reshape(-1, *kernel.shape[3:]), "weight"),
            group=groups, kernel_shape=sides, strides=sides, pads=[0] * 6, dilations=[1, 1, 1],
        )  # fmt: skip
        return self._op(
            "ConvTranspose", mixed, self._constant(spread.reshape(-1, *spread.shape[2:]), "members"),
            self._constant(layer.bias, "bias"), group=groups * out, kernel_shape=sides, strides=sides,
            pads=[0] * 6, dilations=[1, 1, 1],
        )  # fmt: skip

    def _coincidences(self, layer: Coincidences) -> Value:
        """``Q (K^T V)`` per head and step, as (heads, T, tokens, width)."""
        channels, height, width = layer.shape
        parts = self._split(self._values[layer.sources[0]], 3, 1)
        heads = [
            self._op("Reshape", part, self._sizes(layer.heads, channels // layer.heads, self.steps, height * width))
            for part in parts
        ]
        query, key, value = (
            self._op("Transpose", head, perm=perm)
            for head, perm in zip(heads, ([0, 2, 3, 1], [0, 2, 1, 3], [0, 2, 3, 1]), strict=True)
        )
        counts = self._op("MatMul", query, self._op("MatMul", key, value))
        flat = self._op("Transpose", counts, perm=[0, 3, 1, 2])
        weighed = self._op("Mul", flat, self._constant(layer.weight))
        return self._op("Reshape", weighed, self._sizes(1, channels, self.steps, height, width))

    def _neurons(self, layer: Neurons) -> Value:
        """Unrolled over the steps."""
        currents = self._split(self._total(layer.sources), self.steps, 2)
        lattice = 2.0 ** -(self.steps + 1)
        potential = currents[0]
        spikes: list[Value] = []
        for step, current in enumerate(currents):
            if step:
                silent = self._op("Sub", self._constant(1), spikes[-1])
                kept = self._op("Mul", self._op("Mul", potential, silent), self._constant(0.5))
                potential = self._op("Add", kept, current)
            spikes.append(self._step(potential, layer.threshold + lattice, 1 / lattice))
        self._spikes[layer.name] = spikes
        return self._op("Concat", *spikes, axis=2)

    def _answers(self, vote: Vote | Tally) -> tuple[str, int]:
        """Name and width of what leaves: bytes, by a product of the bits with their place values, or counts."""
        total, *others = self._spikes[vote.sources[0]]
        for spikes in others:
            total = self._op("Add", total, spikes)
        bits = prod(vote.shape)
        if isinstance(vote, Tally):
            self._op("Reshape", total, self._sizes(1, bits), output="classes")
            return "classes", bits
        voted = self._step(self._op("Reshape", total, self._sizes(1, bits)), vote.votes - 0.5, 2)
        places = np.kron(np.eye(bits // 8), 2.0 ** np.arange(7, -1, -1)[:, None])
        self._op("MatMul", voted, self._constant(places, "places"), output="codes")
        return "codes", bits // 8

    def _step(self, value: Value, threshold: float, steepness: float) -> Value:
        """1 above ``threshold``, 0 below; nothing is nearer to it than ``1 / steepness``."""
        above = self._op("Sub", value, self._constant(threshold))
        return self._op("Clip", self._op("Mul", above, self._constant(steepness)), self._constant(0), self._constant(1))

    def _total(self, sources: tuple[str, ...]) -> Value:
        if len(sources) == 1:
            return self._values[sources[0]]
        if sources not in self._sums:
            self._sums[sources] = self._op("Add", self._total(sources[:-1]), self._values[sources[-1]])
        return self._sums[sources]

    def _split(self, value: Value, count: int, axis: int) -> list[Value]:
        names = [f"{self._scope}/Split_{len(self._nodes)}_{index}" for index in range(count)]
        self._nodes.append(helper.make_node("Split", [value], names, axis=axis, num_outputs=count))
        return names

    def _constant(self, value: Any, name: str = "") -> Value:
        array: NDArray[Any] = np.array(value, np.float32)
        label = f"{self._scope}/{name}" if name else f"number:{float(array)}"
        self._constants.setdefault(label, numpy_helper.from_array(array, label))
        return label

    def _sizes(self, *sizes: int) -> Value:
        label = f"sizes:{sizes}"
        self._constants.setdefault(label, numpy_helper.from_array(np.array(sizes, np.int64), label))
        return label

    def _op(self, kind: str, *inputs: Value, output: str = "", **attributes: Any) -> Value:
        name = output or f"{self._scope}/{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name
