"""Where the code leaves, or the votes for each class."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from torch import Tensor

from export.encoder.integer import Layer, Tally
from export.encoder.node import CWriter, Dialect, Node, OnnxWriter, Shape, Value


@dataclass(frozen=True)
class Output(Node):
    """The hash code: bit k is 1 iff neuron k spikes. Of a classification head: the spikes of each class."""

    shape: Shape
    classes: bool = False

    def evaluate(self, name: str, total: Tensor) -> Tensor:
        """The bits themselves (B, K); or how often each neuron spiked in the window (B, K)."""
        return total.sum(0).flatten(1) if self.classes else total

    def record(self, name: str, sources: tuple[str, ...]) -> Tally:
        """The sums over the window."""
        return Tally(name, sources, self.shape)

    def recorded(self, name: str, record: Layer, time_steps: int) -> "Output":
        """Itself."""
        if not (self.classes and isinstance(record, Tally)):
            self.refuse(name, f"has another record, a {record.kind}: export it again")
        return self

    def to_nir(self, name: str, dialect: Dialect, gain: float) -> Any:
        """The node of the same name."""
        return dialect.output(self.shape)

    def to_c(self, record: Tally, writer: CWriter) -> None:
        """The spikes of each class, counted; of a code the vote is written instead."""
        writer.tally(record)

    def to_onnx(self, name: str, writer: OnnxWriter, total: Value) -> Value:
        """Bits (B, K) to bytes, the first bit most significant, by a product with the place values; or the counts."""
        if self.classes:
            return self._to_counts(writer, total)
        places = np.kron(np.eye(self.shape[0] // 8), 2.0 ** np.arange(7, -1, -1)[:, None])
        numbers = writer.cast(writer.reshape(total, -1, self.shape[0]))
        return writer.cast(writer.op("MatMul", numbers, writer.constant(places)), "uint8", output="codes")

    def _to_counts(self, writer: OnnxWriter, spikes: Value) -> Value:
        """Spikes per class in the window, and the class that has most; of several the first."""
        counts = writer.op(
            "ReduceSum", writer.reshape(spikes, writer.steps, -1, prod(self.shape)), writer.sizes(0), keepdims=0
        )
        writer.op("ArgMax", counts, output="class", axis=1, keepdims=0)
        return writer.cast(counts, "int32", output="classes")
