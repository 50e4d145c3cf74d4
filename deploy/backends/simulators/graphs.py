"""What every runner needs of a NIR file before its simulator gets it: the graph, its shapes, its size."""

import math
from pathlib import Path

import nir
import numpy as np
from numpy.typing import NDArray

from export.nir.read import read_graph
from export.nir.stepwise.plan import SPIKING_NODES, emitted_shape, make_plan
from export.nir.stepwise.shapes import taken_shape
from export.nir.synapse_matrix import Shape
from spikinghash.errors import GraphError

TIME_STEP = 1e-4
"""Seconds per step: the value written into the source of snnTorch's importer, so portable files can have no other."""

RECORDABLE = (*SPIKING_NODES, nir.Delay)


def read_planned(path: Path, time_step: float | None = TIME_STEP) -> nir.NIRGraph:
    """Read a NIR file: nested graphs flattened, every shape known.

    Raises:
        GraphError: the file cannot be read, holds no graph that runs, or was made for a time step other than
            ``time_step``, in seconds; ``None`` takes any.
    """
    graph = read_graph(path)
    try:
        plan = make_plan(graph)
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from None
    if time_step is not None and not math.isclose(plan.dt, time_step, rel_tol=1e-9):
        raise GraphError(f"{path}: time step {plan.dt} s; these simulators run {time_step} s: export it portable")
    return nir.NIRGraph(plan.nodes, plan.edges, metadata=graph.metadata, type_check=False)


def input_shape(graph: nir.NIRGraph) -> Shape:
    """Return the shape of one step's input, without sample and time axes."""
    (node,) = graph.inputs.values()
    return taken_shape(node)


def output_shape(graph: nir.NIRGraph) -> Shape:
    """Return the shape of one step's output, without sample and time axes."""
    (node,) = graph.outputs.values()
    return taken_shape(node)


def neuron_shapes(graph: nir.NIRGraph) -> dict[str, Shape]:
    """Return the shape of every node by name whose spikes can be recorded."""
    return {name: taken_shape(node) for name, node in graph.nodes.items() if isinstance(node, RECORDABLE)}


def values_per_step(graph: nir.NIRGraph) -> int:
    """Return how many numbers all nodes together put out in one step of one sample."""
    return sum(math.prod(emitted_shape(name, node)) for name, node in graph.nodes.items())


def check_request(graph: nir.NIRGraph, path: Path, spikes: NDArray[np.float32], record: tuple[str, ...]) -> None:
    """Refuse input of the wrong shape, and names of nodes that do not spike.

    Raises:
        GraphError: with the shape or the name that does not fit.
    """
    expected = input_shape(graph)
    axes = ", ".join(map(str, expected))
    if spikes.ndim != 2 + len(expected) or spikes.shape[2:] != expected or 0 in spikes.shape:
        raise GraphError(f"{path}: input of shape {spikes.shape}; needs (samples, steps, {axes})")
    known = neuron_shapes(graph)
    for name in record:
        if name not in known:
            raise GraphError(f"{path}: cannot record {name!r}: not one of the {len(known)} spiking nodes")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class name where it has none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
