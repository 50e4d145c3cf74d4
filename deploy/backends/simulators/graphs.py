"""What every runner needs of a NIR file before its simulator reads it: the graph, its shapes, its size."""

import json
import math
from pathlib import Path

import nir
import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import GraphError

TIME_STEP = 1e-4
"""Seconds per step: the value written into the source of snnTorch's importer, so portable files can have no other."""

NEURONS = (nir.IF, nir.LIF, nir.CubaLIF)


def read_graph(path: Path) -> nir.NIRGraph:
    """Read a NIR file.

    Raises:
        GraphError: the file cannot be read, holds no graph, or was made for a time step other than ``TIME_STEP``.
    """
    try:
        graph = nir.read(path)
    except Exception as error:  # h5py and nir raise OSError, KeyError, AssertionError, ValueError, ... on a broken file
        raise GraphError(f"{path}: not a readable NIR file ({first_line(error)}); export it again") from error
    if not isinstance(graph, nir.NIRGraph):
        raise GraphError(f"{path}: holds a single {type(graph).__name__}, not a graph")
    for kind, found in (("Input", graph.inputs), ("Output", graph.outputs)):  # nir adds an Output to every dead end
        if len(found) != 1:
            raise GraphError(f"{path}: {len(found)} {kind} nodes ({', '.join(found)}); these simulators take one")
    _check_time_step(graph, path)
    return graph


def input_shape(graph: nir.NIRGraph) -> tuple[int, ...]:
    """Return the shape of one step's input, without sample and time axes."""
    (node,) = graph.inputs.values()
    return _shape(node.input_type["input"])


def output_shape(graph: nir.NIRGraph) -> tuple[int, ...]:
    """Return the shape of one step's output, without sample and time axes."""
    (node,) = graph.outputs.values()
    return _shape(node.output_type["output"])


def neuron_shapes(graph: nir.NIRGraph) -> dict[str, tuple[int, ...]]:
    """Return the shape of every spiking node by name."""
    return {name: node.v_threshold.shape for name, node in graph.nodes.items() if isinstance(node, NEURONS)}


def values_per_step(graph: nir.NIRGraph) -> int:
    """Return how many numbers all nodes together put out in one step of one sample."""
    return sum(math.prod(_shape(node.output_type["output"])) for node in graph.nodes.values())


def check_request(graph: nir.NIRGraph, path: Path, spikes: NDArray[np.float32], record: tuple[str, ...]) -> None:
    """Refuse input of the wrong shape and names that are no spiking nodes.

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


def _check_time_step(graph: nir.NIRGraph, path: Path) -> None:
    """Refuse a time step other than ``TIME_STEP`` where the file's metadata name one."""
    try:
        time_step = float(json.loads(graph.metadata.get("spikinghash", "{}")).get("dt", TIME_STEP))
    except (ValueError, TypeError, AttributeError) as error:
        raise GraphError(f"{path}: broken metadata 'spikinghash' ({first_line(error)}); export it again") from error
    if not math.isclose(time_step, TIME_STEP, rel_tol=1e-9):
        raise GraphError(f"{path}: time step {time_step} s; these simulators run {TIME_STEP} s: export it portable")


def _shape(extent: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(int(length) for length in np.atleast_1d(extent))
