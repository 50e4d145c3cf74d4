"""Spiking self-attention: its product of queries, keys and values, and how gates stand for it.

No neuromorphic graph format has a product of two signals. But queries, keys and values are binary, so that

    c[b, i] = sum_{j, a} q[a, i] k[a, j] v[b, j] = number of (j, a) at which q[a, i], k[a, j], v[b, j] spike together:

each term is the AND of three spikes, and their sum a linear map. A head of width d_h on N tokens takes N^2 d_h^2 gates.
Every head becomes a chain of its own: projection to (q, k, v), LIF, gates, sum, LIF, projection onto the stream.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from export.encoder.graph import Graph, Parts
from export.encoder.integer import Coincidences, Layer
from export.encoder.layout import polyphase_shape
from export.encoder.node import Array, CWriter, Dialect, Map, OnnxWriter, Shape, Value, require_whole
from export.encoder.operations.conv import Conv, add_conv
from export.encoder.operations.dense import Dense
from export.encoder.operations.lif import Lif, add_lif
from export.encoder.operations.threshold import Threshold
from spikinghash.errors import GraphError
from training.model.attention import coincidence_counts
from training.model.encoder import AttentionBranch
from training.quantised import ATTENTION_RESOLUTION, LARGEST_MANTISSA, exponent

LARGEST_GATES = 400_000
"""Gates of one attention above which the expansion is refused: its dense linear maps alone would fill gigabytes."""


@dataclass(frozen=True)
class Attention(Map):
    """``weight * Q (K^T V)`` per time step and head; its source holds q, k and v as thirds of its channels."""

    shape: Shape
    heads: int
    weight: float
    product: bool = False
    """Keep it as a product where the dialect can mark it, even if there are few gates."""
    factor: int = 1
    """Polyphase factor f of its layout: ``shape`` is (f^2 C, H/f, W/f). A sum over all tokens minds no order of them,
    and a channel's tokens follow on each other in either layout: nothing else depends on it."""
    counted: ClassVar[bool] = True

    @property
    def source_shape(self) -> Shape:
        """Shape of the spikes."""
        return 3 * self.shape[0], self.shape[1], self.shape[2]

    @property
    def channels(self) -> int:
        """Of all heads, d."""
        return self.shape[0] // self.factor**2

    @property
    def width(self) -> int:
        """Channels of a head, d_h."""
        return self.channels // self.heads

    @property
    def tokens(self) -> int:
        """Pixels, N."""
        return self.shape[1] * self.shape[2] * self.factor**2

    @property
    def gates(self) -> int:
        """Coincidence gates that it expands into: N^2 d d_h."""
        return self.tokens**2 * self.channels * self.width

    @property
    def full_scale(self) -> float:
        """So large that a coincidence is 64 steps of its grid."""
        return self.weight * LARGEST_MANTISSA / ATTENTION_RESOLUTION

    def currents(self, spikes: Tensor, weight: Tensor) -> Tensor:
        """Coincidences per head, weighed."""
        steps, samples = spikes.shape[:2]
        heads = spikes.reshape(steps, samples, 3, self.heads, self.width, self.tokens)
        return coincidence_counts(*heads.unbind(2)).reshape(steps, samples, *self.shape) * weight

    def on_grid(self, step: float, time_steps: int) -> "Attention":
        """A whole number of steps, but not zero."""
        unit = 2 ** exponent(self.full_scale, step)
        return replace(self, weight=float(max(1, round(self.weight / (step * unit))) * unit))

    def current_range(self, name: str) -> tuple[Array, Array]:
        """All queries, keys and values spiking."""
        require_whole(name, np.array([self.weight]))
        return np.zeros(1), np.array([self.weight * self.width * self.tokens])

    def fan_out(self) -> NDArray[np.int64]:
        """A spike of a key gates d_h additions of K^T V, one of a query d_h of Q (K^T V); those of values only gate."""
        additions = np.repeat(np.array([1, 1, 0]) * self.width, self.source_shape[0] // 3)
        return np.broadcast_to(additions[:, None, None], self.source_shape)

    def relaid(self, name: str, source: int, own: int) -> "Attention":
        """The same on queries, keys and values that are laid out alike."""
        return replace(self, shape=polyphase_shape(self.shape, own), factor=own)

    def expand(self, graph: Graph, name: str, keep_large: bool) -> None:
        """Replace it, its q-k-v projection and its output projection by per-head populations."""
        if self.gates <= LARGEST_GATES and not (self.product and keep_large):
            _expand(graph, name, self)
        elif keep_large:
            self._keep(graph, name)
        else:
            channels, height, width = self.shape
            raise GraphError(
                f"node {name}: {self.gates:,} coincidence gates for {height * width} tokens, {channels} channels and "
                f"{self.heads} heads, limit {LARGEST_GATES:,}: {self._remedy()}, "
                "or use the native dialect or ONNX, which keep the product"
            )

    def _remedy(self) -> str:
        """What to train with so that there are few enough gates: more heads if that is enough, else fewer tokens."""
        channels = self.shape[0]
        divisors = [heads for heads in range(self.heads, channels + 1) if channels % heads == 0]
        enough = [heads for heads in divisors if replace(self, heads=heads).gates <= LARGEST_GATES]
        if enough:
            return f"train with {enough[0]} heads or more"
        tokens = math.isqrt(LARGEST_GATES // channels)
        return f"no number of heads is enough: train with mixer swm there, or at most {tokens} tokens (smaller frames)"

    def _keep(self, graph: Graph, name: str) -> None:
        """Leave the product, which then emits plain counts, and give its weight a linear map of its own."""
        identity = np.eye(self.shape[0])[:, :, None, None]
        weight = graph.add(f"{name}_weight", Conv(self.shape, self.weight * identity))
        for reader in graph.targets(name):
            graph.edges[graph.edges.index((name, reader))] = (weight, reader)
        graph.connect(name, weight)
        graph.nodes[name] = replace(self, weight=1.0)

    def to_nir(self, name: str, dialect: Dialect, gain: float) -> Any:
        """A marked product of plain counts, as ``expand`` leaves it where it is large."""
        if self.weight != 1.0:
            self.refuse(name, "has no NIR node: lower the graph first")
        return dialect.product(self.shape, self.heads, self.factor)

    def to_onnx(self, name: str, writer: OnnxWriter, total: Value) -> Value:
        """Coincidences ``Q (K^T V)`` per step and head, in the order with fewer operations, weighed."""
        split = writer.reshape(total, -1, self.tokens, 3, self.heads, self.width)
        parts = writer.ops("Split", 3, split, axis=2, num_outputs=3)
        query, key, value = (writer.reshape(part, -1, self.tokens, self.heads, self.width) for part in parts)
        query, value = (writer.op("Transpose", part, perm=[0, 2, 1, 3]) for part in (query, value))
        key = writer.op("Transpose", key, perm=[0, 2, 3, 1])
        if self.tokens > self.width:
            counts = writer.op("MatMul", query, writer.op("MatMul", key, value))
        else:
            counts = writer.op("MatMul", writer.op("MatMul", query, key), value)
        rows = writer.reshape(writer.op("Transpose", counts, perm=[0, 2, 1, 3]), -1, self.shape[0])
        return writer.op("Mul", writer.count(rows, self.shape), writer.constant(-self.weight))

    def record(self, name: str, sources: tuple[str, ...]) -> Coincidences:
        """Itself."""
        return Coincidences(name, sources, self.shape, self.heads, round(self.weight))

    def recorded(self, name: str, record: Layer, time_steps: int) -> "Attention":
        """Its weight."""
        if not isinstance(record, Coincidences) or record.heads != self.heads:
            self.refuse(name, f"of {self.heads} heads has another record, a {record.kind}: export it again")
        return replace(self, weight=float(record.weight))

    def to_c(self, record: Coincidences, writer: CWriter) -> None:
        """Pairs of keys and values, counted for the queries."""
        writer.product(record)


def _expand(graph: Graph, name: str, attention: Attention) -> None:
    (qkv_lif,) = graph.sources(name)
    (qkv,) = graph.sources(qkv_lif)
    (source,) = graph.sources(qkv)
    (out_lif,) = graph.targets(name)
    (projection,) = graph.targets(out_lif)
    into, out = graph.nodes[qkv], graph.nodes[projection]
    inner, outer = graph.nodes[qkv_lif], graph.nodes[out_lif]
    assert isinstance(into, Conv)
    assert isinstance(out, Conv)
    assert isinstance(inner, Lif)
    assert isinstance(outer, Lif)
    readers = graph.targets(projection)
    graph.remove(qkv, qkv_lif, name, out_lif, projection)
    width, tokens = attention.width, attention.shape[1:]
    gates, total = gate_weights(width, attention.tokens)
    for head in range(attention.heads):
        rows = np.arange(head * width, (head + 1) * width)
        qkv_rows = np.concatenate([part * attention.shape[0] + rows for part in range(3)])
        prefix = f"{name}_head{head:02d}"
        # A neuron of the head is (part, channel, token); as a population of 1x1 maps it can be mixed freely.
        mixed = _tokens_to_channels(into.weight[qkv_rows], None if into.bias is None else into.bias[qkv_rows], tokens)
        last = graph.add(f"{prefix}_qkv", mixed, source)
        last = graph.add(f"{prefix}_qkv_lif", Lif(mixed.shape, inner.threshold), last)
        last = graph.add(f"{prefix}_gate", Conv(mixed.shape, gates), last)
        last = graph.add(f"{prefix}_gates", Threshold((len(gates), 1, 1), 2.5), last)
        last = graph.add(f"{prefix}_sum", Conv((len(gates), 1, 1), attention.weight * total), last)
        last = graph.add(f"{prefix}_lif", Lif((len(total), 1, 1), outer.threshold), last)
        # The bias of the projection enters the stream once, with the first head.
        bias = out.bias if head == 0 else None
        last = graph.add(f"{prefix}_projection", _channels_to_tokens(out.weight[:, rows], bias, tokens), last)
        for reader in readers:
            graph.connect(last, reader)
    heads = [f"{name}_head{head:02d}" for head in range(attention.heads)]
    graph.implements |= {
        qkv_lif: Parts("qkv", tuple(f"{head}_qkv_lif" for head in heads), inner.shape),
        name: Parts("gates", tuple(f"{head}_gates" for head in heads), attention.shape),
        out_lif: Parts("head", tuple(f"{head}_lif" for head in heads), outer.shape),
    }
    for layer in (qkv_lif, name, out_lif):
        graph.serves |= dict.fromkeys(graph.implements[layer].nodes, layer)


def gate_weights(width: int, tokens: int) -> tuple[Array, Array]:
    """1x1 convolutions into and out of the gates of one head.

    Returns:
        Spikes (q, k, v; channel; token) to gates (a, b, i, j), shape (d_h^2 N^2, 3 d_h N, 1, 1); and gates to
        coincidence counts (b, i), shape (d_h N, d_h^2 N^2, 1, 1).
    """
    a, b, i, j = (axis.ravel() for axis in np.indices((width, width, tokens, tokens)))
    gate = np.arange(a.size)
    spikes = np.zeros((a.size, 3 * width * tokens))
    for part, (channel, token) in enumerate(((a, i), (a, j), (b, j))):
        spikes[gate, (part * width + channel) * tokens + token] = 1.0
    total = np.zeros((width * tokens, a.size))
    total[b * tokens + i, gate] = 1.0
    return spikes[:, :, None, None], total[:, :, None, None]


def _tokens_to_channels(weight: Array, bias: Array | None, tokens: tuple[int, int]) -> Dense:
    """A 1x1 convolution whose result is laid out as (channel * N + token, 1, 1)."""
    out, inp = weight.shape[:2]
    count = tokens[0] * tokens[1]
    spread = np.einsum("oi,tu->otiu", weight[:, :, 0, 0], np.eye(count)).reshape(out * count, 1, 1, inp, *tokens)
    return Dense(spread, None if bias is None else np.repeat(bias, count))


def _channels_to_tokens(weight: Array, bias: Array | None, tokens: tuple[int, int]) -> Dense:
    """A 1x1 convolution that reads (channel * N + token, 1, 1) and writes a map."""
    out, inp = weight.shape[:2]
    count = tokens[0] * tokens[1]
    spread = np.einsum("oi,tu->otiu", weight[:, :, 0, 0], np.eye(count)).reshape(out, *tokens, inp * count, 1, 1)
    return Dense(spread, bias)


def add_attention_branch(graph: Graph, branch: AttentionBranch, name: str, source: str) -> str:
    """Add a trained self-attention behind ``source``: projection, LIF, product, LIF, projection."""
    mixer, shape = branch.mixer, graph.nodes[source].shape
    qkv = add_lif(graph, f"{name}_qkv_lif", [add_conv(graph, mixer.qkv, f"{name}_qkv", source)])
    product = graph.add(name, Attention(shape, mixer.heads, float(mixer.scale.detach())), qkv)
    return add_conv(graph, mixer.projection, f"{name}_projection", add_lif(graph, f"{name}_attention_lif", [product]))
