"""Spiking self-attention as coincidence gates.

No neuromorphic graph format has a product of two signals. But queries, keys and values are binary, so that

    c[b, i] = sum_{j, a} q[a, i] k[a, j] v[b, j] = number of (j, a) at which q[a, i], k[a, j], v[b, j] spike together:

each term is the AND of three spikes, and their sum a linear map. A head of width d_h on N tokens takes N^2 d_h^2 gates.
Every head becomes a chain of its own: projection to (q, k, v), LIF, gates, sum, LIF, projection onto the stream.
"""

import math
from dataclasses import replace

import numpy as np

from export.encoder.graph import Graph, Parts
from export.encoder.node import Array
from export.encoder.operations import Attention, Conv, Dense, Lif, Threshold
from spikinghash.errors import GraphError

LARGEST_GATES = 400_000
"""Gates of one attention above which the expansion is refused: its dense linear maps alone would fill gigabytes."""


def gate_count(attention: Attention) -> int:
    """Coincidence gates that ``attention`` expands into: N^2 d d_h."""
    channels, height, width = attention.shape
    return (height * width) ** 2 * channels * (channels // attention.heads)


def lower_attention(graph: Graph, keep_large: bool = False) -> Graph:
    """Replace every ``Attention``, its q-k-v projection and its output projection by per-head populations.

    Args:
        keep_large: leave an attention of more than ``LARGEST_GATES`` gates as it is, for a dialect that can mark it.

    Raises:
        GraphError: an attention needs more gates than that, and ``keep_large`` is off.
    """
    graph = graph.copy()
    for name, attention in list(graph.find(Attention)):
        gates = gate_count(attention)
        if gates > LARGEST_GATES and keep_large:
            _keep(graph, name, attention)
            continue
        if gates > LARGEST_GATES:
            raise GraphError(
                f"node {name}: {_size(attention)}, limit {LARGEST_GATES:,}: {_remedy(attention)}, "
                "or use the native dialect or ONNX, which keep the product"
            )
        _expand(graph, name, attention)
    return graph.sort()


def _size(attention: Attention) -> str:
    channels, height, width = attention.shape
    return (
        f"{gate_count(attention):,} coincidence gates for {height * width} tokens, {channels} channels and "
        f"{attention.heads} heads"
    )


def _remedy(attention: Attention) -> str:
    """What to train with so that there are few enough gates: more heads if that is enough, else fewer tokens."""
    channels = attention.shape[0]
    enough = [
        heads
        for heads in range(attention.heads, channels + 1)
        if channels % heads == 0 and gate_count(replace(attention, heads=heads)) <= LARGEST_GATES
    ]
    if enough:
        return f"train with {enough[0]} heads or more"
    tokens = math.isqrt(LARGEST_GATES // channels)
    return f"no number of heads is enough: train with mixer swm there, or at most {tokens} tokens (smaller frames)"


def _keep(graph: Graph, name: str, attention: Attention) -> None:
    """Leave the product, which then emits plain counts, and give its weight a linear map of its own."""
    channels = attention.shape[0]
    weight = graph.add(f"{name}_weight", Conv(attention.shape, attention.weight * np.eye(channels)[:, :, None, None]))
    for reader in graph.targets(name):
        graph.edges[graph.edges.index((name, reader))] = (weight, reader)
    graph.connect(name, weight)
    graph.nodes[name] = replace(attention, weight=1.0)


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
    width = attention.shape[0] // attention.heads
    tokens = attention.shape[1:]
    gates, total = gate_weights(width, tokens[0] * tokens[1])
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
