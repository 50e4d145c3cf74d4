"""The vote over the steps of a window."""

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from torch import Tensor

from export.encoder.integer import Layer, Vote
from export.encoder.node import CWriter, Dialect, Node, OnnxWriter, Shape, Value


@dataclass(frozen=True)
class Counter(Node):
    """Spikes when the currents received since its last spike add up to ``votes``."""

    shape: Shape
    votes: int
    spiking: ClassVar[bool] = True

    def evaluate(self, name: str, total: Tensor) -> Tensor:
        """Whether there are enough in a window: bits (B, K)."""
        return (total.sum(0) >= self.votes).flatten(1)

    def gain(self, dialect: Dialect) -> float:
        """What a LIF that counts weighs its input by."""
        return dialect.counter_gain

    def to_nir(self, name: str, dialect: Dialect, gain: float) -> Any:
        """An integrator, or a LIF that hardly leaks."""
        return dialect.counter(self.shape, self.votes)

    def record(self, name: str, sources: tuple[str, ...]) -> Vote:
        """Itself."""
        return Vote(name, sources, self.shape, self.votes)

    def recorded(self, name: str, record: Layer, time_steps: int) -> "Counter":
        """Itself."""
        if not isinstance(record, Vote) or record.votes != self.votes:
            self.refuse(name, f"of {self.votes} votes has another record, a {record.kind}: export it again")
        return self

    def to_onnx(self, name: str, writer: OnnxWriter, total: Value) -> Value:
        """The sum over the steps, compared."""
        votes = writer.op("ReduceSum", writer.reshape(total, writer.steps, -1, prod(self.shape)), writer.sizes(0))
        return writer.op("LessOrEqual", votes, writer.constant(-self.votes))

    def to_c(self, record: Vote, writer: CWriter) -> None:
        """The spikes counted, the bits packed."""
        writer.vote(record)
