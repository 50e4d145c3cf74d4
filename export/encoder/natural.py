"""The un-lowered encoder as linear maps and neurons: what an accelerator computes, layer by layer."""

import math

import numpy as np
from numpy.typing import NDArray

from export.encoder.certificate import Bound, Certificate
from export.encoder.graph import Graph
from export.encoder.node import Array, Linear
from export.encoder.operations import Attention, Counter, Dense, Lif, WaveMixer
from export.encoder.work import LinearMap, Neurons, packed
from spikinghash.errors import GraphError

FLOAT_BITS = 32


def linear_maps(graph: Graph) -> tuple[LinearMap, ...]:
    """Every linear map and attention of a folded graph, in graph order.

    Raises:
        GraphError: a map reads or drives no population of its own.
    """
    return tuple(_map(graph, name, node) for name, node in graph.nodes.items() if isinstance(node, Linear | Attention))


def neurons(graph: Graph, certificate: Certificate | None) -> tuple[Neurons, ...]:
    """Every population of neurons of a folded graph, in graph order."""
    bounds = {bound.population: bound for bound in certificate.bounds} if certificate else {}
    kinds = (Lif, Counter)
    return tuple(
        _neurons(graph, name, node, bounds.get(name)) for name, node in graph.nodes.items() if isinstance(node, kinds)
    )


def _map(graph: Graph, name: str, node: Linear | Attention) -> LinearMap:
    sources, targets = graph.sources(name), _readers(graph, name)
    if len(sources) != 1 or not targets:
        raise GraphError(f"node {name}: it reads {len(sources)} nodes and drives {len(targets)}: fold and fuse first")
    weights = stored_weights(node)
    return LinearMap(
        name=name,
        source=sources[0],
        target=targets[0],
        weights=len(weights),
        weight_bits=weight_bits(weights),
        fan_out=packed(fan_out(node)),
    )


def _neurons(graph: Graph, name: str, node: Lif | Counter, bound: Bound | None) -> Neurons:
    """A stage's maps add to one stream; each of its readers adds the maps in front of it and passes the sum on."""
    maps = graph.sources(name)
    own = [each for each in maps if _readers(graph, each)[0] == name]
    reads, passes_on = len(own) < len(maps), any(_readers(graph, each)[-1] != name for each in maps)
    biases = sum(getattr(graph.nodes[each], "bias", None) is not None for each in own)
    scales = sum(isinstance(graph.nodes[each], Attention) for each in own)
    current = FLOAT_BITS if bound is None else 1 + math.ceil(math.log2(max(-bound.lowest, bound.highest) + 1))
    state = FLOAT_BITS if bound is None else bound.bits
    if isinstance(node, Counter):
        current, state = 1, graph.time_steps.bit_length()
    return Neurons(
        name=name,
        neurons=math.prod(node.shape),
        state_bits=state,
        current_bits=current,
        stream_accesses=reads + passes_on,
        adds=biases + reads,
        multiplies=scales,
    )


def _readers(graph: Graph, name: str) -> list[str]:
    """What a map drives, in graph order."""
    targets = set(graph.targets(name))
    return [each for each in graph.nodes if each in targets]


def stored_weights(node: Linear | Attention) -> Array:
    """The weights that have to be stored, zeros left out.

    The maps of a Haar transform and of a mean repeat their weights: pairs of positions (of a block, of a map) whose
    weights are equal between all channels share them, since where they stand follows from the structure.
    """
    if isinstance(node, Attention):
        return np.array([node.weight])
    if not isinstance(node, Dense | WaveMixer):
        return node.stored_weights()
    weights = np.unique(_by_positions(node), axis=1)
    return weights[weights != 0]


def _by_positions(node: Dense | WaveMixer) -> Array:
    """Weights as (pairs of channels, pairs of positions)."""
    if isinstance(node, WaveMixer):
        groups, out, inp = node.weight.shape
        block = 8**node.levels
        split = node.weight.reshape(groups, out // block, block, inp // block, block).transpose(0, 1, 3, 2, 4)
        return split.reshape(-1, block * block)
    channels, height, width, inputs, *_ = node.weight.shape
    split = node.weight.reshape(channels, height * width, inputs, -1).transpose(0, 2, 1, 3)
    return split.reshape(channels * inputs, -1)


def weight_bits(weights: NDArray[np.float64]) -> int:
    """Bits of the widest mantissa of one map: signed whole numbers, a common power of two taken out as exponent.

    32 for weights that are not whole numbers.
    """
    if not np.array_equal(weights, np.round(weights)):
        return FLOAT_BITS
    whole = weights.astype(np.int64)
    if not len(whole):
        return 1
    common = int(np.gcd.reduce(whole))
    mantissas = whole // (common & -common)
    return 1 + max(max(0, int(-mantissas.min()) - 1).bit_length(), max(0, int(mantissas.max())).bit_length())


def fan_out(node: Linear | Attention) -> NDArray[np.int64]:
    """Synapses that leave each source neuron, (C, H, W).

    In an attention a spike of a key gates d_h additions of K^T V and a spike of a query d_h of Q (K^T V); those of the
    values only gate.
    """
    if not isinstance(node, Attention):
        return node.fan_out()
    per_part = np.array([1, 1, 0]) * node.width
    return np.broadcast_to(np.repeat(per_part, node.shape[0])[:, None, None], node.source_shape)
