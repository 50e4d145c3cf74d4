"""Every NIR primitive, every kind of cycle and the NIR paper's kinds of network on Lava.

Large graphs run on Lava's own multi-process runtime, small ones with the same process models in one process. The
reference is the interpreter, which ``test_interpreter`` holds against the equations.
"""

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from deploy.backends.graph_run import run_on_file
from deploy.backends.lava_backend import LavaBackend, find_interpreter
from deploy.backends.run import main as command
from export.nir.interpreter import Interpreter
from export.nir.read import read_graph
from export.nir.stepwise.dynamics import NEURONS
from export.synaptic.activity import count_activity, populations_to_record
from spikinghash.errors import MissingToolError, SpikinghashError
from tests.nir_doors import refusal
from tests.nir_graphs import (
    DT,
    Array,
    all_primitives,
    built,
    cuba_lif,
    lif,
    loops,
    neurons,
    nmnist_cnn,
    quarters,
    recurrent_cuba,
    spikes_for,
)

try:
    find_interpreter()
except MissingToolError:
    pytest.skip("no Lava environment", allow_module_level=True)


def equal_on_lava(
    graph: nir.NIRGraph,
    folder: Path,
    spikes: Array | None = None,
    executor: Any = "processes",
    placement: Any = "merged",
) -> None:
    """Outputs and what every neuron and delay emits, step by step."""
    path = folder / "graph.nir"
    nir.write(str(path), graph)
    assert refusal(graph) is None
    interpreter = Interpreter(read_graph(path))
    record = [name for name, node in interpreter.nodes.items() if isinstance(node, (*NEURONS, nir.Delay))]
    spikes = spikes_for(graph) if spikes is None else spikes
    outputs, recorded = LavaBackend(placement, executor=executor).run(path, spikes, record)
    expected, expected_recorded = interpreter.run(spikes, record)
    np.testing.assert_array_equal(outputs, expected)
    for name in record:
        np.testing.assert_array_equal(recorded[name], expected_recorded[name], err_msg=name)
    assert any(values.any() for values in expected_recorded.values())


def test_every_primitive(tmp_path: Path) -> None:
    equal_on_lava(all_primitives(), tmp_path)


def test_every_kind_of_cycle(tmp_path: Path) -> None:
    graph = loops()[0]
    spikes = spikes_for(graph)
    spikes[1] = 0  # whatever moves in this sample is bias, or was left over from the one before
    equal_on_lava(graph, tmp_path, spikes)


@pytest.mark.parametrize(("placement", "samples"), [("merged", 3), ("layered", 1)])
def test_recurrent_cuba_network(placement: str, samples: int, tmp_path: Path) -> None:
    graph = recurrent_cuba()
    equal_on_lava(graph, tmp_path, spikes_for(graph, samples, 15), placement=placement)


def test_convolutional_network_of_integrate_and_fire_neurons(tmp_path: Path) -> None:
    graph = nmnist_cnn()
    equal_on_lava(graph, tmp_path, spikes_for(graph, samples=2, steps=8, rate=0.2))


def test_single_neuron_with_graded_input(tmp_path: Path) -> None:
    """The first network of the NIR paper: an Affine and one LIF, driven by a signal that is no spike train."""
    one = np.ones(1)
    nodes = {
        "w": nir.Affine(np.array([[2.0]]), np.zeros(1)),
        "a": nir.LIF(16 * DT * one, one, 0 * one, 0.1 * one, 0 * one),
    }
    ramp = np.linspace(-1, 3, 40, dtype=np.float32).reshape(1, 40, 1)
    equal_on_lava(built(nodes, "x>w w>a a>y", (1,), (1,)), tmp_path, ramp, "local")


def test_nested_graph_with_another_time_step(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    nodes = {
        "w": nir.Affine(quarters(rng, 4, 4), quarters(rng, 4)),
        "a": cuba_lif((4,), rng),
        "back": nir.Linear(quarters(rng, 4, 4)),
    }
    inner = built(nodes, "x>w w>a a>back back>a a>y", (4,), (4,))
    graph = built({"g": inner, "b": lif((4,), rng)}, "x>g g>b x>b b>y", (4,), (4,), dt=DT / 2)
    equal_on_lava(graph, tmp_path, executor="local")


def test_ring_that_no_input_reaches(tmp_path: Path) -> None:
    """A bias drives two populations that inhibit each other; the input only joins at the output."""
    rng = np.random.default_rng(4)
    nodes = {
        "p": lif((3,), rng),
        "pq": nir.Affine(quarters(rng, 3, 3), np.full(3, 0.75)),
        "q": lif((3,), rng),
        "qp": nir.Affine(quarters(rng, 3, 3), np.full(3, 1.25)),
    }
    equal_on_lava(built(nodes, "p>pq pq>q q>qp qp>p q>y x>y", (3,), (3,)), tmp_path, executor="local")


def random_graph(seed: int) -> nir.NIRGraph:
    """Any neurons, joined by Affine nodes and direct edges, some of which lead back."""
    rng = np.random.default_rng(seed)
    names = [f"n{index}" for index in range(16)]
    nodes: dict[str, Any] = {}
    edges = []
    for index, name in enumerate(names):
        kinds = neurons((3,), rng)
        nodes[name] = kinds[rng.choice(sorted(kinds))]
        before = ["x", *names[:index]]
        chosen = [
            *rng.choice(before, min(len(before), 2), replace=False),
            *names[index : index + int(rng.integers(0, 3))],
        ]
        for source in chosen:
            if rng.random() < 0.3:
                edges.append(f"{source}>{name}")
                continue
            nodes[f"{source}_{name}"] = nir.Affine(
                quarters(rng, 3, 3, low=-4, high=4), quarters(rng, 3, low=-2, high=2)
            )
            edges += [f"{source}>{source}_{name}", f"{source}_{name}>{name}"]
    rng.shuffle(edges)
    return built(nodes, " ".join([*edges, f"{names[-1]}>y"]), (3,), (3,))


@pytest.mark.parametrize("seed", [0, 1])
def test_random_graph_with_cycles(seed: int, tmp_path: Path) -> None:
    graph = random_graph(seed)
    path = tmp_path / "graph.nir"
    nir.write(str(path), graph)
    spikes, record = spikes_for(graph, samples=2, steps=6), [name for name in graph.nodes if "_" not in name]
    record = [name for name in record if name not in ("x", "y")]
    outputs, recorded = LavaBackend(executor="local").run(path, spikes, record)
    expected, expected_recorded = Interpreter(read_graph(path)).run(spikes, record)
    np.testing.assert_allclose(outputs, expected, rtol=1e-6, atol=1e-9)
    for name in record:
        np.testing.assert_allclose(recorded[name], expected_recorded[name], rtol=1e-6, atol=1e-9, err_msg=name)


# --- spikes and synaptic operations -----------------------------------------------------------------------------------


def operations_by_hand(
    graph: nir.NIRGraph, target: str, ways: dict[str, list[str]], emitted: dict[str, Array]
) -> Array:
    """Spike by spike: the synapses of each, counted in the dense product of the matrices on the way."""
    total = np.zeros(len(next(iter(emitted.values()))), int)
    for source, linear in ways.items():
        dense = np.eye(emitted[source][0, 0].size)
        for name in linear:
            dense = graph.nodes[name].weight @ dense
        for sample, steps in enumerate(emitted[source]):
            total[sample] += sum(
                int(np.count_nonzero(dense[:, neuron])) for step in steps for neuron in np.flatnonzero(step)
            )
    return total


def test_activity_from_lava_equals_the_interpreters_and_a_count_by_hand(tmp_path: Path) -> None:
    graph, path = recurrent_cuba(), tmp_path / "graph.nir"
    graph.nodes["fc1"].weight[::2] = 0
    nir.write(str(path), graph)
    spikes = spikes_for(graph, steps=15)
    read = read_graph(path)
    record = populations_to_record(read)
    assert record == ["lif1.lif", "lif2"]
    counted = []
    for outputs, recorded in (LavaBackend().run(path, spikes, record), Interpreter(read).run(spikes, record)):
        assert outputs.any()
        counted.append(count_activity(read, spikes, recorded))
    emitted = {"x": spikes, **Interpreter(read).run(spikes, record)[1]}
    ways = {"lif1.lif": {"x": ["fc1"], "lif1.lif": ["lif1.w_rec"]}, "lif2": {"lif1.lif": ["fc2"]}}
    for name, origin in ways.items():
        by_hand = operations_by_hand(graph, name, origin, emitted)
        for activity in counted:
            np.testing.assert_array_equal(activity[name].operations, by_hand)
            np.testing.assert_array_equal(activity[name].spikes, emitted[name].sum(axis=(1, 2)))
        assert by_hand.all()


def test_command_runs_a_foreign_file_on_both_backends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph, spikes = recurrent_cuba(), tmp_path / "x.npz"
    nir.write(str(tmp_path / "g.nir"), graph)
    np.savez(spikes, spikes=spikes_for(graph))
    written = {}
    for backend in ("nir", "lava"):
        output = tmp_path / f"{backend}.npz"
        command(tmp_path / "g.nir", backend=backend, source=spikes, output=output, trace=True, dt=DT / 2, as_json=True)
        written[backend] = dict(np.load(output))
        populations = json.loads(capsys.readouterr().out)["populations"]
        assert populations["lif2"]["spikes"] == written[backend]["counts/lif2"].tolist()
    assert written["nir"].keys() == written["lava"].keys()
    for key, values in written["nir"].items():
        np.testing.assert_array_equal(values, written["lava"][key], err_msg=key)
    assert written["nir"]["outputs"].any()
    assert written["nir"]["operations/lif1.lif"].all()
    default = Interpreter(graph).run(spikes_for(graph))[0]
    assert not np.array_equal(default, written["nir"]["outputs"]), "the other time step must matter"


@pytest.mark.parametrize(
    ("backend", "dt", "message"),
    [
        ("nir", -1.0, "time step 'dt' is -1 s"),
        ("norse", 0.1, "--dt 0.1: norse"),
        ("lava", None, "node n: tau is 0 s"),
        ("nir", None, "node n: tau is 0 s"),
    ],
)
def test_refusals(backend: str, dt: float | None, message: str, tmp_path: Path) -> None:
    ones = np.ones(2)
    nir.write(str(tmp_path / "g.nir"), built({"n": nir.LIF(0 * ones, ones, ones, ones)}, "x>n n>y", (2,), (2,)))
    np.savez(tmp_path / "x.npz", spikes=np.ones((1, 2, 2)))
    with pytest.raises(SpikinghashError, match=message) as caught:
        run_on_file(tmp_path / "g.nir", tmp_path / "x.npz", backend, dt)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
