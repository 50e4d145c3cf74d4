"""Space-to-depth layout, in which a Spiking WaveMixer is a linear map per pixel.

A population (C, H, W) with factor f is stored as (f^2 C, H/f, W/f), channel ``(c f + ry) f + rx`` holding the pixels
(f Y + ry, f X + rx). Neurons do not care; convolutions are rewritten: a 1x1 stays 1x1, a strided 3x3 becomes a small
strided convolution, and a WaveMixer of L levels, which mixes blocks of 2^L x 2^L pixels, mixes only channels.
"""

import itertools

import numpy as np

from export.encoder.graph import Graph
from export.encoder.node import Array, Node, Shape
from export.encoder.operations import BlockLinear, Conv, Dense, Lif, Threshold, WaveMixer
from spikinghash.errors import GraphError


def polyphase(graph: Graph) -> Graph:
    """Lay out every population so that each ``WaveMixer`` becomes a ``BlockLinear``."""
    factors = choose_factors(graph)
    result = graph.copy()
    for name, node in graph.nodes.items():
        source = next(iter(graph.sources(name)), name)
        result.nodes[name] = _relayout(name, node, factors[source], factors[name])
    result.polyphase = {name: factor for name, factor in factors.items() if factor > 1}
    return result


def choose_factors(graph: Graph) -> dict[str, int]:
    """The smallest factor of each node that its WaveMixers need and strided convolutions allow.

    A convolution of stride s from factor f needs f to divide s times the factor behind it. Populations that read the
    same stream share a factor, and so do both sides of a WaveMixer.
    """
    factors = dict.fromkeys(graph.nodes, 1)
    while True:
        before = dict(factors)
        for name, node in graph.nodes.items():
            for source in graph.sources(name):
                _reconcile(graph, factors, source, name, node)
        if factors == before:
            return factors


def _reconcile(graph: Graph, factors: dict[str, int], source: str, name: str, node: Node) -> None:
    if isinstance(node, WaveMixer):
        factors[source] = factors[name] = max(factors[source], factors[name], 2**node.levels)
    elif isinstance(node, Conv):
        factors[name] = max(factors[name], -(-factors[source] // node.stride))
    elif not isinstance(node, Dense):
        factors[source] = factors[name] = max(factors[source], factors[name])


def to_polyphase(values: Array, factor: int) -> Array:
    """(..., C, H, W) to (..., f^2 C, H/f, W/f)."""
    *lead, channels, height, width = values.shape
    split = values.reshape(*lead, channels, height // factor, factor, width // factor, factor)
    moved = np.moveaxis(split, (-3, -1), (-4, -3))
    return moved.reshape(*lead, channels * factor**2, height // factor, width // factor)


def from_polyphase(values: Array, factor: int) -> Array:
    """The inverse of ``to_polyphase``."""
    *lead, channels, height, width = values.shape
    split = values.reshape(*lead, channels // factor**2, factor, factor, height, width)
    moved = np.moveaxis(split, (-4, -3), (-3, -1))
    return moved.reshape(*lead, channels // factor**2, height * factor, width * factor)


def polyphase_shape(shape: Shape, factor: int) -> Shape:
    """Shape of a population stored with ``factor``."""
    return shape[0] * factor**2, shape[1] // factor, shape[2] // factor


def _relayout(name: str, node: Node, source: int, factor: int) -> Node:
    if isinstance(node, Conv):
        return convolution(node, source, factor)
    if isinstance(node, Dense):
        return _dense(node, source, factor)
    if isinstance(node, WaveMixer):
        return block_linear(node, factor)
    if factor == 1:
        return node
    if isinstance(node, Lif | Threshold):
        return type(node)(polyphase_shape(node.shape, factor), node.threshold)
    raise GraphError(f"node {name}: a {type(node).__name__} cannot be stored with factor {factor}")


def convolution(conv: Conv, source: int, factor: int) -> Conv:
    """``conv`` from a population with factor ``source`` to one with ``factor``.

    Output row f Y + ry reads input row s (f Y + ry) + k - p = f' (S Y + m) + r with S = s f / f', so that tap k of
    output phase ry is tap m of input phase r.
    """
    if source == factor == 1:
        return conv
    if conv.stride * factor % source:
        raise GraphError(f"a convolution of stride {conv.stride} cannot go from factor {source} to {factor}")
    stride = conv.stride * factor // source
    out, inp, *kernel = conv.weight.shape
    moves = [
        (phase, tap, *divmod(conv.stride * phase + tap - conv.padding, source))
        for phase in range(factor)
        for tap in range(kernel[0])
    ]
    offsets = [offset for _, _, offset, _ in moves]
    size, target = conv.source[1] // source, conv.shape[1] // factor
    padding, taps = _window(min(offsets), max(offsets), size, stride, target)
    weight = np.zeros((out, factor, factor, inp, source, source, taps, taps))
    for (ry, ky, my, sy), (rx, kx, mx, sx) in itertools.product(moves, moves):
        weight[:, ry, rx, :, sy, sx, my + padding, mx + padding] += conv.weight[:, :, ky, kx]
    flat = weight.reshape(out * factor**2, inp * source**2, taps, taps)
    bias = None if conv.bias is None else np.repeat(conv.bias, factor**2)
    return Conv(polyphase_shape(conv.source, source), flat, bias, stride, padding)


def _window(low: int, high: int, size: int, stride: int, target: int) -> tuple[int, int]:
    """Padding and taps of the smallest kernel that covers offsets low to high and yields ``target`` rows."""
    for padding in itertools.count(max(0, -low)):
        for taps in range(high + padding + 1, high + 2 * padding + stride + 2):
            if size + 2 * padding >= taps and (size + 2 * padding - taps) // stride + 1 == target:
                return padding, taps
    raise AssertionError("unreachable")


def _dense(dense: Dense, source: int, factor: int) -> Dense:
    weight = to_polyphase(dense.weight, source)
    weight = np.moveaxis(to_polyphase(np.moveaxis(weight, (0, 1, 2), (3, 4, 5)), factor), (3, 4, 5), (0, 1, 2))
    return Dense(weight, None if dense.bias is None else np.repeat(dense.bias, factor**2))


def block_linear(mixer: WaveMixer, factor: int) -> BlockLinear:
    """``mixer`` on populations stored with ``factor``, a multiple of its own 2^L."""
    n = 2**mixer.levels
    groups, channels = mixer.weight.shape[0], mixer.shape[0]
    width, repeats = channels // groups, factor // n
    kernel = mixer.weight.reshape(groups, width, n, n, n, width, n, n, n)
    # Axes: group, out channel, out (t, y, x), in channel, in (t, y, x). Blocks do not mix: neither across groups
    # nor, where the layout holds several blocks per pixel, across blocks.
    weight = np.einsum(
        "gotyxisuv,gh,ab,cd->tsgoaycxhibudv", kernel, np.eye(groups), np.eye(repeats), np.eye(repeats), optimize=True
    )
    shape = polyphase_shape(mixer.shape, factor)
    bias = None if mixer.bias is None else np.repeat(mixer.bias, factor**2)
    return BlockLinear(shape, weight.reshape(n, n, shape[0], shape[0]), bias)
