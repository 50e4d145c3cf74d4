"""Write a network as a NIR graph, read it back, run it, and compare it with the network."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nir
import numpy as np

from export.encoder.forms import Attentions, Biases, Streams
from export.encoder.graph import Graph
from export.encoder.lowering import lower
from export.encoder.natural import linear_maps, neurons
from export.encoder.network import Network, probe_frames
from export.encoder.work import Work
from export.nir.describe import describe
from export.nir.dialects.native import write_native
from export.nir.dialects.portable import write_portable
from export.nir.interpreter import Interpreter
from export.nir.metadata import Dialect, Metadata, read_encoder, write_nir
from export.nir.trace import first_difference, input_spikes, layer_spikes, output_answers, recorded_nodes
from export.onnx.counting import count_onnx
from export.onnx.to_onnx import build_operators
from spikinghash.errors import ComparisonError, GraphError
from spikinghash.files import atomic_path

WRITERS = {"native": write_native, "portable": write_portable}
NATIVE_ONLY = {
    "streams": ("shared", "graded spikes", "copied"),
    "biases": ("neurons", "leak potentials", "line"),
    "attention": ("product", "products of signals", "gates"),
}
"""By option: its value that only the native dialect can write, what that takes, and the value for other dialects."""


@dataclass(frozen=True)
class GraphSize:
    """How large a written graph is."""

    nodes: int
    neurons: int
    synapses: int
    """Non-zero, convolutions unrolled."""
    bytes: int


def export_nir(
    network: Network,
    path: Path,
    dialect: Dialect = "native",
    dense: bool = False,
    streams: Streams = "copied",
    biases: Biases = "line",
    attention: Attentions = "gates",
) -> tuple[Metadata, GraphSize]:
    """Write ``network`` to ``path``, read it back, run it and compare it with ``network``.

    Args:
        dense: write convolutions out as Affine nodes (portable dialect only).
        streams: residual streams as copied maps, or (native dialect only) as populations with graded spikes.
        biases: synapses from the valid line, or (native dialect only) leak potentials of the neurons.
        attention: coincidence gates, or (native dialect only) marked products.

    Raises:
        GraphError: the network cannot be lowered.
        ComparisonError: the written graph computes something else; nothing is left at ``path``.
    """
    if dialect != "native":
        _refuse(dialect, streams=streams, biases=biases, attention=attention)
    lowered = lower(network.graph, dialect == "native", streams, biases, attention)
    write = WRITERS[dialect] if not dense else partial(write_portable, dense=True)
    with atomic_path(path) as temporary:
        metadata = _write(network, temporary, *write(lowered), dialect, streams, biases, dense)
        return metadata, _check(network, temporary)


def _write(
    network: Network,
    path: Path,
    graph: nir.NIRGraph,
    lowered: Graph,
    dialect: Dialect,
    streams: Streams,
    biases: Biases,
    flat: bool,
) -> Metadata:
    """Write ``graph`` with what it says about itself; nothing of it is held any longer then."""
    metadata = describe(network, lowered, dialect, natural_work(network), streams, biases, flat)
    write_nir(path, graph, metadata)
    return metadata


def _refuse(dialect: Dialect, **options: str) -> None:
    for option, value in options.items():
        native, needed, remedy = NATIVE_ONLY[option]
        if value == native:
            raise GraphError(f"{option}: {value}, but the {dialect} dialect has no {needed}: use --{option} {remedy}")


def natural_work(network: Network) -> Work:
    """What the encoder does where nothing has to be lowered: on accelerators and on processors."""
    return Work(
        maps=linear_maps(network.graph),
        neurons=neurons(network.graph, network.certificate),
        onnx=count_onnx(build_operators(network)),
    )


def _check(network: Network, path: Path) -> GraphSize:
    graph, metadata = read_encoder(path)
    interpreter = Interpreter(graph, metadata.dt)
    frames = probe_frames(network.config)
    codes, expected = network.executor().layers(frames)
    spikes = input_spikes(frames, metadata).reshape(len(frames), metadata.steps, *interpreter.input_shape)
    outputs, recorded = interpreter.run(spikes, recorded_nodes(metadata))
    difference = first_difference(expected, layer_spikes(recorded, metadata))
    if difference is not None:
        raise ComparisonError(f"the written graph differs from the network: {difference}; nothing was written")
    if not np.array_equal(output_answers(outputs, metadata), codes):
        raise ComparisonError("the written graph gives other answers than the network; nothing was written")
    return graph_size(graph, interpreter, path)


def graph_size(graph: nir.NIRGraph, interpreter: Interpreter, path: Path) -> GraphSize:
    """Size of a graph that was read from ``path``."""
    held = (nir.LIF, nir.IF, nir.Threshold, nir.Delay, nir.LI)
    neurons = sum(math.prod(interpreter.shape(name)) for name, node in graph.nodes.items() if isinstance(node, held))
    synapses = sum(matrix.nnz for matrix in interpreter.matrices.values())
    return GraphSize(len(graph.nodes), neurons, synapses, path.stat().st_size)
