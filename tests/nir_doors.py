"""The three doors that a NIR file comes in by, ``inspect``, ``place`` and ``run``: all take it, or all refuse it."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np

from deploy.backends.graph_run import run_on_file
from deploy.energy.mapping.place import place
from export.nir.metadata import read_metadata
from export.nir.read import read_graph
from export.nir.stepwise.plan import make_plan
from export.nir.structure import describe_structure
from export.synaptic.counted import read_network
from hardware_profiles.loader import load_profile
from spikinghash.errors import GraphError

LOIHI = load_profile("loihi1").profile


def refusal(graph: nir.NIRGraph) -> str | None:
    """Why all doors refuse ``graph``, in the same line; ``None`` where all take it. Else the test fails."""
    with tempfile.TemporaryDirectory() as name:
        path, spikes = Path(name, "graph.nir"), Path(name, "x.npz")
        nir.write(str(path), graph, compression=None)  # which scalars do not take
        np.savez(spikes, spikes=np.ones((1, 2, *_input_shape(path)), np.float32))
        found = {
            "inspect": _said(lambda: _inspect(path), path),
            "place": _said(lambda: place(read_network(path), LOIHI), path),
            "run": _said(lambda: run_on_file(path, spikes, "nir"), path),
        }
    said = found["run"]
    assert set(found.values()) == {said}
    assert said is None or "\n" not in said
    return said


def _inspect(path: Path) -> object:
    graph = read_graph(path)
    return describe_structure(graph, read_metadata(graph, str(path)), str(path))


def _said(door: Callable[[], object], path: Path) -> str | None:
    try:
        door()
    except GraphError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def _input_shape(path: Path) -> tuple[int, ...]:
    """Of a graph that can run; of another, which is refused before its input is looked at, any."""
    try:
        plan = make_plan(read_graph(path))
    except GraphError:
        return (1,)
    return plan.shapes[plan.input]
