"""The portable constructs in four simulators, spike by spike against a float64 reference."""

import os
import subprocess
import sys
import time
from pathlib import Path

import nir
import numpy as np
import pytest
from portable_cases import CASES, random_spikes, weights
from portable_graphs import Array, Builder, simulate

from deploy.backends import simulators
from deploy.backends.simulator_backend import INTERPRETER_VARIABLE, SimulatorBackend, find_interpreter
from deploy.backends.simulators import RUNNERS
from deploy.backends.simulators.graphs import neuron_shapes
from spikinghash.errors import BackendError, GraphError, MissingToolError


def environment_exists() -> bool:
    try:
        find_interpreter()
    except MissingToolError:
        return False
    return True


needs_simulators = pytest.mark.skipif(not environment_exists(), reason="no simulators: make interop-setup")


def small(builder: Builder) -> None:
    """One convolution and one LIF."""
    current = builder.conv("conv", builder.input(2, 4, 4), weights(1, 3, 2, 3, 3), padding=1)
    builder.output(builder.neurons("lif", [current], 40 + 2**-9))


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    builder = Builder()
    small(builder)
    return builder.write(tmp_path / "small.nir")


@needs_simulators
@pytest.mark.parametrize("simulator", RUNNERS)
@pytest.mark.parametrize("case", CASES)
def test_every_neuron_spikes_as_in_the_reference(case: str, simulator: str, tmp_path: Path) -> None:
    builder = Builder(dense=simulator == "sc-neurocore")
    spikes = CASES[case](builder)
    path = builder.write(tmp_path / "graph.nir")
    names = [name for name, node in builder.nodes.items() if isinstance(node, nir.LIF)]
    given = spikes.reshape(*spikes.shape[:2], -1) if builder.dense else spikes
    outputs, recorded = SimulatorBackend(simulator, time_limit=120).run(path, given, names)
    expected = simulate(builder, spikes)
    for name in names:
        assert 0 < expected[name].mean() < 1, f"{name} tests nothing"
        np.testing.assert_array_equal(recorded[name].reshape(expected[name].shape), expected[name], err_msg=name)
    np.testing.assert_array_equal(outputs.reshape(expected["output"].shape), expected["output"])


def reference(case: str) -> tuple[Array, Array]:
    builder = Builder()
    spikes = CASES[case](builder)
    return spikes.astype(float), simulate(builder, spikes)["output"]


def test_tap_n_of_a_shift_register_is_the_input_n_steps_ago() -> None:
    spikes, taps = reference("shift_registers")
    for delay in range(1, 8):
        np.testing.assert_array_equal(taps[:, delay:, 3 * (delay - 1) : 3 * delay], spikes[:, :-delay])
        assert not taps[:, :delay, 3 * (delay - 1) : 3 * delay].any()


def test_block_clocks_spike_at_the_last_step_of_every_block() -> None:
    spikes, ticks = reference("block_clocks")
    for channel, period in enumerate((2, 4, 8)):
        expected = np.arange(1, spikes.shape[1] + 1) % period == 0
        np.testing.assert_array_equal(ticks[0, :, channel, 0, 0], expected)


def test_the_vote_counter_spikes_at_every_fifth_vote() -> None:
    spikes, decisions = reference("vote_counter")
    np.testing.assert_array_equal(decisions, (spikes == 1) & (spikes.cumsum(axis=1) % 5 == 0))


def test_a_coincidence_is_the_product_of_its_operands() -> None:
    spikes, both = reference("coincidence")
    np.testing.assert_array_equal(both, spikes[:, :, 0:2] * spikes[:, :, 2:4] * spikes[:, :, 4:6])


def test_written_out_convolutions_compute_the_same() -> None:
    for case in CASES.values():
        builder, dense = Builder(), Builder(dense=True)
        spikes = case(builder)
        case(dense)
        np.testing.assert_array_equal(simulate(builder, spikes)["output"], simulate(dense, spikes)["output"])


@needs_simulators
def test_chunks_of_samples_join_in_order(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spikes = random_spikes(3, 3, 6, 2, 4, 4)
    backend = SimulatorBackend("norse")
    outputs, recorded = backend.run(graph, spikes, ["lif"])
    monkeypatch.setattr("deploy.backends.simulator_backend.CHUNK_BYTES", 2 * 6 * (4 * 32 + 4 * 48 + 48))
    again, recorded_again = backend.run(graph, spikes, ["lif"])
    np.testing.assert_array_equal(again, outputs)
    np.testing.assert_array_equal(recorded_again["lif"], recorded["lif"])
    np.testing.assert_array_equal(recorded["lif"], outputs != 0)


@needs_simulators
def test_a_changed_weight_changes_spikes(tmp_path: Path) -> None:
    spikes = np.ones((1, 8, 1, 1, 1), dtype=np.float32)
    trains = []
    for weight in (79, 80):  # v approaches the weight: 79 (1 - 2^-8) < 79 < 79.3
        builder = Builder()
        current = builder.conv("conv", builder.input(1, 1, 1), [[[[weight]]]])
        builder.output(builder.neurons("lif", [current], 79.3))
        trains.append(SimulatorBackend("snntorch").run(builder.write(tmp_path / "graph.nir"), spikes)[0].sum())
    assert trains == [0, 1]


def test_an_unknown_simulator_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BackendError, match="no simulator 'brian'; choose one of norse, snntorch"):
        SimulatorBackend("brian")


def test_a_missing_environment_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERPRETER_VARIABLE, str(tmp_path / "python"))
    with pytest.raises(MissingToolError, match="make interop-setup"):
        SimulatorBackend("norse")


def test_an_interpreter_without_the_simulator_says_so(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERPRETER_VARIABLE, sys.executable)
    with pytest.raises(BackendError, match=r"^sc-neurocore: No module named 'sc_neurocore' in .*make interop-setup'$"):
        SimulatorBackend("sc-neurocore").run(graph, random_spikes(0, 1, 2, 2, 4, 4))


@needs_simulators
def test_wrong_requests_are_refused_before_a_simulator_starts(graph: Path) -> None:
    backend = SimulatorBackend("norse")
    with pytest.raises(GraphError, match=r"input of shape \(1, 2, 32\); needs \(samples, steps, 2, 4, 4\)"):
        backend.run(graph, random_spikes(0, 1, 2, 32))
    with pytest.raises(GraphError, match=r"input of shape \(0, 2, 2, 4, 4\)"):
        backend.run(graph, random_spikes(0, 0, 2, 2, 4, 4))
    with pytest.raises(GraphError, match="cannot record 'conv': not one of the 1 spiking nodes"):
        backend.run(graph, random_spikes(0, 1, 2, 2, 4, 4), ["conv"])


@needs_simulators
def test_broken_files_and_foreign_time_steps_are_refused(graph: Path, tmp_path: Path) -> None:
    backend = SimulatorBackend("norse")
    spikes = random_spikes(0, 1, 2, 2, 4, 4)
    truncated = tmp_path / "truncated.nir"
    truncated.write_bytes(graph.read_bytes()[:1000])
    with pytest.raises(GraphError, match="not a readable NIR file"):
        backend.run(truncated, spikes)
    for metadata, complaint in (('{"dt": 0.001}', "time step 0.001 s"), ("[", "broken metadata"), ("[1]", "broken")):
        content = nir.read(graph)
        content.metadata["spikinghash"] = metadata
        nir.write(tmp_path / "other.nir", content)
        with pytest.raises(GraphError, match=complaint):
            backend.run(tmp_path / "other.nir", spikes)


@needs_simulators
def test_a_dead_end_is_refused(tmp_path: Path) -> None:
    builder = Builder()
    small(builder)
    builder.conv("idle", "lif", weights(2, 2, 3, 1, 1))
    with pytest.raises(GraphError, match=r"needs exactly one Output node, has 2 \(output, output_idle\)"):
        SimulatorBackend("norse").run(builder.write(tmp_path / "graph.nir"), random_spikes(0, 1, 2, 2, 4, 4))


@needs_simulators
@pytest.mark.parametrize("simulator", ["snntorch", "spikingjelly"])
def test_a_graph_that_a_simulator_refuses_gives_one_line(graph: Path, simulator: str) -> None:
    content = nir.read(graph)
    content.nodes["lif"].v_threshold[0] = 7
    nir.write(graph, content)
    with pytest.raises(BackendError) as caught:
        SimulatorBackend(simulator).run(graph, random_spikes(0, 1, 2, 2, 4, 4))
    assert str(caught.value).startswith(f"{simulator}: {graph}: ")
    assert "\n" not in str(caught.value)


@needs_simulators
def test_a_process_that_takes_too_long_is_ended(graph: Path) -> None:
    started = time.monotonic()
    with pytest.raises(BackendError, match=r"norse: no result after 0\.3 s"):
        SimulatorBackend("norse", time_limit=0.3).run(graph, random_spikes(0, 1, 2, 2, 4, 4))
    assert time.monotonic() - started < 10


@needs_simulators
def test_the_command_leaves_nothing_after_bad_input(graph: Path, tmp_path: Path) -> None:
    target = tmp_path / "Y.npz"
    command = [find_interpreter(), "-m", "deploy.backends.simulators", "norse", graph, tmp_path / "missing.npz", target]
    root = Path(simulators.__file__).parents[3]
    result = subprocess.run(command, cwd=root, env=os.environ, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not target.exists()


def test_neuron_shapes_lists_spiking_nodes_alone(graph: Path) -> None:
    assert neuron_shapes(nir.read(graph)) == {"lif": (3, 4, 4)}
