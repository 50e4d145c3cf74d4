"""The base of all operations: a node of the encoder's graph, and what the walks over the graph ask it.

The methods below stand in the order in which a network meets them: computed, folded, quantised, bounded, lowered,
written, counted. An operation overrides those that apply to it; the others refuse, or leave the graph as it is.

Shapes are (channels, height, width). Weights are float64; in an integer graph they hold whole numbers.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from export.encoder.integer import Convolution, Layer
from spikinghash.errors import GraphError
from training.quantised import LARGEST_MANTISSA, exponent

Shape = tuple[int, int, int]
Array = NDArray[np.float64]
Value = str
"""Name of a tensor in an ONNX graph."""

if TYPE_CHECKING:
    from export.c.writer import CWriter as CWriter
    from export.encoder.graph import Graph
    from export.nir.dialects.dialect import Dialect as Dialect
    from export.onnx.writer import OnnxWriter as OnnxWriter
else:  # they import this module
    CWriter = Graph = Dialect = OnnxWriter = Any


@dataclass(frozen=True)
class Node:
    """Anything in the graph. Operations are frozen dataclasses, one per file of ``export.encoder.operations``.

    ``name`` is the node's in the graph, for messages. All methods may raise GraphError.
    """

    if TYPE_CHECKING:

        @property
        def shape(self) -> Shape:
            """Shape of what it emits."""

    spiking: ClassVar[bool] = False
    """Whether it is a population, which emits spikes (a ``Stream``: values), rather than a source of currents."""
    counted: ClassVar[bool] = False
    """Whether it is a population of the encoder, whose spikes are traced and compared."""

    @property
    def source_shape(self) -> Shape:
        """Shape of what it takes in."""
        return self.shape

    @property
    def latency(self) -> int:
        """Time steps between its input and its answer."""
        return 0

    def refuse(self, name: str, why: str) -> NoReturn:
        """Raise a GraphError that names the node and its kind."""
        raise GraphError(f"node {name}: a {type(self).__name__} {why}")

    def followed_by(self, matrix: Array) -> "Linear | None":
        """One map for itself and the 1x1 convolution ``matrix`` (out, in) behind it; ``None`` where there is none."""
        return None

    def evaluate(self, name: str, total: Tensor) -> Tensor:
        """What it emits when ``total`` arrives, both (T, B, C, H, W)."""
        self.refuse(name, "has no place in an encoder: fold and lower first")

    def current_range(self, name: str) -> tuple[Array, Array]:
        """Least and greatest current per output channel over all binary inputs, each of shape (C,) or (1,).

        Exact for a pixel far from the border; a bound elsewhere.
        """
        self.refuse(name, "sends no current: only linear maps drive a LIF")

    def on_grid(self, step: float, time_steps: int) -> Self:
        """The same in whole multiples of ``step``, for a window of ``time_steps``."""
        return self

    def share_factors(self, source: int, own: int) -> tuple[int, int]:
        """Polyphase factors of its source and of itself, no smaller than given, that can stand on both sides of it."""
        return max(source, own), max(source, own)

    def relaid(self, name: str, source: int, own: int) -> "Node":
        """The same between populations stored with polyphase factors ``source`` and ``own``."""
        return self if own == 1 else self.refuse(name, f"cannot be stored with factor {own}")

    def expand(self, graph: Graph, name: str, keep_large: bool) -> None:
        """First lowering, before anything is laid out: replace in ``graph`` what no neuromorphic node can compute.

        Args:
            keep_large: leave what would become too large, for a dialect that can mark it.
        """

    def unroll(self, graph: Graph, name: str) -> None:
        """Second lowering, of the laid out and aligned ``graph``: replace what spans several time steps."""

    def widened(self, name: str) -> "Node":
        """The same with one more source channel, the valid line, which it passes on or ignores."""
        self.refuse(name, "reads the frames, but only convolutions and delays can")

    def gain(self, dialect: Dialect) -> float:
        """What a NIR dialect must multiply the currents by that arrive here."""
        return 1.0

    def to_nir(self, name: str, dialect: Dialect, gain: float) -> Any:
        """Its NIR node, written with what ``dialect`` offers; weights are multiplied by ``gain``."""
        self.refuse(name, "has no NIR node: lower the graph first")

    def to_onnx(self, name: str, writer: OnnxWriter, total: Value) -> Value:
        """Write it with the operators of ``writer``; currents are negated, maps are rows (T B H W, C)."""
        self.refuse(name, "has no ONNX form: fold and lower first")

    def record(self, name: str, sources: tuple[str, ...]) -> Layer:
        """It, in an integer graph, as a record that no torch is needed for."""
        self.refuse(name, "has no place in the record of an integer network")

    def recorded(self, name: str, record: Layer, time_steps: int) -> "Node":
        """The same with the numbers that a node of its sizes gave to ``record``, of a window of ``time_steps``."""
        self.refuse(name, f"has no record, but there is one of kind {record.kind}: export it again")

    def to_c(self, record: Any, writer: CWriter) -> None:
        """Write it as a call of a C function with its tables."""
        self.refuse(record.name, "has no C form: give the integer network before it is lowered")


@dataclass(frozen=True)
class Map(Node):
    """Turns spikes into currents."""

    if TYPE_CHECKING:

        @property
        def weight(self) -> Any:
            """What scales the currents and is quantised: an array, or a number."""

    @property
    def bias(self) -> Array | None:
        """Currents that flow in every step, (out channels,)."""
        return None

    @property
    def full_scale(self) -> float:
        """The weight that eight bits must reach."""
        return float(np.abs(self.weight).max())

    def currents(self, spikes: Tensor, weight: Tensor) -> Tensor:
        """Currents without bias, (T, B, *shape), that spikes (T, B, *source_shape) cause through ``weight``."""
        raise NotImplementedError

    def fan_out(self) -> NDArray[np.int64]:
        """Non-zero synapses that leave each neuron of the source, (C, H, W)."""
        raise NotImplementedError

    def stored_weights(self) -> Array:
        """The weights that have to be stored, flat: none that is zero, and what a structure repeats only once."""
        weights = np.ravel(self.weight)
        return weights[weights != 0]


@dataclass(frozen=True)
class Linear(Map):
    """A linear map of spikes to currents. A new one needs ``currents``, ``rows`` and what is said to be its own."""

    if TYPE_CHECKING:

        @property
        def weight(self) -> Array:
            """All weights, each kernel once."""

    def rows(self) -> Array:
        """Weights as (channels, neurons of a channel that differ in weights, fan-in)."""
        raise NotImplementedError

    def scaled(self, scale: Array) -> Array:
        """Its weight with the currents of each channel multiplied by ``scale``, (out channels,)."""
        return self.weight * scale.reshape(-1, *[1] * (self.weight.ndim - 1))

    def with_numbers(self, weight: Array, bias: Array | None) -> Self:
        """The same map with other numbers."""
        this: Any = self
        return replace(this, weight=weight, bias=bias)

    def normalised(self, scale: Array, shift: Array) -> Self:
        """The map and ``scale * a + shift`` per channel behind it."""
        return self.with_numbers(self.scaled(scale), shift if self.bias is None else shift + scale * self.bias)

    def on_grid(self, step: float, time_steps: int) -> Self:
        """Eight-bit multiples of ``2^e step``, with the least e >= 0 that holds all weights; biases of ``step``."""
        unit = 2 ** exponent(self.full_scale, step)
        whole = np.clip(np.round(self.weight / (step * unit)), -LARGEST_MANTISSA, LARGEST_MANTISSA) * unit
        return self.with_numbers(whole + 0.0, None if self.bias is None else np.round(self.bias / step))

    def recorded(self, name: str, record: Layer, time_steps: int) -> Self:
        """Its weights in the order in which a ``Convolution`` holds them."""
        if not isinstance(record, Convolution):
            self.refuse(name, f"has a record of kind {record.kind}: export it again")
        return self.filled(name, record.weight, record.bias)

    def filled(self, name: str, weight: NDArray[np.int64], bias: NDArray[np.int64]) -> Self:
        """The same map with the whole numbers of a record, ``weight`` of as many as its own."""
        channels = self.shape[0]
        if weight.size != self.weight.size or bias.shape != (channels,):
            self.refuse(name, f"of {self.weight.size:,} weights has a record of {weight.size:,}: export it again")
        kept = None if self.bias is None else bias.astype(np.float64)
        return self.with_numbers(weight.reshape(self.weight.shape).astype(np.float64), kept)

    def current_range(self, name: str) -> tuple[Array, Array]:
        """All inhibitory synapses active, and all excitatory ones."""
        rows, bias = self.rows(), np.zeros(1) if self.bias is None else self.bias
        require_whole(name, rows, bias)
        return np.minimum(rows, 0).sum(-1).min(-1) + bias, np.maximum(rows, 0).sum(-1).max(-1) + bias

    def behind(self, name: str, select: Array, lanes: Shape) -> "Linear":
        """The map of a population of shape ``lanes`` whose channels ``select`` (own source channels, theirs) picks."""
        self.refuse(name, "cannot read a shift register")


def stored_once(weights: Array) -> Array:
    """Of weights (pairs of channels, pairs of positions) those to store: equal columns once, and no zeros.

    The maps of a Haar transform and of a mean repeat their weights: pairs of positions (of a block, of a map) whose
    weights are equal between all channels share them, since where they stand follows from the structure.
    """
    distinct = np.unique(weights, axis=1)
    return distinct[distinct != 0]


def whole_numbers(values: Array | None, channels: int) -> NDArray[np.int64]:
    """Weights or biases of an integer graph as integers; zeros, one per channel, where there are none.

    Raises:
        GraphError: one is larger than 64 bits hold.
    """
    if values is None:
        return np.zeros(channels, np.int64)
    if (large := values[~(np.abs(values) < 2.0**63)]).size:
        raise GraphError(f"a weight or bias of {large.flat[0]:g} grid steps, which 64 bits cannot hold: train anew")
    return np.round(values).astype(np.int64)


def require_whole(name: str, *values: Array) -> None:
    """Raise a GraphError if a weight or bias of node ``name`` is no whole number."""
    for value in values:
        fractions = value[~np.isfinite(value) | (value != np.round(value))]
        if len(fractions):
            fraction = float(fractions.flat[0])
            raise GraphError(f"node {name}: weight or bias {fraction!r} is no whole number: quantise the graph first")
