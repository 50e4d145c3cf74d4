"""Every command takes the same NIR graphs: what runs is inspected and placed, and what is refused is refused by all."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from rich.console import Console

from deploy.backends.emulator import EmulatorRunner
from deploy.backends.graph_run import run_on_file
from deploy.backends.simulators.graphs import input_shape, neuron_shapes, read_planned
from export.nir.inspect import inspect_nir
from export.nir.interpreter import Interpreter
from export.nir.read import read_graph
from export.nir.structure import describe_structure
from export.nir.synapse_matrix import bias_vector, synapse_matrix
from export.synaptic.counted import read_network
from export.synaptic.lowering import lower
from export.synaptic.schedule import schedule
from spikinghash.errors import GraphError
from tests.nir_doors import refusal
from tests.nir_graphs import DT, all_primitives, built, lif, loops, nmnist_cnn, recurrent_cuba

RNG = np.random.default_rng(7)
ROOT = Path(__file__).parents[1]


def conv(weight: tuple[int, ...], padding: Any, groups: int) -> nir.Conv2d:
    return nir.Conv2d((4, 4), np.ones(weight, np.float32), 1, padding, 1, groups, np.zeros(weight[0], np.float32))


def nested() -> nir.NIRGraph:
    inner = built(
        {"lif": lif((3,), RNG), "w": nir.Linear(np.full((3, 3), 0.125))}, "x>lif lif>w w>lif lif>y", (3,), (3,)
    )
    return built({"fc": nir.Linear(np.ones((3, 2))), "rec": inner}, "x>fc fc>rec rec>y", (2,), (3,))


def single_if() -> nir.NIRGraph:
    return built({"if": nir.IF(np.ones(1), np.ones(1), np.zeros(1))}, "x>if if>y", (1,), (1,))


def scalar_cuba() -> nir.NIRGraph:
    values = (2 * DT, 2 * DT, 1.0, 0.0, 0.5, 0.0, 1.0)
    return built({"n": nir.CubaLIF(*(np.array(value) for value in values))}, "x>n n>y", (3,), (3,))


def flattened() -> nir.NIRGraph:
    nodes = {
        "a": nir.Flatten({"input": np.array([2, 4, 4])}, 1, -1),
        "w": nir.Linear(np.ones((3, 32))),
        "n": nir.Threshold(np.full(3, 0.5)),
    }
    return built(nodes, "x>a a>w w>n n>y", (2, 4, 4), (3,))


def weighted(weight: Any, bias: Any = None, source: tuple[int, ...] = (2,)) -> nir.NIRGraph:
    """A linear map onto three neurons."""
    node = nir.Linear(weight) if bias is None else nir.Affine(weight, bias)
    return built({"w": node, "n": nir.Threshold(np.full(3, 0.5))}, "x>w w>n n>y", source, (3,))


def of_one_batch(source: tuple[int, ...]) -> nir.NIRGraph:
    """A convolution of (2, 4, 4), from an Input that tells a batch as well, as rockpool writes it."""
    nodes = {"c": conv((2, 2, 3, 3), 1, 1), "n": lif((2, 4, 4), np.random.default_rng(0))}
    return built(nodes, "x>c c>n n>y", source, (2, 4, 4))


def pooled(stride: int) -> nir.NIRGraph:
    node = nir.SumPool2d(np.array([2, 2]), np.full(2, stride), np.array([0, 0]))
    return built({"p": node}, "x>p p>y", (2, 4, 4), (2, 2, 2))


TAKEN: dict[str, Callable[[], nir.NIRGraph]] = {
    "depthwise": lambda: built({"c": conv((2, 1, 3, 3), 1, 2)}, "x>c c>y", (2, 4, 4), (2, 4, 4)),
    "not square": lambda: built({"c": conv((2, 2, 3, 1), (1, 0), 1)}, "x>c c>y", (2, 4, 4), (2, 4, 4)),
    "nested": nested,
    "if": single_if,
    "one number for all": scalar_cuba,
    "flatten": flattened,
    "primitives": all_primitives,
    "recurrent": recurrent_cuba,
    "loops": lambda: loops()[0],
    "cnn": nmnist_cnn,
    "batch of one": lambda: of_one_batch((1, 2, 4, 4)),
    "batch of one, flat": lambda: weighted(np.ones((3, 2)), source=(1, 2)),
    "batch of one before neurons": lambda: built({"n": lif((3,), RNG)}, "x>n n>y", (1, 3), (1, 3)),
    "half precision": lambda: weighted(np.ones((3, 2), np.float16), np.ones(3, np.float16)),
    "whole numbers": lambda: weighted(np.ones((3, 2), np.int64)),
    "never spikes": lambda: parameter("v_threshold", np.inf),
    "never leaks": lambda: parameter("tau", np.inf),
    "nothing between": lambda: built({}, "x>y", (2,), (2,)),
}


def with_input(extra: str) -> nir.NIRGraph:
    return built({"n": lif((2,), RNG), extra: nir.Input(np.array([2]))}, f"x>n {extra}>n n>y", (2,), (2,))


def parameter(name: str, value: float) -> nir.NIRGraph:
    node = lif((2,), RNG)
    setattr(node, name, np.full(2, value))
    return built({"n": node}, "x>n n>y", (2,), (2,))


REFUSED: dict[str, tuple[Callable[[], nir.NIRGraph], str]] = {
    "two inputs": (lambda: with_input("z"), "exactly one Input"),
    "time constant": (lambda: parameter("tau", -1.0), "must be positive"),
    "negative delay": (
        lambda: built({"d": nir.Delay(np.array([-1.0, 0.0]))}, "x>d d>y", (2,), (2,)), "is negative",
    ),
    "shapes": (lambda: built({"w": nir.Linear(np.ones((2, 3)))}, "x>w w>y", (2,), (2,)), "node w"),
    "weight": (lambda: weighted(np.full((3, 2), np.inf)), "node w: its weight holds inf"),
    "complex": (lambda: weighted(np.ones((3, 2), complex)), "node w: its weight holds complex128"),
    "bias": (lambda: weighted(np.ones((3, 2)), np.ones(2)), "node w: its bias has 2 values for 3 outputs"),
    "bias of a convolution": (
        lambda: built({"c": nir.Conv2d((4, 4), np.ones((3, 2, 3, 3)), 1, 1, 1, 1, np.ones(2))}, "x>c c>y", (2, 4, 4),
                      (3, 4, 4)), "node c: its bias has 2 values for 3 outputs",
    ),
    "threshold": (lambda: parameter("v_threshold", np.nan), "node n: its v_threshold is nan"),
    "resistance": (lambda: parameter("r", np.inf), "node n: its r is inf"),
    "stride": (lambda: pooled(0), "node p: its stride is 0"),
    "padding": (lambda: built({"c": conv((2, 2, 3, 3), -1, 1)}, "x>c c>y", (2, 4, 4), (2, 0, 0)), "its padding is -1"),
    "groups": (
        lambda: built({"c": conv((2, 2, 3, 3), 1, 0)}, "x>c c>y", (2, 4, 4), (2, 4, 4)), "node c: it takes shape (0, 4",
    ),
    "kernel": (
        lambda: built({"c": conv((2, 2, 9, 9), 0, 1)}, "x>c c>y", (2, 4, 4), (2, 1, 1)), "node c: it emits shape",
    ),
    "no input": (lambda: built({}, "x>y", (0,), (0,)), "node x: it emits shape (0,)"),
    "nothing arrives": (lambda: built({"n": lif((2,), RNG)}, "x>y n>y", (2,), (2,)), "nothing arrives"),
    "time step": (lambda: built({"n": lif((2,), RNG)}, "x>n n>y", (2,), (2,), dt=-1.0), "positive number of seconds"),
}  # fmt: skip


def written(graph: nir.NIRGraph, folder: Path) -> Path:
    nir.write(str(folder / "graph.nir"), graph, compression=None)  # which scalars do not take
    (shape,) = graph.nodes["x"].input_type.values()
    np.savez(folder / "x.npz", spikes=np.ones((1, 2, *shape), np.float32))
    return folder / "graph.nir"


@pytest.mark.parametrize("name", TAKEN)
def test_what_runs_is_inspected_and_placed(name: str, tmp_path: Path) -> None:
    path = written(TAKEN[name](), tmp_path)
    assert refusal(TAKEN[name]()) is None
    inspect_nir(path, path.with_suffix(".svg"), False, Console(file=io.StringIO()))
    schedule(lower(read_graph(path)))


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_run_is_refused_by_all_for_one_reason(name: str, tmp_path: Path) -> None:
    make, reason = REFUSED[name]
    assert reason in str(refusal(make()))
    with pytest.raises(GraphError, match=re.escape(reason)):
        lower(read_graph(written(make(), tmp_path)))


def test_a_batch_of_one_counts_for_nothing(tmp_path: Path) -> None:
    spikes = (np.random.default_rng(0).random((2, 6, 2, 4, 4)) < 0.5).astype(np.float32)
    plain, _ = Interpreter(of_one_batch((2, 4, 4))).run(spikes)
    batched, _ = Interpreter(of_one_batch((1, 2, 4, 4))).run(spikes[:, :, None])
    assert plain.any()
    np.testing.assert_array_equal(batched, plain)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int8, np.uint8, bool])
def test_numbers_of_any_type_weigh_what_they_say(kind: type) -> None:
    """Unsigned numbers and truth values must not wrap, nor be added as such."""
    weight = np.array([[1, 1], [0, 1], [1, 0]], kind)
    outputs, _ = Interpreter(weighted(weight)).run(np.ones((1, 1, 2), np.float32))
    np.testing.assert_array_equal(outputs[0, 0], [1, 1, 1])
    matrix = synapse_matrix(nir.Linear(weight))
    assert matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix.toarray(), weight.astype(float))


@pytest.mark.parametrize("shape", [(3,), (1,), (2, 3)])
def test_a_bias_belongs_to_the_last_axis_of_a_stack_of_maps(shape: tuple[int, ...]) -> None:
    """As numpy adds it to what the maps give, (2, 3)."""
    bias = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    found = bias_vector(nir.Affine(np.zeros((2, 3, 4)), bias))
    np.testing.assert_array_equal(found, (np.zeros((2, 3)) + bias).ravel())


def test_metadata_of_an_encoder_that_cannot_be_read_are_refused_by_all() -> None:
    for text, reason in (("{}", "no JSON of this project"), ('{"format": 99}', "metadata format 99"), ("!", "no JSON")):
        graph = built({"n": lif((2,), RNG)}, "x>n n>y", (2,), (2,), spikinghash=text)
        assert reason in str(refusal(graph))


def test_nested_graphs_are_counted(tmp_path: Path) -> None:
    path = written(nested(), tmp_path)
    structure = describe_structure(read_graph(path), None, "graph")
    assert (structure.neurons, structure.synapses) == (3, 15)
    network = read_network(path)
    assert sum(each.weights.nnz for each in network.projections if each.nodes) == 15
    assert sum(each.neurons for each in network.neurons) == 3


def test_simulators_are_given_flat_graphs_with_known_shapes(tmp_path: Path) -> None:
    graph = read_planned(written(nested(), tmp_path))
    assert set(graph.nodes) == {"x", "fc", "rec.lif", "rec.w", "y"}
    assert (input_shape(graph), neuron_shapes(graph)) == ((2,), {"rec.lif": (3,)})


def command_line(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "deploy.run",
        str(folder / "graph.nir"),
        "--input",
        str(folder / "x.npz"),
        "--json",
    ]
    return subprocess.run([*command, *options], capture_output=True, text=True, cwd=ROOT, check=True)


def test_an_assumed_time_step_and_silence_are_said(tmp_path: Path) -> None:
    """An IF with r = 1 and input 2 spikes in every step of 1 s, and never in two steps of 0.1 ms."""
    written(single_if(), tmp_path)
    np.savez(tmp_path / "x.npz", spikes=np.full((1, 20, 1), 2, np.float32))
    silent = command_line(tmp_path)
    assert not np.any(json.loads(silent.stdout)["outputs"])
    note, warning = silent.stderr.splitlines()
    assert note.startswith("note: graph.nir names no time step: 0.0001 s assumed (the default); --dt sets another")
    assert warning.startswith("warning: no neuron of graph.nir spiked in 1 x 20 steps of 0.0001 s: ")
    assert "--dt (1, if its IF neurons shall add up their inputs)" in warning
    firing = command_line(tmp_path, "--dt", "1")
    assert np.sum(json.loads(firing.stdout)["outputs"]) == 20
    assert firing.stderr == ""


def test_hidden_spikes_are_no_silence(tmp_path: Path) -> None:
    nodes = {"a": nir.Threshold(np.array([0.5])), "b": nir.Threshold(np.array([9.0]))}
    path = written(built(nodes, "x>a a>b b>y", (1,), (1,), dt=DT), tmp_path)
    assert run_on_file(path, tmp_path / "x.npz", "nir").remarks == ()


def test_weights_next_to_nothing_have_a_grid(tmp_path: Path) -> None:
    """A quotient beyond float64 is no reason to fail."""
    nodes = {"w": nir.Linear(np.array([[5e-324, 0.3]])), "n": lif((1,), RNG)}
    nodes["n"].v_leak = nodes["n"].v_reset = np.zeros(1)
    path = written(built(nodes, "x>w w>n n>y", (2,), (1,)), tmp_path)
    outputs, _ = EmulatorRunner().run(path, np.ones((1, 3, 2), np.float32))
    assert outputs.shape == (1, 3, 1)
