"""The un-lowered encoder as linear maps and neurons: what an accelerator computes, layer by layer."""

import math

from export.encoder.certificate import Bound, Certificate
from export.encoder.graph import Graph
from export.encoder.node import Map
from export.encoder.operations import Attention, Counter, Lif
from export.encoder.work import FLOAT_BITS, LinearMap, Neurons, packed, weight_bits
from spikinghash.errors import GraphError


def linear_maps(graph: Graph) -> tuple[LinearMap, ...]:
    """Every map of a folded graph, in graph order.

    Raises:
        GraphError: a map reads or drives no population of its own.
    """
    return tuple(_map(graph, name, node) for name, node in graph.find(Map))


def neurons(graph: Graph, certificate: Certificate | None) -> tuple[Neurons, ...]:
    """Every population of neurons of a folded graph, in graph order."""
    bounds = {bound.population: bound for bound in certificate.bounds} if certificate else {}
    kinds = (Lif, Counter)
    return tuple(
        _neurons(graph, name, node, bounds.get(name)) for name, node in graph.nodes.items() if isinstance(node, kinds)
    )


def _map(graph: Graph, name: str, node: Map) -> LinearMap:
    sources, targets = graph.sources(name), _readers(graph, name)
    if len(sources) != 1 or not targets:
        raise GraphError(f"node {name}: it reads {len(sources)} nodes and drives {len(targets)}: fold and fuse first")
    weights = node.stored_weights()
    return LinearMap(
        name=name,
        source=sources[0],
        target=targets[0],
        weights=len(weights),
        weight_bits=weight_bits(weights),
        fan_out=packed(node.fan_out()),
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
