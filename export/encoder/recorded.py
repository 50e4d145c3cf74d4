"""From the records of an integer network back to its graph: that of the config, with the numbers of the records."""

from typing import Any

from export.encoder.certify import certify
from export.encoder.frontend import build_graph
from export.encoder.graph import Graph
from export.encoder.integer import IntegerNetwork, Layer
from export.encoder.network import Network, recorded_nodes
from export.encoder.passes.fold_batch_norm import fold_batch_norm
from export.encoder.passes.fuse_linear import fuse_linear
from spikinghash.errors import GraphError
from training.config import EncoderConfig
from training.model.encoder import Spikinghash


def recorded_network(config: EncoderConfig, integer: IntegerNetwork, **about: Any) -> Network:
    """The network of an encoder of ``config`` that gave the records ``integer``.

    Args:
        about: what a ``Network`` holds besides.

    Raises:
        GraphError: the records are no network's of this config.
    """
    graph = fuse_linear(fold_batch_norm(build_graph(Spikinghash(config).eval())))
    layers, ballot = {layer.name: layer for layer in integer.layers}, integer.vote
    expected = recorded_nodes(graph)
    if set(expected) != set(layers) or graph.time_steps != integer.time_steps or ballot.name not in graph.nodes:
        raise GraphError("its config and its integer network differ: export it again")
    for name in expected:
        _require_place(graph, layers[name], graph.sources(name))
        graph.nodes[name] = graph.nodes[name].recorded(name, layers[name], graph.time_steps)
    graph.nodes[ballot.name].recorded(ballot.name, ballot, graph.time_steps)
    return Network(graph, "integer", config, certificate=certify(graph), **about)


def _require_place(graph: Graph, layer: Layer, sources: list[str]) -> None:
    shape = graph.nodes[layer.name].shape
    if (list(layer.sources), layer.shape) != (sources, shape):
        raise GraphError(
            f"node {layer.name}: {layer.shape} from {', '.join(layer.sources)}, but {shape} from {', '.join(sources)} "
            "by the config: export it again"
        )
