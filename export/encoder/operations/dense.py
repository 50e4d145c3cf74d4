"""Any linear map, written out."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from export.encoder.integer import Convolution
from export.encoder.layout import to_polyphase
from export.encoder.node import Array, CWriter, Dialect, Linear, OnnxWriter, Shape, Value, stored_once, whole_numbers


@dataclass(frozen=True)
class Dense(Linear):
    """Any linear map between two populations of which one has a 1x1 map."""

    weight: Array
    """(out channels, out height, out width, in channels, in height, in width)."""
    bias: Array | None = None
    """(out channels,)."""

    @property
    def source_shape(self) -> Shape:
        """Shape of the spikes."""
        return self.weight.shape[3], self.weight.shape[4], self.weight.shape[5]

    @property
    def shape(self) -> Shape:
        """Shape of the currents."""
        return self.weight.shape[0], self.weight.shape[1], self.weight.shape[2]

    def followed_by(self, matrix: Array) -> "Dense":
        """Its output channels mixed by ``matrix``."""
        return Dense(np.tensordot(matrix, self.weight, axes=1), None if self.bias is None else matrix @ self.bias)

    def currents(self, spikes: Tensor, weight: Tensor) -> Tensor:
        """One matrix product."""
        return (spikes.flatten(2) @ weight.flatten(3).flatten(0, 2).T).unflatten(2, self.shape)

    def rows(self) -> Array:
        """One row per neuron."""
        return self.weight.reshape(self.shape[0], prod(self.shape[1:]), -1)

    def stored_weights(self) -> Array:
        """What a mean over the map repeats once."""
        channels, inputs = self.shape[0], self.source_shape[0]
        split = self.weight.reshape(channels, prod(self.shape[1:]), inputs, -1).transpose(0, 2, 1, 3)
        return stored_once(split.reshape(channels * inputs, -1))

    def share_factors(self, source: int, own: int) -> tuple[int, int]:
        """Any will do."""
        return source, own

    def relaid(self, name: str, source: int, own: int) -> "Dense":
        """Rows and columns in the order of their populations."""
        weight = to_polyphase(self.weight, source)
        weight = np.moveaxis(to_polyphase(np.moveaxis(weight, (0, 1, 2), (3, 4, 5)), own), (3, 4, 5), (0, 1, 2))
        return Dense(weight, None if self.bias is None else np.repeat(self.bias, own**2))

    def behind(self, name: str, select: Array, lanes: Shape) -> "Dense":
        """Columns spread over the channels that are picked."""
        return Dense(np.moveaxis(np.tensordot(self.weight, select, axes=(3, 0)), -1, 3))

    def to_nir(self, name: str, dialect: Dialect, gain: float) -> Any:
        """A Conv2d.

        A kernel as large as its input map needs no padding. On a 1x1 input, padding of one less than the output map
        makes output pixel p read tap (size - 1 - p), so that the kernel is the weight, turned around.
        """
        _, height, width = self.shape
        if (height, width) == (1, 1):
            whole = max(self.source_shape[1:])
            return dialect.convolution(gain * self.weight[:, 0, 0], self.source_shape, whole, (0, 0))
        kernel = np.ascontiguousarray(self.weight[..., 0, 0][:, ::-1, ::-1].transpose(0, 3, 1, 2))
        return dialect.convolution(gain * kernel, self.source_shape, 1, (height - 1, width - 1))

    def to_onnx(self, name: str, writer: OnnxWriter, total: Value) -> Value:
        """One matrix product, of maps as rows (pixel, channel)."""
        channels, height, width = self.shape
        size = prod(self.source_shape)
        weight = self.weight.transpose(4, 5, 3, 1, 2, 0).reshape(size, -1)
        bias = None if self.bias is None else np.tile(self.bias, height * width)
        return writer.reshape(writer.product(writer.reshape(total, -1, size), weight, bias), -1, channels)

    def record(self, name: str, sources: tuple[str, ...]) -> Convolution:
        """A kernel as large as its input map."""
        if self.shape[1:] != (1, 1):
            self.refuse(
                name, f"onto a map of {self.shape[1]} x {self.shape[2]} has no place in the record of an encoder"
            )
        weight, bias = whole_numbers(self.weight[:, 0, 0], 0), whole_numbers(self.bias, self.shape[0])
        return Convolution(name, sources, self.shape, weight, bias)

    def to_c(self, record: Convolution, writer: CWriter) -> None:
        """A kernel as large as its input map."""
        writer.convolution(record)

    def fan_out(self) -> NDArray[np.int64]:
        """Non-zero entries of a column."""
        return (self.weight != 0).sum(axis=(0, 1, 2))
