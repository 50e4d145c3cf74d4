"""A conventional network as the energy model sees it: operations, weights and activations, layer by layer."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class AnnLayer:
    """Work of one layer per code (all frames together), except for ``weights``, which are stored once."""

    name: str
    macs: int = 0
    """Multiply-accumulates, dense: every tap of a convolution counts, those on the zero padding too."""
    adds: int = 0
    """int32 additions outside the MACs: bias, residual, pooling, softmax sums."""
    multiplies: int = 0
    """int32 multiplications outside the MACs: requantisation, softmax."""
    weights: int = 0
    inputs: int = 0
    """Activations read, each once."""
    outputs: int = 0
    """Activations written."""
    transform_adds: int = 0
    """int32 additions of the Haar transform and its inverse."""
    reads: str = ""
    """The activation function whose output its multiplications read; empty where another layer's output is read."""

    @property
    def weight_bytes(self) -> int:
        """Stored weights, one byte each."""
        return self.weights

    def activation_bytes(self, frames: int) -> int:
        """Bytes that one frame's inputs and outputs occupy, one byte each."""
        return (self.inputs + self.outputs) // frames


@dataclass(frozen=True)
class AnnNetwork:
    """A network of int8 weights."""

    label: str
    """For tables."""
    kind: str
    """What it is: ``ann_twin_1``, ``ann_twin_t``, ``qnn``, ``int8_twin`` or ``resnet18``."""
    frames: int
    input_bits: int
    """Bits of all frames that enter."""
    layers: tuple[AnnLayer, ...]
    activation_bits: int = 8
    density: Mapping[str, float] = field(default_factory=dict)
    """Share of the MACs of a layer, by its name, whose activation is not zero, on hardware that skips the others; a
    layer without an entry is dense."""

    @property
    def macs(self) -> int:
        """All multiply-accumulates per code, dense."""
        return sum(layer.macs for layer in self.layers)

    @property
    def effective_macs(self) -> float:
        """Multiply-accumulates per code that are left when zero activations are skipped."""
        return sum(layer.macs * self.density.get(layer.name, 1.0) for layer in self.layers)

    @property
    def weights(self) -> int:
        """Stored weights."""
        return sum(layer.weights for layer in self.layers)
