"""Convolution, whole or in groups of channels."""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from export.encoder.graph import Graph
from export.encoder.integer import Convolution
from export.encoder.layout import polyphase_shape
from export.encoder.node import Array, CWriter, Dialect, Linear, OnnxWriter, Shape, Value, whole_numbers
from export.encoder.operations.norm import add_norm, array
from spikinghash.errors import GraphError
from training.model.layers import ConvNorm
from training.sparsity.operations import fan_out


@dataclass(frozen=True)
class Conv(Linear):
    """Two-dimensional convolution (cross-correlation, as in torch) with zero padding."""

    source: Shape
    weight: Array
    """(out, in / groups, kernel height, kernel width)."""
    bias: Array | None = None
    """(out,)."""
    stride: int = 1
    padding: int = 0
    groups: int = 1
    """Groups of channels that do not mix; as many as channels for a depthwise convolution."""

    @property
    def source_shape(self) -> Shape:
        """Shape of the spikes."""
        return self.source

    @property
    def shape(self) -> Shape:
        """Shape of the currents."""
        out, _, *kernel = self.weight.shape
        height, width = (
            (size + 2 * self.padding - taps) // self.stride + 1
            for size, taps in zip(self.source[1:], kernel, strict=True)
        )
        return out, height, width

    @property
    def pointwise(self) -> bool:
        """Whether it is one matrix for all pixels."""
        return self.weight.shape[2:] == (1, 1) and (self.stride, self.padding, self.groups) == (1, 0, 1)

    def whole(self) -> "Conv":
        """The same in one group, with weights of zero between the groups."""
        if self.groups == 1:
            return self
        out, inner, *kernel = self.weight.shape
        weight = np.zeros((self.groups, out // self.groups, self.groups, inner, *kernel))
        for group, rows in enumerate(self.weight.reshape(self.groups, -1, inner, *kernel)):
            weight[group, :, group] = rows
        return replace(self, weight=weight.reshape(out, self.groups * inner, *kernel), groups=1)

    def followed_by(self, matrix: Array) -> "Conv":
        """Its kernels mixed by ``matrix``."""
        bias = None if self.bias is None else matrix @ self.bias
        return self.whole().with_numbers(np.tensordot(matrix, self.whole().weight, axes=1), bias)

    def currents(self, spikes: Tensor, weight: Tensor) -> Tensor:
        """All steps and samples at once."""
        maps = functional.conv2d(spikes.flatten(0, 1), weight, None, self.stride, self.padding, 1, self.groups)
        return maps.unflatten(0, spikes.shape[:2])

    def rows(self) -> Array:
        """One row per channel: its neurons share a kernel."""
        return self.weight.reshape(len(self.weight), 1, -1)

    def share_factors(self, source: int, own: int) -> tuple[int, int]:
        """From factor f, stride s needs f to divide s times the factor behind it."""
        return source, max(own, -(-source // self.stride))

    def relaid(self, name: str, source: int, own: int) -> "Conv":
        """A 1x1 stays 1x1, a strided 3x3 becomes a small strided convolution, groups stay apart.

        Output row f Y + ry reads input row s (f Y + ry) + k - p = f' (S Y + m) + r with S = s f / f', so that tap k of
        output phase ry is tap m of input phase r; f' is ``source``, f is ``own``.
        """
        if source == own == 1:
            return self
        if self.stride * own % source:
            raise GraphError(
                f"node {name}: a convolution of stride {self.stride} cannot go from factor {source} to {own}"
            )
        stride = self.stride * own // source
        out, inner, *kernel = self.weight.shape
        moves = [
            (phase, tap, *divmod(self.stride * phase + tap - self.padding, source))
            for phase in range(own)
            for tap in range(kernel[0])
        ]
        offsets = [offset for _, _, offset, _ in moves]
        size, target = self.source[1] // source, self.shape[1] // own
        padding, taps = _window(min(offsets), max(offsets), size, stride, target)
        weight = np.zeros((out, own, own, inner, source, source, taps, taps))
        for (ry, ky, my, sy), (rx, kx, mx, sx) in itertools.product(moves, moves):
            weight[:, ry, rx, :, sy, sx, my + padding, mx + padding] += self.weight[:, :, ky, kx]
        flat = weight.reshape(out * own**2, inner * source**2, taps, taps)
        bias = None if self.bias is None else np.repeat(self.bias, own**2)
        return Conv(polyphase_shape(self.source, source), flat, bias, stride, padding, self.groups)

    def widened(self, name: str) -> "Conv":
        """Weights of zero from the new channel."""
        conv = self.whole()
        out, _, *kernel = conv.weight.shape
        weight = np.concatenate([conv.weight, np.zeros((out, 1, *kernel))], axis=1)
        return replace(conv, source=(self.source[0] + 1, *self.source[1:]), weight=weight)

    def behind(self, name: str, select: Array, lanes: Shape) -> "Conv":
        """Each kernel spread over the channels that are picked."""
        conv = self.whole()
        return replace(conv, source=lanes, weight=np.moveaxis(np.tensordot(conv.weight, select, axes=(1, 0)), -1, 1))

    def to_nir(self, name: str, dialect: Dialect, gain: float) -> Any:
        """A Conv2d in one group: nir 1.0.8 mistypes grouped ones and then refuses to read them."""
        return dialect.convolution(gain * self.whole().weight, self.source, self.stride, (self.padding,) * 2)

    def to_onnx(self, name: str, writer: OnnxWriter, total: Value) -> Value:
        """A matrix product where it is pointwise, else a Conv on images; in float64 a product of the taps."""
        if self.pointwise:
            return writer.product(total, self.weight[:, :, 0, 0].T, self.bias)
        images = writer.images(total, self.source)
        if writer.dtype != np.float32:
            kernel = self.whole().weight
            weight = kernel.transpose(2, 3, 1, 0).reshape(-1, self.shape[0])
            return writer.product(writer.rows(self._taps(writer, images), len(weight)), weight, self.bias)
        sizes: dict[str, Any] = {"strides": [self.stride] * 2, "pads": [self.padding] * 4}
        if self.groups > 1:
            sizes["group"] = self.groups
        weights = [writer.weight(self.weight), *([] if self.bias is None else [writer.weight(self.bias, "bias")])]
        return writer.rows(writer.op("Conv", images, *weights, **sizes), self.shape[0])

    def _taps(self, writer: OnnxWriter, images: Value) -> Value:
        """The pixels that each tap of the kernel meets, as channels: ONNX Runtime has no convolution in float64."""
        pads = [0, 0, self.padding, self.padding]
        padded = writer.op("Pad", images, writer.sizes(*pads, *pads))
        reach = [self.stride * (size - 1) + 1 for size in self.shape[1:]]
        axes, stride = writer.sizes(2, 3), writer.sizes(self.stride, self.stride)
        taps = [
            writer.op("Slice", padded, writer.sizes(y, x), writer.sizes(y + reach[0], x + reach[1]), axes, stride)
            for y, x in np.ndindex(*self.weight.shape[2:])
        ]
        return writer.op("Concat", *taps, axis=1)

    def record(self, name: str, sources: tuple[str, ...]) -> Convolution:
        """Itself."""
        weight, bias = whole_numbers(self.weight, 0), whole_numbers(self.bias, self.shape[0])
        return Convolution(name, sources, self.shape, weight, bias, self.stride, self.padding, self.groups)

    def to_c(self, record: Convolution, writer: CWriter) -> None:
        """Rows of weights, which spikes choose."""
        writer.convolution(record)

    def fan_out(self) -> NDArray[np.int64]:
        """Taps on the padding are no synapses."""
        counts = fan_out(torch.from_numpy(self.weight), self.source[1:], self.stride, self.padding, self.groups)
        return counts.numpy().astype(np.int64)


def _window(low: int, high: int, size: int, stride: int, target: int) -> tuple[int, int]:
    """Padding and taps of the smallest kernel that covers offsets low to high and yields ``target`` rows."""
    for padding in itertools.count(max(0, -low)):
        for taps in range(high + padding + 1, high + 2 * padding + stride + 2):
            if size + 2 * padding >= taps and (size + 2 * padding - taps) // stride + 1 == target:
                return padding, taps
    raise AssertionError("unreachable")


def add_conv(graph: Graph, layer: ConvNorm, name: str, source: str) -> str:
    """Add a trained convolution and its normalisation behind ``source``."""
    conv = layer.conv
    stride, padding = int(conv.stride[0]), int(conv.padding[0])
    node = Conv(graph.nodes[source].shape, array(conv.weight), None, stride, padding, conv.groups)
    return add_norm(graph, layer.norm, name, graph.add(name, node, source))
