"""Where a cycle delays, and in which order a CubaLIF updates: the interpreter against three simulators."""

from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np
import pytest

from deploy.backends.simulator_backend import SimulatorBackend
from export.nir.interpreter import Interpreter
from export.nir.read import read_graph
from tests.interop.environment import foreign_interpreter

foreign_interpreter()

DT = 1e-4


def full(value: float) -> np.ndarray:
    return np.full(2, value, np.float32)


def lif() -> nir.LIF:
    return nir.LIF(full(2 * DT), full(2.0), full(0.0), full(0.61), full(0.0))


def ring() -> nir.NIRGraph:
    """Two populations in a ring whose way back has a bias: does the bias act in the first step?"""
    nodes = {
        "input": nir.Input(np.array([2])),
        "fc": nir.Affine(np.eye(2, dtype=np.float32), full(0.0)),
        "a": lif(),
        "ab": nir.Affine(np.array([[0.9, -0.3], [-0.2, 0.9]], np.float32), full(0.0)),
        "b": lif(),
        "ba": nir.Affine(np.array([[0.1, -0.3], [-0.2, 0.1]], np.float32), full(0.7)),
        "output": nir.Output(np.array([2])),
    }
    edges = [("input", "fc"), ("fc", "a"), ("a", "ab"), ("ab", "b"), ("b", "ba"), ("ba", "a"), ("a", "output")]
    return nir.NIRGraph(nodes, edges)


def cuba() -> nir.NIRGraph:
    """A synaptic current: does a spike move the membrane in its own step?"""
    values = (4 * DT, 8 * DT, 8.0, 0.0, 0.61, 0.0, 4.0)
    nodes = {
        "input": nir.Input(np.array([2])),
        "fc": nir.Affine(np.array([[0.3, 0.1], [0.2, 0.17]], np.float32), full(0.0)),
        "a": nir.CubaLIF(*map(full, values)),
        "output": nir.Output(np.array([2])),
    }
    return nir.NIRGraph(nodes, [("input", "fc"), ("fc", "a"), ("a", "output")])


@pytest.mark.parametrize("simulator", ["snntorch", "spikingjelly", "sc-neurocore"])
@pytest.mark.parametrize("make", [ring, cuba])
def test_simulators_agree(make: Callable[[], nir.NIRGraph], simulator: str, tmp_path: Path) -> None:
    path = tmp_path / "graph.nir"
    nir.write(str(path), make())
    spikes = (np.random.default_rng(0).random((1, 12, 2)) < 0.5).astype(np.float32)
    spikes[0, :2] = 0  # only a bias could act here
    expected = Interpreter(read_graph(path)).run(spikes)[0]
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(SimulatorBackend(simulator, time_limit=200).run(path, spikes)[0], expected)
