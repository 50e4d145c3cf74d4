"""Where the code leaves."""

from dataclasses import dataclass

from export.encoder.node import Node, Shape


@dataclass(frozen=True)
class Output(Node):
    """The hash code: bit k is 1 iff neuron k spikes."""

    shape: Shape
