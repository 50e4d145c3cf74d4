"""Put the graph on integer grids: int8 weights, one grid per residual stream.

Only the ratio of the currents to the threshold matters to a LIF, so that any positive scale may be taken out of a
population's weights, biases and threshold. All linear maps that drive the same neurons share a scale, and so do all
neurons that read the same map: each connected component of "drives" is one grid. Its step is chosen as fine as int8
allows for the map with the smallest weights; maps with larger weights take whole multiples 2^e of it, so that every
map keeps eight bits.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from export.encoder.certificate import MANTISSA
from export.encoder.certify import certify
from export.encoder.graph import Graph
from export.encoder.node import Map
from export.encoder.operations import Lif
from spikinghash.errors import GraphError
from training.quantised import LARGEST_MANTISSA, Grids

_COARSENINGS = 12  # by 2^(1/4) each: three bits in all


@dataclass(frozen=True)
class Stream:
    """Linear maps and the neurons that they drive."""

    maps: tuple[str, ...]
    neurons: tuple[str, ...]


def quantise(
    graph: Graph, largest_bits: int = MANTISSA["float32"], grids: Grids | None = None
) -> tuple[Graph, dict[str, float]]:
    """Return the integer graph and the grid step of each population, in units of the float graph's currents.

    The steps are those of ``grids``, if the network was trained on some. Else a grid whose worst case needs more than
    ``largest_bits`` bits is made coarser, by as little as does it, but not below five bits per weight; the certificate
    then names a wider arithmetic.
    """
    result = graph.copy()
    steps: dict[str, float] = {}
    for stream in streams(graph):
        if grids is None:
            step = _fit(graph, result, stream, largest_bits)
        else:
            step = grids[stream.maps[0]]
            _apply(graph, result, stream, step)
        steps |= dict.fromkeys(stream.neurons, step)
    return result, steps


def _fit(graph: Graph, result: Graph, stream: Stream, largest_bits: int) -> float:
    """Quantise ``stream`` as finely as int8 and ``largest_bits`` allow; returns the step."""
    finest = step = _finest_step(graph, stream)
    for _ in range(_COARSENINGS):
        _apply(graph, result, stream, step)
        if _bits(result, stream) <= largest_bits:
            return step
        step *= 2**0.25
    _apply(graph, result, stream, finest)
    return finest


def streams(graph: Graph) -> list[Stream]:
    """The connected components of "drives", in graph order."""
    component: dict[str, set[str]] = {}
    for target, _ in graph.find(Lif):
        members = {target}.union(*(component.get(source, {source}) for source in graph.sources(target)))
        component |= dict.fromkeys(members, members)
    distinct: Iterable[set[str]] = {id(members): members for members in component.values()}.values()
    return [_stream(graph, members) for members in distinct]


def _stream(graph: Graph, members: set[str]) -> Stream:
    ordered = [name for name in graph.nodes if name in members]
    neurons = tuple(name for name in ordered if isinstance(graph.nodes[name], Lif))
    return Stream(tuple(name for name in ordered if name not in neurons), neurons)


def _finest_step(graph: Graph, stream: Stream) -> float:
    largest = [value for name in stream.maps if (value := _full_scale(graph, name)) > 0]
    return min(largest, default=1.0) / LARGEST_MANTISSA


def _full_scale(graph: Graph, name: str) -> float:
    node = graph.nodes[name]
    largest = node.full_scale if isinstance(node, Map) else 0.0
    if not math.isfinite(largest):
        raise GraphError(f"node {name}: a weight is {largest}: the checkpoint diverged while training: train it anew")
    return largest


def _apply(graph: Graph, result: Graph, stream: Stream, step: float) -> None:
    for name in (*stream.maps, *stream.neurons):
        result.nodes[name] = graph.nodes[name].on_grid(step, graph.time_steps)


def _bits(result: Graph, stream: Stream) -> int:
    part = Graph(result.time_steps, {name: result.nodes[name] for name in (*stream.maps, *stream.neurons)})
    part.edges = [edge for edge in result.edges if edge[0] in stream.maps and edge[1] in stream.neurons]
    return certify(part).bits
