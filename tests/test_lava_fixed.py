"""Loihi's fixed point: registers, the emulator and the Lava backend against loops, each other and Lava's models."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from benchmarks.lava import attention_graph as mapped
from benchmarks.lava import mapping_size
from deploy.backends.emulator import EmulatorRunner
from deploy.backends.lava_backend import LavaBackend, default_executor, find_interpreter
from export.loihi.bounds import Driving, Neurons
from export.loihi.registers import LARGEST_MANTISSA, LARGEST_SPLIT, WEIGHT_EXPONENT, registers
from export.nir.interpreter import Interpreter
from export.nir.marked_attention import MappingSize, MarkedAttention, as_gates, as_product
from export.synaptic.lowering import lower
from export.synaptic.schedule import schedule
from spikinghash.errors import GraphError, MissingToolError
from tests.lava_jobs import DT, LavaServer, graph_of, lif
from tests.lava_planes import planes

try:
    LAVA_PYTHON = find_interpreter()
except MissingToolError:
    pytest.skip("no Lava environment", allow_module_level=True)

Array = np.ndarray[Any, np.dtype[Any]]
few = settings(max_examples=40, derandomize=True)
many = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)


@pytest.fixture(scope="module")
def lava(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LavaServer]:
    server = LavaServer(LAVA_PYTHON, tmp_path_factory.mktemp("lava"))
    yield server
    server.close()


def emulate(graph: nir.NIRGraph, spikes: Array, folder: Path, record: tuple[str, ...] = ()) -> Any:
    nir.write(folder / "emulated.nir", graph)
    return EmulatorRunner().run(folder / "emulated.nir", spikes, record)


def random_spikes(graph: nir.NIRGraph, samples: int = 3, steps: int = 6, rate: float = 0.5) -> Array:
    shape = tuple(graph.nodes["x"].input_type["input"])
    return (np.random.default_rng(3).random((samples, steps, *shape)) < rate).astype(np.float32)


# --- registers --------------------------------------------------------------------------------------------------------


@few
@given(st.lists(st.integers(-LARGEST_SPLIT, LARGEST_SPLIT) | st.integers(-300, 300), min_size=1, max_size=20))
def test_planes_are_what_loihi_stores_and_add_up_to_the_weights(values: list[int]) -> None:
    stored = planes(sparse.csr_matrix(np.array([values])))
    assert len(stored) <= 2
    total = np.zeros(len(values), np.int64)
    for plane in stored:
        exponent, dense = plane.exponent, plane.mantissa.toarray()[0]
        assert exponent in WEIGHT_EXPONENT
        assert not np.any(dense % 2)
        assert -256 <= dense.min() <= dense.max() <= 254
        total += dense << exponent if exponent > 0 else dense >> -exponent
    np.testing.assert_array_equal(total, values)


def neurons(size: int, threshold: float = 1.0, decay: float = 0.5) -> Neurons:
    full = np.full
    return Neurons(full(size, decay), full(size, threshold), np.ones(size), np.zeros(size))


@few
@given(st.lists(st.floats(-2, 2), min_size=2, max_size=12))
def test_weights_that_are_no_whole_numbers_keep_eight_bits(values: list[float]) -> None:
    values[0] = 0.3
    found = registers("n", [Driving(sparse.csr_matrix(np.array([values])))], neurons(1, 1.0), 10)
    assert not found.exact
    units = found.weights[0].toarray()[0]
    error = np.abs(units / 2.0**found.fraction - values)
    assert error.max() <= np.abs(values).max() / LARGEST_MANTISSA
    assert np.abs(units).max() > LARGEST_MANTISSA / 2


@few
@given(st.lists(st.integers(-500, 500), min_size=1, max_size=12), st.integers(0, 900))
def test_whole_weights_and_thresholds_stay_as_they_are(values: list[int], threshold: int) -> None:
    found = registers("n", [Driving(sparse.csr_matrix(np.array([values])))], neurons(1, threshold + 2.0**-9), 8)
    assert found.exact
    np.testing.assert_array_equal(found.weights[0].toarray()[0], np.array(values) * 2**found.fraction)
    assert threshold * 2**found.fraction <= found.threshold[0] < (threshold + 1) * 2**found.fraction


LARGE = nir.Linear(np.full((1, 40), 30_002.0))
REFUSED = {
    "potential": (graph_of({"w": LARGE, "n": lif(1)}, "x>w w>n n>y", (40,), (1,)), "takes 27 bits, Loihi has 24"),
    "threshold": (graph_of({"n": lif(2, threshold=1e6)}, "x>n n>y", (2,), (2,)), "131071"),
    "negative threshold": (graph_of({"n": nir.Threshold(np.array([-0.5]))}, "x>n n>y", (1,), (1,)), "at least 0"),
    "reset": (graph_of({"n": lif(2, reset=-1)}, "x>n n>y", (2,), (2,)), "resets to 0"),
    "potentials as input": (
        graph_of({"a": nir.LI(*np.ones((3, 2)) * DT), "n": lif(2)}, "x>a a>n n>y", (2,), (2,)),
        "it gets potentials from a",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_register_is_refused_before_the_run(case: str, tmp_path: Path) -> None:
    graph, limit = REFUSED[case]
    with pytest.raises(GraphError, match=limit) as caught:
        emulate(graph, random_spikes(graph), tmp_path)
    assert str(caught.value).startswith("node n: ")
    assert "\n" not in str(caught.value)


def test_input_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    graph = graph_of({"n": lif(2)}, "x>n n>y", (2,), (2,))
    with pytest.raises(GraphError, match=r"input holds 0.5, fixed point takes whole numbers"):
        emulate(graph, np.full((1, 2, 2), 0.5), tmp_path)


# --- the emulator -----------------------------------------------------------------------------------------------------


def test_the_emulator_follows_a_loop_over_python_integers(tmp_path: Path) -> None:
    """Rounded weights, a decay of a third and a bias; one neuron at a time."""
    generator = np.random.default_rng(1)
    weight, bias = generator.normal(size=(5, 8)), generator.normal(size=5) / 10
    neuron = lif(5, threshold=0.7, tau=3 * DT)
    graph = graph_of({"w": nir.Affine(weight, bias), "n": neuron}, "x>w w>n n>y", (8,), (5,))
    spikes = random_spikes(graph, samples=4, steps=30)
    found, _ = emulate(graph, spikes, tmp_path)
    third = np.full(5, 1 / 3)
    sources = [Driving(sparse.csr_matrix(weight / 3)), Driving(sparse.csr_matrix(bias[:, None] / 3), 1, 1)]
    own = registers("n", sources, Neurons(third, np.full(5, 0.7), np.ones(5), np.zeros(5)), 30)
    synapses, always = (matrix.toarray() for matrix in own.weights)
    expected = np.zeros_like(found)
    for sample, k in np.ndindex(4, 5):
        v = 0
        for step in range(30):
            a = sum(int(w) for w, s in zip(synapses[k], spikes[sample, step], strict=True) if s) + int(always[k, 0])
            v = (abs(v) * (4096 - 1365) >> 12) * (1 if v >= 0 else -1) + a * 64
            if v > int(own.threshold[k]) << 6:
                expected[sample, step, k], v = 1, 0
    np.testing.assert_array_equal(found, expected)
    assert 0.02 < expected.mean() < 0.98


def random_graph(seed: int, whole: bool) -> nir.NIRGraph:
    """Populations of four neurons with fan-out, joins, delays, biases, self-connections and currents with memory."""
    generator = np.random.default_rng(seed)
    nodes: dict[str, Any] = {}
    edges, sources = [], ["x"]
    for index in range(generator.integers(2, 6)):
        name = f"n{index}"
        for source in generator.choice(sources, min(len(sources), generator.integers(1, 4)), replace=False):
            synapse, late = f"{source}_w_{name}", f"{source}_d_{name}"
            weight = generator.integers(-40, 60, (4, 4)) * 1.0 if whole else generator.normal(0.3, 1, (4, 4))
            bias = generator.integers(-4, 5, 4) * 2.0 if whole else generator.normal(0, 0.1, 4)
            nodes[synapse] = nir.Affine(2 * weight, bias)
            nodes[late] = nir.Delay(generator.integers(0, 3, 4) * DT)
            edges += [f"{source}>{synapse}", f"{synapse}>{late}", f"{late}>{name}"]
        if generator.random() < 0.4:
            nodes[f"{name}_self"] = nir.Linear(-2.0 * np.eye(4))
            edges += [f"{name}>{name}_self", f"{name}_self>{name}"]
        threshold = float(generator.integers(1, 60)) + 2.0**-12 if whole else float(generator.uniform(0.2, 2))
        ones = np.ones(4)
        nodes[name] = (
            lif(4, threshold=threshold),
            nir.Threshold(threshold * ones),
            nir.IF(1e4 * ones, threshold * ones, 0 * ones),
            nir.CubaLIF(3 * DT * ones, 2 * DT * ones, ones, 0.1 * ones, threshold * ones, 0 * ones, ones),
        )[generator.integers(3 if whole else 4)]
        sources.append(name)
    return graph_of(nodes, " ".join([*edges, f"{sources[-1]}>y"]), (4,), (4,))


def recorded(graph: nir.NIRGraph) -> tuple[str, ...]:
    return tuple(name for name in graph.nodes if name[0] == "n" and "_" not in name)


@many
@given(seed=st.integers(0, 2**16), whole=st.booleans())
def test_lava_equals_the_emulator_bit_for_bit(seed: int, whole: bool, lava: LavaServer, tmp_path: Path) -> None:
    graph = random_graph(seed, whole)
    spikes = random_spikes(graph, samples=3, steps=12)
    outputs, spiked = lava.run(graph, spikes, recorded(graph), numbers="fixed")
    expected, expected_spikes = emulate(graph, spikes, tmp_path, recorded(graph))
    np.testing.assert_array_equal(outputs, expected)
    for name in recorded(graph):
        np.testing.assert_array_equal(spiked[name], expected_spikes[name], err_msg=name)


@many
@given(seed=st.integers(0, 2**16))
def test_whole_numbers_in_short_windows_are_exact(seed: int, tmp_path: Path) -> None:
    """The float64 interpreter is the oracle: 6 binary digits hold what 6 halvings leave."""
    graph = random_graph(seed, whole=True)
    spikes = random_spikes(graph, steps=6)
    expected, expected_spikes = Interpreter(graph).run(spikes, recorded(graph))
    outputs, spiked = emulate(graph, spikes, tmp_path, recorded(graph))
    np.testing.assert_array_equal(outputs, expected)
    for name in recorded(graph):
        np.testing.assert_array_equal(spiked[name], expected_spikes[name], err_msg=name)


def test_potentials_leave_the_chip_in_the_units_of_the_graph(lava: LavaServer, tmp_path: Path) -> None:
    nodes = {"w": nir.Linear(np.array([[1.0, -3], [2, 5]])), "n": nir.LI(*np.array([[2 * DT] * 2, [1] * 2, [0] * 2]))}
    graph = graph_of(nodes, "x>w w>n n>y", (2,), (2,))
    spikes = random_spikes(graph, steps=5)
    expected, _ = Interpreter(graph).run(spikes)
    found, spiked = lava.run(graph, spikes, ("n",), numbers="fixed")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(spiked["n"], expected)
    np.testing.assert_array_equal(emulate(graph, spikes, tmp_path)[0], expected)


# --- Lava's own models ------------------------------------------------------------------------------------------------

STOCK = """
import sys
import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import Dense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF

def main():
    given = np.load(sys.argv[1])
    steps = given["spikes"].shape[1] + 1  # a Dense lags one step
    source = Source(data=np.pad(given["spikes"], ((0, 0), (0, 1))))
    size = len(given["mantissa0"])
    lif = LIF(shape=(size,), du=4095, dv=int(given["decay"]), vth=int(given["threshold"]))
    for plane in range(int(given["planes"])):
        dense = Dense(weights=given[f"mantissa{plane}"], weight_exp=int(given[f"exponent{plane}"]))
        source.s_out.connect(dense.s_in)
        dense.a_out.connect(lif.a_in)
    sink = Sink(shape=(size,), buffer=steps)
    lif.s_out.connect(sink.a_in)
    lif.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    spikes = sink.data.get()
    lif.stop()
    np.save(sys.argv[2], spikes[:, 1:])

if __name__ == "__main__":
    main()
"""


def test_a_layer_equals_lavas_stock_dense_and_lif(lava: LavaServer, tmp_path: Path) -> None:
    """Weights of more than 8 bits: two stock Dense processes with their exponents, one stock LIF, real Lava."""
    generator = np.random.default_rng(5)
    weight = generator.integers(-2000, 2001, (20, 30)) * 1.0
    graph = graph_of({"w": nir.Linear(2 * weight), "n": lif(20, threshold=1500.25)}, "x>w w>n n>y", (30,), (20,))
    spikes = random_spikes(graph, samples=1, steps=60, rate=0.3)
    own = registers("n", [Driving(sparse.csr_matrix(weight))], neurons(20, 1500.25), 60)
    stored = planes(own.weights[0])
    assert len(stored) == 2
    arrays = {f"mantissa{k}": plane.mantissa.toarray() for k, plane in enumerate(stored)}
    exponents = {f"exponent{k}": plane.exponent for k, plane in enumerate(stored)}
    values = {"planes": 2, "decay": own.decay[0], "threshold": own.threshold[0], **exponents}
    np.savez(tmp_path / "in.npz", spikes=spikes[0].T.astype(np.int64), **arrays, **values)
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "main.py").write_text(STOCK)
    command = ["timeout", "-k", "5", "120", LAVA_PYTHON, "job/main.py", "in.npz", "out.npy"]
    subprocess.run(command, cwd=tmp_path, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True)
    expected = np.load(tmp_path / "out.npy").T
    assert 0.02 < expected.mean() < 0.98
    np.testing.assert_array_equal(emulate(graph, spikes, tmp_path)[0][0], expected)
    np.testing.assert_array_equal(lava.run(graph, spikes, numbers="fixed")[0][0], expected)


# --- executors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("numbers", ["float", "fixed"])
@pytest.mark.parametrize("placement", ["merged", "layered"])
def test_both_executors_give_the_same(numbers: Any, placement: Any, lava: LavaServer, tmp_path: Path) -> None:
    graph = random_graph(11, whole=True)
    spikes = random_spikes(graph, samples=4)
    nir.write(tmp_path / "graph.nir", graph)
    backend = LavaBackend(placement, numbers=numbers, executor="processes")
    outputs, spiked = backend.run(tmp_path / "graph.nir", spikes, recorded(graph))
    local, spiked_locally = lava.run(graph, spikes, recorded(graph), numbers=numbers, placement=placement)
    np.testing.assert_array_equal(outputs, local)
    assert any(values.any() for values in spiked.values())
    for name, values in spiked.items():
        np.testing.assert_array_equal(values, spiked_locally[name], err_msg=name)


@many
@given(seed=st.integers(0, 2**16), numbers=st.sampled_from(["float", "fixed"]))
def test_streamed_windows_equal_one_run_per_sample(seed: int, numbers: str, lava: LavaServer) -> None:
    graph = random_graph(seed, whole=True)
    spikes = random_spikes(graph, samples=3, steps=5)
    streamed, _ = lava.run(graph, spikes, numbers=numbers)
    alone, _ = lava.run(graph, spikes[1:2], numbers=numbers)
    np.testing.assert_array_equal(streamed[1], alone[0])


def test_the_number_of_samples_chooses_the_executor() -> None:
    assert default_executor(1) == "local"
    assert default_executor(100_000) == "processes"


# --- attention --------------------------------------------------------------------------------------------------------

ATTENTION = MarkedAttention((4, 1, 3), heads=2)


def gates() -> tuple[Array, Array]:
    """Matrices into and out of the coincidence gates of ``ATTENTION``, gate by gate."""
    channels, _, tokens = ATTENTION.shape
    width = channels // ATTENTION.heads
    axes = (ATTENTION.heads, width, width, tokens, tokens)
    into, total = np.zeros((np.prod(axes), 3 * channels * tokens)), np.zeros((channels * tokens, np.prod(axes)))
    for gate, (head, a, b, i, j) in enumerate(np.ndindex(*axes)):
        for part, (channel, token) in enumerate(((a, i), (a, j), (b, j))):
            into[gate, (part * channels + head * width + channel) * tokens + token] = 1
        total[(head * width + b) * tokens + i, gate] = 1
    return into, total


def attention_graph(marked: bool) -> nir.NIRGraph:
    """One population of queries, keys and values, their counts, and a population behind a map of the counts."""
    generator = np.random.default_rng(2)
    project = nir.Conv2d((1, 3), generator.integers(-2, 5, (12, 6, 1, 1)) * 2.0, 1, 0, 1, 1, np.zeros(12))
    nodes: dict[str, Any] = {"w": project, "qkv": lif(12, 1, 3, threshold=0.5)}
    nodes["mix"] = nir.Linear(generator.integers(-3, 6, (7, 12)) * 2.0)
    nodes["out"] = lif(7, threshold=9.25)
    if marked:
        nodes |= {"counts": ATTENTION.subgraph(), "flat": nir.Flatten({"input": np.array([4, 1, 3])}, 0)}
        way = "qkv>counts counts>flat flat>mix"
    else:
        into, total = gates()
        flat = nir.Flatten({"input": np.array([12, 1, 3])}, 0)
        nodes |= {"flat": flat, "into": nir.Linear(into), "gates": nir.Threshold(np.full(len(into), 2.5))}
        nodes["sum"] = nir.Linear(total)
        way = "qkv>flat flat>into into>gates gates>sum sum>mix"
    return graph_of(nodes, f"x>w w>qkv {way} mix>out out>y", (6, 1, 3), (7,))


@pytest.mark.parametrize("numbers", ["float", "fixed"])
def test_one_product_equals_the_coincidence_gates(numbers: str, lava: LavaServer, tmp_path: Path) -> None:
    marked, expanded = attention_graph(True), attention_graph(False)
    spikes = random_spikes(marked, samples=4, steps=6)
    product, counts = lava.run(marked, spikes, ("counts",), numbers=numbers)
    expected, _ = lava.run(expanded, spikes, numbers=numbers)
    np.testing.assert_array_equal(product, expected)
    assert 0.05 < expected.mean() < 0.95
    interpreted, wanted = Interpreter(marked).run(spikes, ["counts"])
    np.testing.assert_array_equal(counts["counts"], wanted["counts"])
    np.testing.assert_array_equal(product, interpreted)
    assert wanted["counts"].max() > 1
    if numbers == "fixed":
        np.testing.assert_array_equal(emulate(marked, spikes, tmp_path)[0], expected)


def test_a_product_runs_in_lavas_own_runtime(tmp_path: Path) -> None:
    graph = attention_graph(True)
    nir.write(tmp_path / "graph.nir", graph)
    spikes = random_spikes(graph, samples=2)
    found, _ = LavaBackend(executor="processes").run(tmp_path / "graph.nir", spikes)
    np.testing.assert_array_equal(found, Interpreter(graph).run(spikes)[0])


@pytest.mark.parametrize("attention", [ATTENTION, MarkedAttention((6, 2, 2), heads=3)], ids=str)
def test_what_both_mappings_take_is_what_the_lowered_networks_hold(attention: MarkedAttention) -> None:
    """Behind the counts stands a neuron each, read out by a synapse and in a step of its own."""
    counts = int(np.prod(attention.shape))
    for marked, size in ((True, as_product(attention)), (False, as_gates(attention))):
        found = mapping_size(lower(mapped(attention, marked)))
        assert found == MappingSize(size.neurons + counts, size.synapses + counts, size.steps + 1)


def test_lava_runs_as_many_steps_as_the_schedule_says(lava: LavaServer) -> None:
    """What the recorder wrote, row by row: the output is there the schedule's depth late, and not sooner."""
    nodes = {"a": lif(3, threshold=0.25), "later": nir.Delay(np.array([0, 1, 2]) * DT), "b": lif(3, threshold=0.25)}
    graph = graph_of(nodes, "x>a a>later later>b x>b b>y", (3,), (3,))
    spikes = np.ones((1, 6, 3), np.float32)
    depth = schedule(lower(graph)).depth
    output, _ = lava.run(graph, spikes)
    rows = np.load(lava.last_job / "recorded_node_y.npy")
    assert depth == 3
    assert len(rows) == schedule(lower(graph)).steps(6)
    np.testing.assert_array_equal(rows[depth:], output[0])
    assert not rows[:depth].any()
    assert output[0, 0].any()
