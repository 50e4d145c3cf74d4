"""Where the code leaves."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from export.encoder.node import Dialect, Node, OnnxWriter, Shape, Value


@dataclass(frozen=True)
class Output(Node):
    """The hash code: bit k is 1 iff neuron k spikes."""

    shape: Shape

    def evaluate(self, name: str, total: Tensor) -> Tensor:
        """The bits themselves."""
        return total

    def to_nir(self, name: str, dialect: Dialect, gain: float) -> Any:
        """The node of the same name."""
        return dialect.output(self.shape)

    def to_onnx(self, name: str, writer: OnnxWriter, total: Value) -> Value:
        """Bits (B, K) to bytes, the first bit most significant, by a product with the place values."""
        places = np.kron(np.eye(self.shape[0] // 8), 2.0 ** np.arange(7, -1, -1)[:, None])
        numbers = writer.cast(writer.reshape(total, -1, self.shape[0]))
        return writer.cast(writer.op("MatMul", numbers, writer.constant(places)), "uint8", output="codes")
