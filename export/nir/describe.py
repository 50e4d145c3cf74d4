"""What a graph says about itself when it is written."""

from typing import Any

from export.encoder.executor import population_names
from export.encoder.forms import Biases, Streams
from export.encoder.graph import Graph, Parts
from export.encoder.network import Network
from export.encoder.operations import Input, Output
from export.encoder.work import Work
from export.nir.dialects.dialect import TIME_STEP
from export.nir.metadata import VALID_LAYOUT, Dialect, EncoderLayer, Metadata


def metadata_of(network: Network, **others: Any) -> Metadata:
    """What any file says about ``network``, and the ``others``, which depend on the form that it is written in."""
    config, certificate = network.config, network.certificate
    return Metadata(
        numbers=network.numbers,
        time_steps=config.time_steps,
        size=config.size,
        bits=config.bits,
        vote=config.votes,
        grid_steps=network.grid_steps,
        certificate=certificate.as_dict() if certificate else None,
        checkpoint_sha256=network.checkpoint_sha256,
        classes=network.classes,
        dataset=network.dataset,
        data=network.data,
        encoder=config.model_dump(mode="json"),
        **others,
    )


def describe(
    network: Network, lowered: Graph, dialect: Dialect, work: Work | None, streams: Streams, biases: Biases, flat: bool
) -> Metadata:
    """Metadata of ``lowered``, which implements ``network``."""
    graph, output = network.graph, lowered.only(Output)[0]
    valid = lowered.only(Input)[1].shape[0] > graph.only(Input)[1].shape[0]
    return metadata_of(
        network,
        dialect=dialect,
        dt=TIME_STEP,
        latency=lowered.latency.get(output, 0),
        input_layout=VALID_LAYOUT if valid else "(ON, OFF) x height x width",
        streams=streams,
        biases=biases,
        valid=valid,
        flat=flat,
        populations=tuple(_population(graph, lowered, layer) for layer in population_names(graph)),
        serves=lowered.serves,
        groups={name: lowered.groups[name] for name in lowered.nodes},
        work=work,
    )


def _population(network: Graph, lowered: Graph, layer: str) -> EncoderLayer:
    shape = network.nodes[layer].shape
    parts = lowered.implements.get(layer, Parts("map", (layer,), shape))
    node = parts.nodes[0]
    return EncoderLayer(
        name=layer,
        kind=parts.kind,
        nodes=parts.nodes,
        shape=shape,
        latency=lowered.latency.get(node, 0),
        polyphase=lowered.polyphase.get(node, 1),
    )
