"""Where frames enter."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from export.encoder.node import Dialect, Node, OnnxWriter, Shape, Value


@dataclass(frozen=True)
class Input(Node):
    """Binary frames."""

    shape: Shape
    spiking: ClassVar[bool] = True

    def evaluate(self, name: str, total: Tensor) -> Tensor:
        """The frames themselves."""
        return total

    def widened(self, name: str) -> "Input":
        """The valid line as the last channel."""
        return Input((self.shape[0] + 1, *self.shape[1:]))

    def to_nir(self, name: str, dialect: Dialect, gain: float) -> Any:
        """The node of the same name."""
        return dialect.input(self.shape)

    def to_onnx(self, name: str, writer: OnnxWriter, total: Value) -> Value:
        """Frames (B, T, C, H, W) as images (T B, C, H, W)."""
        return writer.frames(self.shape)
