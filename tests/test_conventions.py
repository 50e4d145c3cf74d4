"""The time step of files that name none, and the numbers of other tools' files, against the tools' equations."""

from pathlib import Path

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.backends.graph_run import run_on_file
from export.nir.conventions import as_meant_by
from export.nir.interpreter import Interpreter
from export.nir.read import assumed_time_step, time_step
from export.nir.tools import Tool
from spikinghash.errors import GraphError, SpikinghashError
from tests.nir_graphs import built, nmnist_cnn

NO_SIGN = (1e-4, "the default")


def lif(tau: float, r: float, size: int = 2) -> nir.LIF:
    return nir.LIF(np.full(size, tau), np.full(size, r), np.zeros(size), np.full(size, 0.7), np.zeros(size))


def chain(*neurons: nir.NIRNode) -> nir.NIRGraph:
    names = [f"n{number}" for number in range(len(neurons))]
    edges = " ".join(f"{a}>{b}" for a, b in zip(["x", *names], [*names, "y"], strict=True))
    return built(dict(zip(names, neurons, strict=True)), edges, (2,), (2,))


@given(st.sampled_from([1e-5, 1e-4, 1e-3, 2e-3, 0.05]), st.lists(st.floats(1.01, 1e3), min_size=1, max_size=4))
def test_neurons_that_add_their_input_as_it_is_tell_the_step(dt: float, steps: list[float]) -> None:
    """As snnTorch writes it, in float32."""
    graph = chain(*(lif(np.float32(dt * each), np.float32(each)) for each in steps))
    assert assumed_time_step(graph) == (dt, "r dt/tau is 1 with it in all neurons")
    assert time_step(graph) == dt


def test_what_tells_no_step() -> None:
    one, two = np.ones(2), np.full(2, 0.5)
    assert assumed_time_step(chain(lif(2e-3, 1.0))) == NO_SIGN
    assert assumed_time_step(chain(nir.IF(one, one, 0 * one))) == NO_SIGN
    assert assumed_time_step(chain(lif(2e-3, 2.0), lif(2e-3, 4.0))) == NO_SIGN
    assert assumed_time_step(chain(lif(2e-3, 2.0), lif(2e-3, 1.0))) == NO_SIGN
    assert assumed_time_step(chain(lif(4.0, 2.0))) == NO_SIGN, "two seconds are no step"
    assert assumed_time_step(chain(nir.Threshold(two))) == NO_SIGN
    rockpool = 20e-3 * np.exp(-1e-3 / 20e-3) / 1e-3
    assert assumed_time_step(chain(lif(20e-3, rockpool))) == NO_SIGN
    counting = nir.IF(np.full(2, 1e3), one, 0 * one)
    assert assumed_time_step(chain(counting, lif(2e-3, 2.0)))[0] == 1e-3


def potentials(tool: Tool, neuron: nir.LIF, currents: np.ndarray) -> np.ndarray:
    """What the tool's own equation makes of currents (steps, neurons): spikes, for tau and threshold as in its file."""
    v, spikes = np.zeros(currents.shape[1]), []
    for current in currents:
        if tool == "norse":  # tau in the file is dt / tau_mem_inv
            v = v + 1e-3 * (1e-3 / neuron.tau) * (neuron.v_leak - v + current)
        elif tool == "sinabs":
            v = np.exp(-1 / neuron.tau) * v + current
        else:
            v = (1 - 1e-4 / neuron.tau) * v + neuron.r * 1e-4 / neuron.tau * current
        spikes.append(v > neuron.v_threshold)
        v = np.where(spikes[-1], 0, v)
    return np.array(spikes)


@settings(deadline=None)
@given(st.sampled_from(["norse", "snntorch", "spikingjelly", "sinabs"]), st.floats(1.5, 50), st.integers(0, 2**31))
def test_a_leaky_neuron_spikes_as_in_the_tool(tool: Tool, steps: float, seed: int) -> None:
    unit = {"norse": 1e-6, "sinabs": 1.0}.get(tool, 1e-4)
    neuron = lif(steps * unit, 1.0 if tool != "snntorch" else steps)
    currents = np.random.default_rng(seed).normal(0.5, 1, (40, 2)).astype(np.float32)
    graph = as_meant_by(chain(neuron), tool)
    outputs, _ = Interpreter(graph).run(currents[None])
    np.testing.assert_array_equal(outputs[0], potentials(tool, neuron, currents))


def sinabs_cnn(nested: bool = False) -> nir.NIRGraph:
    """The NIR paper's N-MNIST network as sinabs writes it: IF neurons with r = 1 and threshold 1."""
    graph = nmnist_cnn()
    for name, node in graph.nodes.items():
        if isinstance(node, nir.IF):
            graph.nodes[name] = nir.IF(np.ones_like(node.r), node.v_threshold, node.v_reset)
    if not nested:
        return graph
    shapes = (2, 34, 34), (10,)
    return built({"whole": graph}, "x>whole whole>y", *shapes)


@pytest.mark.parametrize("nested", [False, True])
def test_the_papers_network_spikes_as_sinabs_means_it_and_is_said_to_be_silent_else(
    nested: bool, tmp_path: Path
) -> None:
    graph = sinabs_cnn(nested)
    path = tmp_path / "cnn_sinabs.nir"
    nir.write(str(path), graph)
    spikes = (np.random.default_rng(0).random((1, 6, 2, 34, 34)) < 0.3).astype(np.float32)
    np.savez(tmp_path / "x.npz", spikes=spikes)
    silent = run_on_file(path, tmp_path / "x.npz", "nir")
    assert not silent.outputs.any()
    note, warning = silent.remarks
    assert "0.0001 s assumed (the default)" in note
    assert "no neuron of cnn_sinabs.nir spiked" in warning
    meant = run_on_file(path, tmp_path / "x.npz", "nir", tool="sinabs")
    assert meant.outputs.any()
    assert meant.remarks == ()
    np.testing.assert_array_equal(meant.outputs, run_on_file(path, tmp_path / "x.npz", "nir", dt=1.0).outputs)
    np.testing.assert_array_equal(meant.outputs, Interpreter(nmnist_cnn()).run(spikes)[0])


def test_what_has_no_rule_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="node n0: --from sinabs: no rule for a Threshold, only for IF, LIF, LI"):
        as_meant_by(chain(nir.Threshold(np.ones(2))), "sinabs")
    nir.write(str(tmp_path / "g.nir"), chain(lif(1e-3, 1)))
    np.savez(tmp_path / "x.npz", spikes=np.ones((1, 2, 2), np.float32))
    with pytest.raises(SpikinghashError, match="--from norse: norse takes the time step from its own importer"):
        run_on_file(tmp_path / "g.nir", tmp_path / "x.npz", "norse", tool="norse")
    with pytest.raises(SpikinghashError, match="--dt 1: with --from sinabs"):
        run_on_file(tmp_path / "g.nir", tmp_path / "x.npz", "nir", dt=1.0, tool="sinabs")
