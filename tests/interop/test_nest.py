"""NIR graphs in NEST, a simulator of biological networks in C++, spike by spike against the interpreter.

The interpreter is held against NIR's equations by ``test_interpreter``; NEST has its own integration, synapses, delays
and threads.
"""

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from deploy.backends.graph_run import run_on_file
from deploy.backends.simulator_backend import SimulatorBackend
from export.nir.interpreter import Interpreter
from export.nir.read import read_graph
from export.nir.stepwise.plan import SPIKING_NODES
from spikinghash.errors import BackendError, SpikinghashError
from tests.interop.environment import foreign_interpreter
from tests.nir_graphs import DT, Array, built, cuba_lif, lif, linear_maps, quarters, spikes_for

foreign_interpreter("nest")


def equal_in_nest(graph: nir.NIRGraph, folder: Path, spikes: Array, threads: int = 1) -> None:
    """Outputs and what every spiking neuron and delay emits, step by step."""
    path = folder / "graph.nir"
    nir.write(str(path), graph)
    interpreter = Interpreter(read_graph(path))
    record = [name for name, node in interpreter.nodes.items() if isinstance(node, (*SPIKING_NODES, nir.Delay))]
    expected, expected_recorded = interpreter.run(spikes, record)
    outputs, recorded = SimulatorBackend("nest", 300, threads).run(path, spikes, record)
    for name in record:
        assert expected_recorded[name].any(), f"{name} tests nothing"
        np.testing.assert_array_equal(recorded[name], expected_recorded[name], err_msg=name)
    np.testing.assert_array_equal(outputs, expected)


def spiking(shape: tuple[int, ...], rng: np.random.Generator) -> dict[str, Any]:
    """Neurons whose leak potentials, resets, time constants and thresholds differ from one to the next, and delays."""
    return {
        "lif": lif(shape, rng),
        "if": nir.IF(rng.integers(1, 3, shape) / DT, rng.integers(2, 6, shape) + 0.5, quarters(rng, *shape, high=0)),
        "threshold": nir.Threshold(rng.integers(0, 8, shape) / 4),
        "delay": nir.Delay(rng.integers(0, 5, shape) * DT),
    }


def every_primitive() -> nir.NIRGraph:
    """All neurons that NEST has, and behind every linear node, biases included, a LIF."""
    rng = np.random.default_rng(0)
    nodes: dict[str, Any] = {
        "flat": nir.Flatten({"input": np.array([4, 6, 6])}, start_dim=0),
        "rows": nir.Flatten({"input": np.array([4, 6, 6])}, start_dim=1, end_dim=2),
        "spread": nir.Affine(quarters(rng, 6, 144, low=-1, high=1), quarters(rng, 6, low=-1, high=2)),
        **spiking((6,), rng),
        "turned": nir.Affine(quarters(rng, 6, 6), quarters(rng, 6)),
        "out": lif((6,), rng),
    }
    edges = "x>flat x>rows flat>spread turned>out out>y"
    edges += "".join(f" spread>{name} {name}>turned" for name in ("lif", "if", "threshold", "delay"))
    for name, (node, shape, source) in linear_maps(rng).items():
        nodes |= {name: node, f"behind_{name}": lif(shape, rng)}
        edges += f" {source}>{name} {name}>behind_{name}"
    return built(nodes, edges, (4, 6, 6), (6,))


def rings() -> nir.NIRGraph:
    """A population that feeds itself, three in a ring of one step, and a ring through delays of 0 to 3 steps."""
    rng = np.random.default_rng(1)
    nodes: dict[str, Any] = {name: lif((4,), rng) for name in ("own", "a", "b", "c", "d")}
    nodes["later"] = nir.Delay(np.array([0, 1, 2, 3]) * DT)
    for name in ("ab", "bc", "ca"):
        nodes[name] = nir.Affine(quarters(rng, 4, 4, low=-3, high=4), quarters(rng, 4, low=-1, high=2))
    edges = "x>own own>own x>a a>ab ab>b b>bc bc>c c>ca ca>a x>d d>later later>d own>y b>y later>y"
    return built(nodes, edges, (4,), (4,))


@pytest.mark.parametrize("threads", [1, 2])
def test_every_primitive_that_spikes(threads: int, tmp_path: Path) -> None:
    graph = every_primitive()
    equal_in_nest(graph, tmp_path, spikes_for(graph), threads)


def test_cycles_take_the_steps_that_they_take(tmp_path: Path) -> None:
    """Three hops in one step of the graph: NEST takes three of its own for each."""
    graph = rings()
    spikes = spikes_for(graph, samples=4, steps=12)
    spikes[1] = 0  # whatever moves in this sample is bias, or was left over from the one before
    equal_in_nest(graph, tmp_path, spikes)


def test_inputs_are_numbers(tmp_path: Path) -> None:
    """Currents of either sign, and a potential that lands on the threshold: NIR wants more than that."""
    nodes = {"n": nir.IF(np.full(3, 1 / DT), np.array([1.0, 2.0, 3.0]), np.zeros(3))}
    path = tmp_path / "graph.nir"
    nir.write(str(path), built(nodes, "x>n n>y", (3,), (3,)))
    currents = np.array([[[0.5, 2.0, 1.5], [0.5, -1.0, 1.5], [0.25, 1.5, 0.25], [0.0, 0.0, 7.5]]], np.float32)
    outputs, _ = SimulatorBackend("nest").run(path, currents)
    np.testing.assert_array_equal(outputs[0], [[0, 0, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1]])


def test_a_recording_without_a_spike(tmp_path: Path) -> None:
    nodes = {"n": nir.Threshold(np.full(2, 0.5))}
    path = tmp_path / "graph.nir"
    nir.write(str(path), built(nodes, "x>n n>y", (2,), (2,)))
    spikes = np.zeros((3, 4, 2), np.float32)
    spikes[1, 2, 1] = 1
    outputs, recorded = SimulatorBackend("nest").run(path, spikes, ["n"])
    np.testing.assert_array_equal(outputs, spikes)
    np.testing.assert_array_equal(recorded["n"], spikes)


def test_any_time_step_and_its_option(tmp_path: Path) -> None:
    nodes = {"n": nir.IF(np.ones(1), np.ones(1), np.zeros(1))}
    nir.write(str(tmp_path / "graph.nir"), built(nodes, "x>n n>y", (1,), (1,)))
    np.savez(tmp_path / "x.npz", spikes=np.full((1, 20, 1), 2, np.float32))
    run = run_on_file(tmp_path / "graph.nir", tmp_path / "x.npz", "nest", dt=1.0, trace=True)
    assert run.outputs.sum() == run.activity["n"].spikes.sum() == 20


def refused(node: nir.NIRNode, folder: Path) -> str:
    nir.write(str(folder / "graph.nir"), built({"n": node}, "x>n n>y", (2,), (2,)))
    with pytest.raises(BackendError) as caught:
        SimulatorBackend("nest").run(folder / "graph.nir", np.ones((1, 2, 2), np.float32))
    return str(caught.value)


def test_what_nest_cannot_do_is_refused_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one = np.ones(2)
    assert "node n: emits its potential" in refused(nir.LI(DT * one, one, 0 * one), tmp_path)
    assert "node n: a CubaLIF" in refused(cuba_lif((2,), rng), tmp_path)
    assert "node n: dt/tau is 2" in refused(nir.LIF(DT / 2 * one, one, 0 * one, one, 0 * one), tmp_path)
    assert "node n: a threshold is -1" in refused(nir.Threshold(-one), tmp_path)
    assert "node n: its reset potential is above" in refused(nir.IF(one, one, 2 * one), tmp_path)


def test_others_have_no_threads(tmp_path: Path) -> None:
    with pytest.raises(SpikinghashError, match="norse: threads 2, but it runs on 1"):
        SimulatorBackend("norse", threads=2)
