"""The Lava backend, on the real Lava simulator, held against the equations step by step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from deploy.backends import lava_backend as backend_module
from deploy.backends.lava_backend import INTERPRETER_VARIABLE, LavaBackend, find_interpreter
from spikinghash.errors import GraphError, MissingToolError
from tests.nir_oracle import oracle

try:
    find_interpreter()
except MissingToolError:
    pytest.skip("no Lava environment", allow_module_level=True)

DT = 1e-4
SEPARATOR = "_to_"
Array = np.ndarray[Any, np.dtype[Any]]
PLACEMENTS = pytest.mark.parametrize("placement", ["merged", "layered"])


# --- graphs -----------------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(7)


def whole(*shape: int, low: int = -3, high: int = 3) -> Array:
    """Whole numbers, so that every sum is exact in whatever order it is taken."""
    return RNG.integers(low, high + 1, shape).astype(float)


def lif(*shape: int, threshold: float = 1.25, tau: float = 2 * DT, reset: float = 0) -> nir.LIF:
    full = np.full
    return nir.LIF(full(shape, tau), np.ones(shape), np.zeros(shape), full(shape, threshold), full(shape, reset))


def conv(size: int, c_in: int, c_out: int, kernel: int = 1) -> nir.Conv2d:
    return nir.Conv2d((size, size), whole(c_out, c_in, kernel, kernel), 1, kernel // 2, 1, 1, np.zeros(c_out))


def built(nodes: dict[str, Any], edges: str, source: tuple[int, ...], target: tuple[int, ...]) -> nir.NIRGraph:
    """A graph between ``x`` and ``y``; edges are written "x>a a>b b>y"."""
    named = {"x": nir.Input(np.array(source)), **nodes, "y": nir.Output(np.array(target))}
    pairs = [(a, b) for a, _, b in (edge.partition(">") for edge in edges.split())]
    return nir.NIRGraph(named, pairs, type_check=False)


@pytest.fixture(autouse=True)
def same_weights_in_every_order() -> None:
    """Graphs that a test builds have the same weights whichever tests ran before."""
    RNG.bit_generator.state = np.random.default_rng(7).bit_generator.state


def random_spikes(graph: nir.NIRGraph, samples: int = 3, steps: int = 9, rate: float = 0.5) -> Array:
    shape = tuple(graph.nodes["x"].input_type["input"])
    return (np.random.default_rng(3).random((samples, steps, *shape)) < rate).astype(np.float32)


def chained(node: Any, source: tuple[int, ...], target: tuple[int, ...]) -> nir.NIRGraph:
    return built({"n": node}, "x>n n>y", source, target)


def pool(kind: type, kernel: int, stride: int, padding: int) -> Any:
    return kind(*(np.array([value, value]) for value in (kernel, stride, padding)))


PRIMITIVES = {
    "affine": chained(nir.Affine(whole(4, 6), whole(4)), (6,), (4,)),
    "linear": chained(nir.Linear(whole(4, 6)), (6,), (4,)),
    "scale": chained(nir.Scale(whole(2, 3)), (2, 3), (2, 3)),
    "flatten": chained(nir.Flatten({"input": np.array([2, 3, 2])}, start_dim=0), (2, 3, 2), (12,)),
    "conv1d": chained(nir.Conv1d(9, whole(4, 2, 3), 2, 1, 2, 2, whole(4)), (4, 9), (4, 4)),
    "conv2d": chained(nir.Conv2d((6, 5), whole(4, 3, 3, 2), (2, 1), (1, 0), (1, 2), 1, whole(4)), (3, 6, 5), (4, 3, 3)),
    "conv2d groups": chained(nir.Conv2d((4, 4), whole(4, 2, 3, 3), 1, 1, 1, 2, whole(4)), (4, 4, 4), (4, 4, 4)),
    "sum pool": chained(pool(nir.SumPool2d, 3, 2, 1), (2, 6, 6), (2, 3, 3)),
    "average pool": chained(pool(nir.AvgPool2d, 2, 2, 0), (2, 6, 4), (2, 3, 2)),
    "lif": chained(
        nir.LIF(np.array([2, 4, 1, 2]) * DT, *np.array([[1.0, 2, 3, 1], [0, 1, 0, 2], [0.6, 1.2, 2, 0.9], [0] * 4])),
        (4,),
        (4,),
    ),
    "lif with reset potential": chained(lif(4, threshold=0.6, reset=-0.5), (4,), (4,)),
    "if": chained(nir.IF(np.array([1e4, 2e4, 5e3]), np.array([1.5, 2.5, 1.2]), np.zeros(3)), (3,), (3,)),
    "li": chained(nir.LI(np.array([2, 4, 1]) * DT, np.array([1.0, 2, 3]), np.array([0.0, 1, -2])), (3,), (3,)),
    "threshold": chained(nir.Threshold(np.array([0.5, -0.5, 1.0])), (3,), (3,)),
    "delay": chained(nir.Delay(np.array([0, 1, 2, 5]) * DT * 1.0001), (4,), (4,)),
}


def residual() -> nir.NIRGraph:
    """Two branches off one population, one of them two synapses longer, joined again, and a fan-out of the sum."""
    nodes = {
        "a": lif(3, 4, 4, threshold=0.4),
        "c1": conv(4, 3, 5, 3),
        "b": lif(5, 4, 4),
        "c2": conv(4, 5, 4),
        "c3": conv(4, 3, 4, 3),
        "join": lif(4, 4, 4),
        "left": nir.Linear(whole(4, 4, 3, 4)),
        "li": nir.LI(np.full((4, 4, 3), 4 * DT), np.ones((4, 4, 3)), np.ones((4, 4, 3))),
        "flat": nir.Flatten({"input": np.array([4, 4, 3])}, start_dim=0),
    }
    edges = "x>a a>c1 c1>b b>c2 a>c3 c2>join c3>join join>left left>li li>flat flat>y"
    return built(nodes, edges, (3, 4, 4), (48,))


def coincidence() -> nir.NIRGraph:
    """AND of a spike and a spike that comes two steps later, once memoryless and once as a LIF, and with its input."""
    nodes = {
        "a": lif(6, threshold=0.4),
        "late": nir.Delay(np.full(6, 2 * DT)),
        "and_": nir.Threshold(np.full(6, 1.5)),
        "like_and": lif(6, threshold=1.5, tau=DT),
        "both": nir.Threshold(np.full(6, 2.5)),
    }
    edges = "x>a x>late a>and_ late>and_ a>like_and late>like_and and_>both like_and>both x>both both>y"
    return built(nodes, edges, (6,), (6,))


def delays() -> nir.NIRGraph:
    """Delays in a row, before and behind linear nodes, with a bias that must not start before its delay has passed."""
    nodes = {
        "d1": nir.Delay(np.arange(6) * DT),
        "w": nir.Affine(whole(4, 6, low=-1, high=2), np.array([1.0, 0, 2, 0])),
        "d2": nir.Delay(np.array([0, 3, 1, 20]) * DT),
        "a": lif(4, threshold=0.8),
        "d3": nir.Delay(np.full(4, 3 * DT)),
        "b": nir.IF(np.full(4, 1e4), np.full(4, 1.5), np.zeros(4)),
    }
    return built(nodes, "x>d1 d1>w w>d2 d2>a w>a a>d3 d3>b a>b b>y", (6,), (4,))


def unequal_depth() -> nir.NIRGraph:
    """A join of paths with zero, one and three synapse processes, and of a source that skips all of them."""
    nodes = {
        "a": lif(5, threshold=0.4),
        "w1": nir.Linear(whole(5, 5)),
        "b": lif(5),
        "w2": nir.Affine(whole(5, 5), whole(5)),
        "c": nir.IF(np.full(5, 1e4), np.full(5, 2.5), np.full(5, -1.0)),
        "w3": nir.Linear(whole(5, 5)),
        "d": lif(5),
    }
    return built(nodes, "x>a a>w1 w1>b b>w2 w2>c c>w3 w3>d a>d b>d x>d d>y", (5,), (5,))


def silent() -> nir.NIRGraph:
    """Synapses without any weight: nothing joins these populations, and yet one of them spikes in every step."""
    nodes = {
        "none": nir.Linear(np.zeros((3, 3))),
        "always": nir.Threshold(np.full(3, -0.5)),
        "one": nir.Linear(np.eye(3) * [1, 0, 1]),
        "li": nir.LI(np.full(3, 2 * DT), np.ones(3), np.zeros(3)),
    }
    return built(nodes, "x>none none>always always>one one>li li>y", (3,), (3,))


TOPOLOGIES = {
    "residual": residual,
    "coincidence": coincidence,
    "delays": delays,
    "unequal depth": unequal_depth,
    "silent": silent,
}


def saved(graph: nir.NIRGraph, folder: Path) -> Path:
    nir.write(folder / "graph.nir", graph)
    return folder / "graph.nir"


def spiking(graph: nir.NIRGraph) -> list[str]:
    """Neurons, and the delays of spikes; ``d2`` delays currents."""
    kinds = (nir.LIF, nir.IF, nir.Threshold, nir.Delay)
    return [name for name, node in graph.nodes.items() if isinstance(node, kinds) and name != "d2"]


# --- equal to the reference -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitive_equals_reference(name: str, tmp_path: Path) -> None:
    graph = PRIMITIVES[name]
    spikes = random_spikes(graph)
    outputs, _ = LavaBackend().run(saved(graph, tmp_path), spikes)
    expected = oracle(graph, spikes)["y"]
    assert len(np.unique(expected)) > 1
    assert outputs.dtype == np.float32
    np.testing.assert_array_equal(outputs, expected)


@PLACEMENTS
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_topology_equals_reference(name: str, placement: Any, tmp_path: Path) -> None:
    graph = TOPOLOGIES[name]()
    spikes = random_spikes(graph)
    outputs, recorded = LavaBackend(placement).run(saved(graph, tmp_path), spikes, spiking(graph))
    expected = oracle(graph, spikes)
    np.testing.assert_array_equal(outputs, expected["y"])
    assert list(recorded) == spiking(graph)
    for node, values in recorded.items():
        assert values.dtype == np.uint8
        np.testing.assert_array_equal(values, np.array(expected[node]), err_msg=node)
        if not isinstance(graph.nodes[node], nir.Delay):
            assert values.any(), f"{node} tells nothing"


def random_graph(seed: int) -> nir.NIRGraph:
    """Populations on a 4x4 map, each fed by up to four earlier nodes through convolutions and delays."""
    generator = np.random.default_rng(seed)
    nodes: dict[str, Any] = {}
    edges, sources = [], ["x"]
    for index in range(12):
        name = f"n{index}"
        for source in generator.choice(sources, min(len(sources), generator.integers(1, 5)), replace=False):
            synapse, late = f"{source}{SEPARATOR}{name}", f"{source}_late{SEPARATOR}{name}"
            nodes[synapse] = nir.Conv2d((4, 4), generator.integers(-2, 4, (3, 3, 3, 3)) * 1.0, 1, 1, 1, 1, np.zeros(3))
            nodes[late] = nir.Delay(generator.integers(0, 4, (3, 4, 4)) * DT)
            edges += [f"{source}>{synapse}", f"{synapse}>{late}", f"{late}>{name}"]
        threshold = generator.integers(1, 8) + 2.0**-12
        kind = generator.integers(3)
        nodes[name] = (
            lif(3, 4, 4, threshold=threshold),
            nir.Threshold(np.full((3, 4, 4), threshold)),
            nir.IF(np.full((3, 4, 4), 1e4), np.full((3, 4, 4), threshold), np.zeros((3, 4, 4))),
        )[kind]
        sources.append(name)
    return built(nodes, " ".join([*edges, "n11>y"]), (3, 4, 4), (3, 4, 4))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_graph_equals_reference(seed: int, tmp_path: Path) -> None:
    graph = random_graph(seed)
    spikes, record = random_spikes(graph, samples=2, steps=7), [name for name in graph.nodes if name.startswith("n1")]
    record = [name for name in record if SEPARATOR not in name]
    outputs, recorded = LavaBackend().run(saved(graph, tmp_path), spikes, record)
    expected = oracle(graph, spikes)
    np.testing.assert_array_equal(outputs, expected["y"])
    for name in record:
        np.testing.assert_array_equal(recorded[name], expected[name], err_msg=name)


# --- windows and chunks -----------------------------------------------------------------------------------------------


@PLACEMENTS
def test_streamed_windows_equal_one_run_per_sample(placement: Any, tmp_path: Path) -> None:
    """State, delay lines and biases of one sample must not reach the next."""
    graph = delays()
    path, spikes = saved(graph, tmp_path), random_spikes(graph, samples=4, steps=5)
    spikes[1] = 0  # whatever moves in this window is bias, or was left over
    backend = LavaBackend(placement)
    streamed, recorded = backend.run(path, spikes, ["a", "d3", "b"])
    for index in range(len(spikes)):
        alone, alone_recorded = backend.run(path, spikes[index : index + 1], ["a", "d3", "b"])
        np.testing.assert_array_equal(streamed[index], alone[0])
        for name, values in alone_recorded.items():
            np.testing.assert_array_equal(recorded[name][index], values[0])


def test_chunks_equal_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = residual()
    path, spikes = saved(graph, tmp_path), random_spikes(graph, samples=5, steps=6)
    whole_run = LavaBackend().run(path, spikes, ["b"])
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(backend_module, "RECORDED_CHUNK_STEPS", 12)
    chunked = LavaBackend(on_progress=lambda *steps: told.append(steps)).run(path, spikes, ["b"])
    np.testing.assert_array_equal(whole_run[0], chunked[0])
    np.testing.assert_array_equal(whole_run[1]["b"], chunked[1]["b"])
    assert told == sorted(told)
    assert told[-1] == (30, 30)


# --- what cannot run --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda: chained(nir.Delay(np.array([-DT, 0])), (2,), (2,)), "node n: delay -0.0001 s is negative"),
        (
            lambda: chained(nir.Linear(np.ones((2, 3))), (2,), (2,)),
            r"node n: it takes shape \(3,\), but \(2,\) arrives",
        ),
        (lambda: built({"n": lif(2)}, "x>y", (2,), (2,)), "node n: nothing arrives at it"),
        (
            lambda: built({"z": nir.Input(np.array([2]))}, "x>y z>y", (2,), (2,)),
            r"exactly one Input node, has 2 \(x, z\)",
        ),
        (lambda: chained(lif(3), (3,), (3,)), r"graph takes \(3,\)"),
    ],
    ids=["negative delay", "shape", "unconnected", "two inputs", "input shape"],
)
def test_bad_graph_names_node_and_reason(graph: Callable[[], nir.NIRGraph], message: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=message) as caught:
        LavaBackend().run(saved(graph(), tmp_path), np.ones((1, 2, 2), np.float32))
    assert "\n" not in str(caught.value)


def test_bad_record_and_files(tmp_path: Path) -> None:
    path, spikes = saved(PRIMITIVES["linear"], tmp_path), np.ones((1, 2, 6), np.float32)
    with pytest.raises(GraphError, match="node z: the graph has no such node to record"):
        LavaBackend().run(path, spikes, ["z"])
    with pytest.raises(GraphError, match="node n: a Linear has no neurons to record"):
        LavaBackend().run(path, spikes, ["n"])
    with pytest.raises(GraphError, match="no such file"):
        LavaBackend().run(tmp_path / "absent.nir", spikes)
    with pytest.raises(GraphError, match=r"input has shape \(0, 2, 6\)"):
        LavaBackend().run(path, spikes[:0])
    (tmp_path / "text.nir").write_text("not HDF5")
    with pytest.raises(GraphError, match="not a readable NIR file"):
        LavaBackend().run(tmp_path / "text.nir", spikes)


def test_missing_environment_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERPRETER_VARIABLE, str(tmp_path / "python"))
    with pytest.raises(MissingToolError, match="run `spikinghash setup-lava`"):
        LavaBackend().run(saved(PRIMITIVES["lif"], tmp_path), np.ones((1, 2, 4), np.float32))
