"""How many steps a spike takes where every hop takes one, against a machine that is simulated hop by hop."""

from itertools import pairwise

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.nir.interpreter import Interpreter
from export.synaptic.lowering import lower
from export.synaptic.populations import SynapseNetwork
from export.synaptic.schedule import schedule
from tests.nir_graphs import DT, Array, built


def gate(size: int) -> nir.Threshold:
    return nir.Threshold(np.full(size, 0.5))


def chain(length: int) -> nir.NIRGraph:
    """Populations in a row, one to one."""
    names = ["x", *(f"n{i}" for i in range(length)), "y"]
    nodes = {name: gate(2) for name in names[1:-1]}
    return built(nodes, " ".join(f"{a}>{b}" for a, b in pairwise(names)), (2,), (2,))


def pipeline_depth(graph: nir.NIRGraph) -> int:
    """Machine steps by which the output lags behind the graph's own time."""
    return schedule(lower(graph)).depth


def hop_by_hop(network: SynapseNetwork, frames: Array, steps: int) -> Array:
    """What arrives at the output of a machine of memoryless gates, (steps, outputs): each synapse takes one step.

    A synapse that the schedule lets wait holds its spikes for as long, and not a step less than the machine needs.
    """
    timing = schedule(network)
    sent = {population.name: np.zeros((steps, population.neurons)) for population in network.populations}
    for now in range(steps):
        if now < len(frames):
            sent[network.input.name][now] = frames[now]
        for target in (*network.neurons, network.by_name[network.output]):
            arriving = np.zeros(target.neurons)
            for part in network.arriving[target.name]:
                held = part.delay + timing.latencies[target.name] - timing.latencies[part.source]
                assert held >= 1, "no spike arrives in the step in which it is sent"
                if now >= held:
                    arriving += part.weights @ sent[part.source][now - held]
            sent[target.name][now] = arriving if target.rule is None else arriving > target.dynamics.threshold
    return sent[network.output]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_chain_is_as_deep_as_it_has_hops(length: int) -> None:
    assert pipeline_depth(chain(length)) == length + 1


def test_linear_nodes_take_no_hop_and_delays_hide_hops() -> None:
    nodes = {"a": gate(2), "w": nir.Linear(np.eye(2)), "v": nir.Linear(np.eye(2)), "b": gate(2)}
    assert pipeline_depth(built(nodes, "x>a a>w w>v v>b b>y", (2,), (2,))) == 3
    nodes |= {"later": nir.Delay(np.full(2, DT))}
    assert pipeline_depth(built(nodes, "x>a a>w w>later later>v v>b b>y", (2,), (2,))) == 2


def test_the_longest_way_counts() -> None:
    nodes = {name: gate(2) for name in "abc"}
    assert pipeline_depth(built(nodes, "x>a a>b b>c x>c c>y", (2,), (2,))) == 4


def test_a_cycle_with_more_hops_than_delay_slows_the_machine_down() -> None:
    nodes = {name: gate(2) for name in "ab"}
    timing = schedule(lower(built(nodes, "x>a a>b b>a b>y", (2,), (2,))))
    assert (timing.pace, timing.depth, timing.steps(10)) == (2, 3, 23)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), size=st.integers(1, 5))
def test_a_machine_that_hops_gives_the_output_that_many_steps_later(data: st.DataObject, size: int) -> None:
    names = [f"n{i}" for i in range(size)]
    edges = ["x>n0", f"{names[-1]}>y"]
    nodes: dict[str, nir.NIRNode] = {name: gate(3) for name in names}
    for index, name in enumerate(names[1:], 1):
        for source in data.draw(st.sets(st.sampled_from(["x", *names[:index]]), min_size=1), label=name):
            lag = data.draw(st.integers(0, 2))
            nodes[f"{source}_{name}"] = nir.Delay(np.full(3, lag * DT))
            edges += [f"{source}>{source}_{name}", f"{source}_{name}>{name}"]
    graph = built(nodes, " ".join(edges), (3,), (3,))
    frames = np.random.default_rng(size).integers(0, 2, (12, 3)).astype(np.float32)
    depth = pipeline_depth(graph)
    expected = Interpreter(graph).run(frames[None])[0][0]
    found = hop_by_hop(lower(graph), frames, 12 + depth)
    np.testing.assert_array_equal(found[depth:], expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), exact=st.booleans())
def test_narrow_weights_are_the_same_numbers(seed: int, exact: bool) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.integers(-3, 4, (3, 3)) / (4 if exact else 3)
    weights[0, 0] = 0.5 if exact else 0.1
    nodes = {"w": nir.Linear(weights), "v": nir.Linear(weights.T), "a": gate(3), "b": gate(3)}
    graph = built(nodes, "x>w w>a w>v v>b a>b b>y", (3,), (3,))  # the first map is read twice
    wide, narrow = (lower(graph, narrow=each) for each in (False, True))
    for one, other in zip(wide.projections, narrow.projections, strict=True):
        assert np.array_equal(one.weights.toarray(), other.weights.toarray())
    onto_a = narrow.arriving["a"][0].weights
    assert onto_a.dtype == (np.float32 if exact else np.float64)
    assert np.array_equal(onto_a.toarray(), weights)


@pytest.mark.parametrize(
    ("largest", "kind"), [(127, np.int8), (-129, np.int16), (2**15, np.float32), (2**24 + 1, float)]
)
def test_whole_weights_take_as_few_bytes_as_hold_them(largest: int, kind: type) -> None:
    nodes = {"w": nir.Linear(np.array([[largest, 0.0], [1.0, -1.0]])), "a": gate(2)}
    weights = lower(built(nodes, "x>w w>a a>y", (2,), (2,)), narrow=True).arriving["a"][0].weights
    assert weights.dtype == kind
    assert weights.toarray().tolist() == [[largest, 0], [1, -1]]


def test_narrow_weights_take_nothing_from_sums_that_are_made_later() -> None:
    nodes = {"w": nir.Linear(np.array([[100.0]])), "v": nir.Linear(np.array([[100.0]])), "a": gate(1), "b": gate(1)}
    network = lower(built(nodes, "x>w x>v w>a w>b v>b a>y b>y", (1,), (1,)), narrow=True)
    assert [part.weights.toarray().tolist() for part in network.arriving["a"]] == [[[100]]]
    assert [part.weights.toarray().tolist() for part in network.arriving["b"]] == [[[200]]]
