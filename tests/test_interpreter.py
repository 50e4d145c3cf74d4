"""The reference interpreter against the equations, one node and one step at a time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.nir.interpreter import Interpreter
from export.nir.read import read_graph, time_step
from export.nir.stepwise.plan import make_plan
from spikinghash.errors import GraphError
from tests.nir_doors import refusal
from tests.nir_graphs import (
    DT,
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
from tests.nir_oracle import oracle

SEEDS = st.integers(0, 2**32 - 1)


def check(graph: nir.NIRGraph, late: frozenset[tuple[str, str]] = frozenset(), **how: Any) -> None:
    """Every node, every step; and every command takes the graph."""
    assert refusal(graph) is None
    spikes = spikes_for(graph, **how)
    outputs, recorded = Interpreter(graph, DT).run(spikes, graph.nodes)
    expected = oracle(graph, spikes, late=late)
    for name, values in recorded.items():
        np.testing.assert_array_equal(values, expected[name].astype(np.float32), err_msg=name)
        assert np.unique(expected[name]).size > 1, f"{name} tells nothing"
    np.testing.assert_array_equal(outputs, recorded["y"])


@pytest.mark.parametrize("seed", [0, 1])
def test_every_primitive(seed: int) -> None:
    graph = all_primitives(seed)
    check(graph)
    used = {type(node) for node in graph.nodes.values()}
    unused = {name for name in nir.ir.__all__ if isinstance(getattr(nir, name, None), type)} - {
        k.__name__ for k in used
    }
    assert unused <= {"NIRGraph", "NIRNode"}


def test_cycles_delay_by_one_step() -> None:
    graph, closing = loops()
    assert make_plan(graph).late == closing
    check(graph, closing)


def test_published_kinds_of_network() -> None:
    check(recurrent_cuba(), frozenset({("lif1.w_rec", "lif1.lif")}), steps=20)
    check(nmnist_cnn(), samples=1, steps=6, rate=0.2)


def test_spikes_are_uint8_and_graded_values_float32() -> None:
    graph = all_primitives()
    _, recorded = Interpreter(graph).run(spikes_for(graph), graph.nodes)
    assert {recorded[name].dtype for name in ("lif", "if", "cuba_lif", "threshold")} == {np.dtype(np.uint8)}
    assert {recorded[name].dtype for name in ("li", "i", "cuba_li", "affine", "delay")} == {np.dtype(np.float32)}


def random_graph(seed: int, size: int) -> nir.NIRGraph:
    """Any neurons after one another, each fed by up to three earlier nodes, directly or through an Affine."""
    rng = np.random.default_rng(seed)
    nodes: dict[str, Any] = {}
    edges, sources = [], ["x"]
    for index in range(size):
        kinds = neurons((4,), rng)
        name = f"n{index}"
        nodes[name] = kinds[rng.choice(sorted(kinds))]
        for source in rng.choice(sources, min(len(sources), int(rng.integers(1, 4))), replace=False):
            between = f"{source}_{name}"
            if rng.random() < 0.7:
                nodes[between] = nir.Affine(quarters(rng, 4, 4), quarters(rng, 4))
                edges += [f"{source}>{between}", f"{between}>{name}"]
            else:
                edges.append(f"{source}>{name}")
        sources.append(name)
    return built(nodes, " ".join([*edges, f"{sources[-1]}>y"]), (4,), (4,))


@settings(max_examples=25)
@given(seed=SEEDS, size=st.integers(1, 7))
def test_random_acyclic_graphs(seed: int, size: int) -> None:
    graph = random_graph(seed, size)
    assert refusal(graph) is None
    spikes = spikes_for(graph, samples=2, steps=6, seed=seed)
    _, recorded = Interpreter(graph, DT).run(spikes, graph.nodes)
    expected = oracle(graph, spikes)
    for name, values in recorded.items():
        np.testing.assert_allclose(values, expected[name].astype(np.float32), rtol=1e-6, atol=1e-9, err_msg=name)


@settings(max_examples=15)
@given(seed=SEEDS)
def test_samples_are_independent(seed: int) -> None:
    graph, _ = loops(seed % 1000)
    spikes = spikes_for(graph, samples=3, steps=5, seed=seed)
    together = Interpreter(graph).run(spikes)[0]
    for index in range(3):
        np.testing.assert_array_equal(Interpreter(graph).run(spikes[index : index + 1])[0][0], together[index])


# --- files of other origin --------------------------------------------------------------------------------------------


def written(graph: nir.NIRGraph, folder: Path) -> Path:
    nir.write(str(folder / "graph.nir"), graph)
    return folder / "graph.nir"


@pytest.mark.parametrize("make", [all_primitives, recurrent_cuba, lambda: loops()[0]], ids=["all", "cuba", "loops"])
def test_file_runs_like_the_graph_in_memory(make: Callable[[], nir.NIRGraph], tmp_path: Path) -> None:
    graph = make()
    assert refusal(graph) is None
    spikes = spikes_for(graph)
    again = read_graph(written(graph, tmp_path))
    np.testing.assert_array_equal(Interpreter(graph).run(spikes)[0], Interpreter(again).run(spikes)[0])


def test_grouped_and_oblong_convolutions_pass_although_nir_mistypes_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    nodes = {
        "c": nir.Conv2d((6, 5), quarters(rng, 4, 2, 3, 1), 1, (1, 0), 1, 2, np.zeros(4)),
        "a": lif((4, 6, 5), rng),
    }
    graph = built(nodes, "x>c c>a a>y", (4, 6, 5), (4, 6, 5))
    path = written(graph, tmp_path)
    assert refusal(graph) is None
    with pytest.raises(ValueError, match="type"):
        nir.read(path)
    spikes = spikes_for(graph)
    np.testing.assert_array_equal(Interpreter(read_graph(path), DT).run(spikes)[0], oracle(graph, spikes)["y"])


def test_nested_graphs_equal_the_flat_graph(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    inner = {
        "w": nir.Affine(quarters(rng, 4, 4), quarters(rng, 4)),
        "a": cuba_lif((4,), rng),
        "back": nir.Linear(quarters(rng, 4, 4)),
    }
    loop = built(inner, "x>w w>a a>back back>a a>y", (4,), (4,))
    deep = built({"in": loop, "b": lif((4,), rng)}, "x>in in>b x>b b>y", (4,), (4,))
    nested = built({"g": deep, "h": loop}, "x>g g>h x>h h>y", (4,), (4,))
    flat = {
        "g.b": deep.nodes["b"],
        **{f"g.in.{k}": n for k, n in inner.items()},
        **{f"h.{k}": n for k, n in inner.items()},
    }
    edges = (
        "x>g.in.w g.in.w>g.in.a g.in.a>g.in.back g.in.back>g.in.a g.in.a>g.b x>g.b "
        "g.b>h.w x>h.w h.w>h.a h.a>h.back h.back>h.a h.a>y"
    )
    same = built(flat, edges, (4,), (4,))
    spikes, record = spikes_for(nested), ["g.in.a", "g.b", "h.a"]
    outputs, recorded = Interpreter(read_graph(written(nested, tmp_path))).run(spikes, record)
    expected, expected_recorded = Interpreter(same).run(spikes, record)
    np.testing.assert_array_equal(outputs, expected)
    assert outputs.any()
    assert refusal(nested) is refusal(same) is None
    for name in record:
        np.testing.assert_array_equal(recorded[name], expected_recorded[name])


def test_one_parameter_for_all_neurons() -> None:
    one, shape = np.ones(1), (2, 3)
    wide = nir.LIF(np.full(shape, 2 * DT), np.ones(shape), np.zeros(shape), np.full(shape, 0.3), np.zeros(shape))
    for narrow in (
        nir.LIF(2 * DT * one, one, 0 * one, 0.3 * one, 0 * one),
        nir.LIF(*(np.full((2, 1), value) for value in (2 * DT, 1.0, 0.0, 0.3, 0.0))),
    ):
        graphs = [built({"a": node}, "x>a a>y", shape, shape) for node in (wide, narrow)]
        spikes = spikes_for(graphs[0])
        assert [refusal(graph) for graph in graphs] == [None, None]
        first, second = (Interpreter(graph).run(spikes)[0] for graph in graphs)
        np.testing.assert_array_equal(first, second)
        assert first.any()


def test_shapes_that_the_graph_leaves_open() -> None:
    rng = np.random.default_rng(0)
    nodes = {
        "c": nir.Conv2d(None, quarters(rng, 3, 2, 3, 3), 1, "valid", 1, 1, quarters(rng, 3)),
        "p": nir.AvgPool2d(*(np.array([value, value]) for value in (2, 2, 0))),
        "f": nir.Flatten(None, start_dim=0),
    }
    graph = built(nodes, "x>c c>p p>f f>y", (2, 6, 6), (12,))  # which no file can hold
    spikes = spikes_for(graph)
    np.testing.assert_array_equal(Interpreter(graph, DT).run(spikes)[0], oracle(graph, spikes)["y"])


def test_ends_that_the_file_leaves_out() -> None:
    graph = nir.NIRGraph({"w": nir.Linear(np.eye(3)), "a": nir.I(np.full(3, 1 / DT))}, [("w", "a")], type_check=False)
    outputs, _ = Interpreter(graph).run(np.ones((1, 3, 3), np.float32))
    np.testing.assert_array_equal(outputs[0, :, 0], [1, 2, 3])
    assert refusal(graph) is None


def test_time_step_comes_from_metadata(tmp_path: Path) -> None:
    def outputs(**metadata: Any) -> list[float]:
        graph = built({"a": nir.I(np.ones(1))}, "x>a a>y", (1,), (1,), **metadata)
        read = read_graph(written(graph, tmp_path))
        return Interpreter(read).run(np.ones((1, 2, 1), np.float32))[0].ravel().tolist()

    assert outputs() == pytest.approx([1e-4, 2e-4])
    assert outputs(dt=0.5) == [0.5, 1.0]
    assert outputs(spikinghash='{"dt": 0.25}') == [0.25, 0.5]
    for bad in (0.0, "soon", float("nan")):
        graph = built({}, "x>y", (1,), (1,), dt=bad)
        with pytest.raises(GraphError, match="time step"):
            time_step(graph)
        assert "time step" in str(refusal(graph))


# --- what cannot run --------------------------------------------------------------------------------------------------


def through(node: Any, source: tuple[int, ...] = (2,), target: tuple[int, ...] = (2,)) -> nir.NIRGraph:
    return built({"n": node}, "x>n n>y", source, target)


def two_outputs() -> nir.NIRGraph:
    graph = through(nir.Linear(np.eye(2)))
    graph.nodes["z"] = nir.Output(np.array([2]))
    graph.edges.append(("n", "z"))
    return graph


TWO = np.ones(2)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda: through(nir.Delay(np.array([-DT, 0]))), "node n: delay -0.0001 s is negative"),
        (lambda: through(nir.LIF(0 * TWO, TWO, TWO, TWO, TWO)), "node n: tau is 0 s: a time constant must be positive"),
        (lambda: through(nir.CubaLI(-TWO, TWO, TWO, TWO)), "node n: tau_syn is -1 s"),
        (lambda: through(nir.Linear(np.ones((2, 3)))), r"node n: it takes shape \(3,\), but \(2,\) arrives"),
        (lambda: through(nir.Scale(np.ones(3))), r"node n: it takes shape \(3,\), but \(2,\) arrives"),
        (lambda: through(nir.Linear(np.eye(2)), target=(3,)), r"node y: it takes shape \(3,\), but \(2,\) arrives"),
        (lambda: built({"n": lif((2,), np.random.default_rng(0))}, "x>y", (2,), (2,)), "node n: nothing arrives at it"),
        (
            lambda: built({"n": nir.Linear(np.ones((3, 2)))}, "x>n n>y x>y", (2,), (3,)),
            r"node y: shapes \(3,\) and \(2,\) arrive",
        ),
        (lambda: built({"n": nir.Linear(np.ones((3, 2)))}, "x>n n>n n>y", (2,), (3,)), r"node n: it takes .* n sends"),
        (two_outputs, r"exactly one Output node, has 2 \(y, z\)"),
        (lambda: built({"z": nir.Input(np.array([2]))}, "x>y z>y", (2,), (2,)), r"one Input node, has 2 \(x, z\)"),
        (lambda: through(two_outputs()), "node n: this nested graph has 2 Output nodes"),
        (lambda: built({}, "x>y x>z", (2,), (2,)), "graph: .*'z' which does not exist"),
        (lambda: built({}, "x>y y>x", (2,), (2,)), "node x: an Input takes no edge, but y leads to it"),
        (
            lambda: through(nir.Conv2d((3, 3), np.ones((3, 1, 1, 1)), 1, 0, 1, 2, np.zeros(3)), (2, 3, 3), (3, 3, 3)),
            "node n: 3 output channels do not divide into 2 groups",
        ),
    ],
)  # fmt: skip
def test_refusals_name_node_and_reason(graph: Callable[[], nir.NIRGraph], message: str) -> None:
    with pytest.raises(GraphError, match=message) as caught:
        Interpreter(graph())
    assert refusal(graph()) == str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_primitive_names_itself_and_its_node(tmp_path: Path) -> None:
    path = written(built({"g": through(nir.Linear(np.eye(2)))}, "x>g g>y", (2,), (2,)), tmp_path)
    with h5py.File(path, "r+") as file:
        node = file["node/nodes/g/nodes/n"]
        del node["type"]
        node["type"] = "Izhikevich"
    with pytest.raises(GraphError, match=r"node g\.n: nir 1.* has no primitive Izhikevich"):
        read_graph(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.nir").write_text("not HDF5")
    nir.write(str(tmp_path / "single.nir"), nir.Linear(np.eye(2)))
    for name, message in (
        ("absent", "no such file"),
        ("text", "not a readable NIR file"),
        ("single", "holds a single Linear"),
    ):
        with pytest.raises(GraphError, match=message):
            read_graph(tmp_path / f"{name}.nir")
