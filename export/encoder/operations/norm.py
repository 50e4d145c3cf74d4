"""Batch normalisation, which is folded before anything else happens."""

from dataclasses import dataclass

from export.encoder.node import Array, Node, Shape


@dataclass(frozen=True)
class Norm(Node):
    """Batch normalisation with its running statistics: ``scale * a + shift`` per channel."""

    shape: Shape
    scale: Array
    shift: Array
