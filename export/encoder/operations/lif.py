"""Spiking neurons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from export.encoder.graph import Graph
from export.encoder.integer import Layer, Neurons
from export.encoder.layout import polyphase_shape
from export.encoder.node import Array, CWriter, Dialect, Node, OnnxWriter, Shape, Value
from training.model.lif import DECAY, THRESHOLD

LIF_THRESHOLD = THRESHOLD / DECAY
"""Threshold in the graph's form of the LIF, ``v <- v/2 + a``: Norse's input arrives halved, the graph's does not."""


@dataclass(frozen=True)
class Lif(Node):
    """``v <- v/2 + a; s = [v > threshold]; v <- (1 - s) v``, where a is the sum of the arriving currents."""

    shape: Shape
    threshold: float
    bias: Array | None = None
    """Of a lowered graph: part of a that flows in every step, (channels,)."""
    spiking: ClassVar[bool] = True
    counted: ClassVar[bool] = True

    def evaluate(self, name: str, total: Tensor) -> Tensor:
        """Spikes of currents (T, ...), step by step."""
        if self.bias is not None:
            self.refuse(name, "with a bias of its own belongs to a lowered graph: run it as NIR")
        return lif_steps(total, self.threshold)

    def on_grid(self, step: float, time_steps: int) -> "Lif":
        """The threshold in whole steps, and off the lattice that potentials can reach: ``>`` and ``>=`` agree."""
        return replace(self, threshold=round(self.threshold / step) + 2.0 ** -(time_steps + 1))

    def relaid(self, name: str, source: int, own: int) -> "Lif":
        """The same neurons in another order."""
        return replace(self, shape=polyphase_shape(self.shape, own))

    def gain(self, dialect: Dialect) -> float:
        """NIR's LIF weighs its input by dt/tau."""
        return dialect.lif_gain

    def to_nir(self, name: str, dialect: Dialect, gain: float) -> Any:
        """The node of the same name."""
        if self.bias is None:
            return dialect.lif(self.shape, self.threshold)
        return dialect.biased_lif(self.shape, self.threshold, self.bias)

    def to_onnx(self, name: str, writer: OnnxWriter, total: Value) -> Value:
        """Unrolled over the steps, on negated currents."""
        slices = writer.ops("Split", writer.steps, total, axis=0, num_outputs=writer.steps)
        potentials = slices[:1]
        for step in slices[1:]:
            kept = writer.op("Mul", self._reset(writer, potentials[-1]), writer.constant(0.5))
            potentials.append(writer.op("Add", kept, step))
        whole = writer.op("Concat", *potentials, axis=0)
        spikes = writer.cast(writer.op("Greater", writer.constant(-self.threshold), whole))
        return writer.count(spikes, self.shape)

    def _reset(self, writer: OnnxWriter, negated: Value) -> Value:
        if writer.dtype == np.float32:
            # Where the certificate allows float32, thresholds lie off the lattice: ">" or ">=" is the same.
            return writer.op("ThresholdedRelu", negated, alpha=-self.threshold)
        # ONNX Runtime has no ThresholdedRelu in float64.
        kept = writer.op("Greater", writer.constant(-self.threshold), negated)
        return writer.op("Where", kept, writer.constant(0.0), negated)

    def recorded(self, name: str, record: Layer, time_steps: int) -> "Lif":
        """Its threshold, in steps of the grid."""
        if not isinstance(record, Neurons) or record.threshold < 0:
            self.refuse(name, f"with a threshold of 0 or more has another record, a {record.kind}: export it again")
        return replace(self, threshold=float(record.threshold)).on_grid(1.0, time_steps)

    def to_c(self, record: Neurons, writer: CWriter) -> None:
        """With the map in front of them where they alone read it."""
        writer.neurons(record)


def lif_steps(current: Tensor, threshold: float) -> Tensor:
    """Spikes of ``v <- v/2 + a; s = [v > threshold]; v <- (1 - s) v`` for currents of shape (T, ...)."""
    v = torch.zeros_like(current[0])
    spikes = torch.empty_like(current)
    for step, spike in zip(current.unbind(0), spikes.unbind(0), strict=True):
        v = v.mul_(0.5).add_(step)
        torch.gt(v, threshold, out=spike)
        v.masked_fill_(spike.bool(), 0.0)
    return spikes


def add_lif(graph: Graph, name: str, stream: Sequence[str]) -> str:
    """Add the neurons of a trained network that read ``stream``."""
    return graph.add(name, Lif(graph.nodes[stream[0]].shape, LIF_THRESHOLD), *stream)
