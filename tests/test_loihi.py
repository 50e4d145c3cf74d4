"""Loihi's arithmetic against loops over Python integers, the real Lava simulator, and the integer network."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from export.encoder.executor import GraphExecutor
from export.encoder.graph import Graph
from export.encoder.network import build_network
from export.encoder.operations import Conv, Counter, Dense, Input, Lif, Output
from export.loihi.arithmetic import LARGEST_POTENTIAL
from export.loihi.drift import CODE, drift, loihi_encoder
from export.loihi.emulator import LoihiEmulator, lif_steps
from spikinghash.errors import GraphError
from tests.networks import DEEP, SMALL, calibrated, random_frames

LAVA_PYTHON = Path(__file__).resolve().parents[1] / ".venv-lava" / "bin" / "python"
LAVA_SCRIPT = """
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
    dense = Dense(weights=given["weights"], weight_exp=int(given["exponent"]))
    lif = LIF(shape=(len(given["weights"]),), du=4095, dv=int(given["decay"]), vth=int(given["threshold"]),
              bias_mant=given["bias"], bias_exp=6)
    sink = Sink(shape=(len(given["weights"]),), buffer=steps)
    source.s_out.connect(dense.s_in)
    dense.a_out.connect(lif.a_in)
    lif.s_out.connect(sink.a_in)
    lif.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    spikes = sink.data.get()
    lif.stop()
    np.save(sys.argv[2], spikes)

if __name__ == "__main__":
    main()
"""


def loop(currents: list[int], vth: int, bias: int = 0, decay: int = 2048) -> list[int]:
    """One neuron, in Python integers."""
    v, spikes = 0, []
    for a in currents:
        u = a * 64
        u = u - 2**24 if u > 2**23 else u + 2**24 if u <= -(2**23) else u
        magnitude = abs(v) * (4096 - decay) >> 12
        v = min(max((magnitude if v >= 0 else -magnitude) + u + bias, -(2**23) + 1), 2**23 - 1)
        spikes.append(int(v > vth * 64))
        v = 0 if spikes[-1] else v
    return spikes


@given(
    currents=st.lists(st.integers(-200_000, 200_000) | st.integers(-300, 300), min_size=1, max_size=30),
    vth=st.integers(0, 500) | st.integers(0, 2**17 - 1),
    bias=st.integers(-4096, 4095).map(lambda mantissa: mantissa << 6),
    decay=st.sampled_from([0, 1, 1000, 2048, 4095]),
)
def test_a_neuron_follows_the_loop_also_where_it_truncates_wraps_and_clips(
    currents: list[int], vth: int, bias: int, decay: int
) -> None:
    spikes = lif_steps(np.array(currents)[:, None], vth, bias, decay)
    assert spikes[:, 0].tolist() == loop(currents, vth, bias, decay)


@pytest.mark.skipif(not LAVA_PYTHON.exists(), reason="no Lava environment")
@pytest.mark.parametrize(("decay", "exponent"), [(2048, 2), (700, -1)])
def test_a_layer_equals_real_lava_in_fixed_point(decay: int, exponent: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(decay)
    weights = 2 * generator.integers(-127, 128, (40, 60))
    bias = generator.integers(-300, 300, 40)
    spikes = generator.random((60, 120)) < 0.3
    arrays = {"weights": weights, "bias": bias, "spikes": spikes.astype(np.int64)}
    np.savez(tmp_path / "in.npz", **arrays, exponent=exponent, decay=decay, threshold=500)
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "main.py").write_text(LAVA_SCRIPT)
    command = ["timeout", "-k", "5", "120", LAVA_PYTHON, "job/main.py", "in.npz", "out.npy"]
    subprocess.run(command, cwd=tmp_path, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True)
    summed = spikes.T.astype(np.int64) @ weights.T
    current = np.left_shift(summed, exponent) if exponent > 0 else np.right_shift(summed, -exponent)
    # The first step of Lava sees the bias alone: the Dense has sent nothing yet.
    expected = lif_steps(np.pad(current, ((1, 0), (0, 0))), 500, bias << 6, decay)
    assert 0.02 < expected.mean() < 0.98
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy").T, expected)


def layer(weight: list[list[float]], threshold: float, time_steps: int, bias: list[float] | None = None) -> Graph:
    """Pixels of a 1x1 map to LIF neurons to bits."""
    matrix = np.array(weight)
    outs, inputs = matrix.shape
    graph = Graph(time_steps)
    graph.add("input", Input((inputs, 1, 1)))
    node = Dense(matrix[:, None, None, :, None, None], None if bias is None else np.array(bias))
    graph.add("map", node, "input")
    graph.add("lif", Lif((outs, 1, 1), threshold + 2.0 ** -(time_steps + 1)), "map")
    graph.add("count", Conv((outs, 1, 1), np.eye(outs)[:, :, None, None]), "lif")
    graph.add("output", Output((outs, 1, 1)), graph.add("vote", Counter((outs, 1, 1), 1), "count"))
    return graph


@pytest.mark.parametrize(("scale", "extra"), [(1, 1), (32, 0)])
@pytest.mark.parametrize("time_steps", [8, 25])
def test_a_network_follows_the_loop_with_and_without_the_extra_bit(scale: int, extra: int, time_steps: int) -> None:
    generator = np.random.default_rng(time_steps)
    weight = generator.integers(-127, 128, (8, 12)) * scale
    bias = generator.integers(-40, 41, 8)
    if scale > 1:
        weight[0] = 127 * scale  # so large that potentials reach beyond 2^22
    graph = layer(weight.tolist(), 150 * scale, time_steps, bias.tolist())
    frames = (generator.random((20, time_steps, 12, 1, 1)) < 0.3).astype(np.uint8)
    emulator = LoihiEmulator(graph)
    assert emulator.neurons["lif"].bias_exponent == 6 + extra
    currents = frames[..., 0, 0].astype(np.int64) @ weight.T << extra
    expected = [
        [loop(currents[b, :, k].tolist(), 150 * scale << extra, int(bias[k]) << 6 + extra) for k in range(8)]
        for b in range(20)
    ]
    codes, spikes = emulator.trace(frames)
    np.testing.assert_array_equal(spikes["lif"][..., 0, 0].swapaxes(1, 2), expected)
    np.testing.assert_array_equal(np.unpackbits(codes, axis=1), np.any(expected, axis=2))


@pytest.mark.parametrize("config", [SMALL, DEEP])
def test_in_windows_of_up_to_eight_steps_every_layer_is_that_of_the_integer_network(config: object) -> None:
    """Convolution, wave mixer and attention included; torch is the oracle."""
    network = build_network(calibrated(config))  # type: ignore[arg-type]
    frames = random_frames(network.config, 3)
    with torch.no_grad():
        expected = network.executor().trace(torch.from_numpy(frames))
    codes, spikes = LoihiEmulator(network.graph).trace(frames)
    assert set(spikes) == set(expected) - {"output"}
    for name, found in spikes.items():
        np.testing.assert_array_equal(found, np.moveaxis(expected[name].numpy(), 0, 1), err_msg=name)
    assert all(found.any() for found in spikes.values())
    np.testing.assert_array_equal(np.unpackbits(codes, axis=1), expected["output"].numpy())


def test_registers_hold_even_weights_that_stand_for_the_graph_s() -> None:
    graph = build_network(calibrated(SMALL)).graph
    emulator = LoihiEmulator(graph)
    for name, (mantissa, exponent) in emulator.synapses.items():
        node = graph.nodes[name]
        weights = node.weight  # type: ignore[union-attr]
        scale = 1 if name == "vote_count" else 2
        assert not np.any(mantissa % 2)
        assert np.abs(mantissa).max() <= 254
        np.testing.assert_array_equal(mantissa * 2.0**exponent, scale * np.asarray(weights))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (layer([[127 * 1024]], 1, 8), f"node lif: its potential can reach 16646144, Loihi's 24 bits hold {2**23 - 1}"),
        (layer([[100]], 70_000, 8), "node lif: threshold 140000, Loihi's are at most 131071"),
        (layer([[100]], 1, 8, [4096]), "node lif: bias 4096, Loihi's are -4096 to 4095"),
        (layer([[255]], 1, 8), "node map: weights up to 255 do not fit int8 times a power of two"),
        (layer([[0.5]], 1, 8), "node map: weight or bias 0.5 is no whole number"),
    ],
)
def test_a_register_that_is_too_small_is_refused_before_the_run(graph: Graph, message: str) -> None:
    with pytest.raises(GraphError) as caught:
        LoihiEmulator(graph)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_the_largest_admitted_currents_neither_wrap_nor_clip() -> None:
    weight = 127 * 512
    assert 2 * weight * 64 <= LARGEST_POTENTIAL < 2 * (weight + 512) * 64
    graph = layer([[weight / 2, weight / 2], [-weight / 2, -weight / 2]], 2**16, 8)
    frames = np.ones((1, 8, 2, 1, 1), np.uint8)
    exact = GraphExecutor(graph).trace(torch.from_numpy(frames))["lif"].numpy()
    np.testing.assert_array_equal(LoihiEmulator(graph).trace(frames).spikes["lif"][0], exact[:, 0])
    assert exact.any()


def test_drift_counts_what_a_direct_comparison_counts() -> None:
    model = calibrated(SMALL)
    frames = random_frames(SMALL, 20)
    found = drift(model, frames)
    runs = []
    for numbers in ("float", "integer"):
        executor = GraphExecutor(build_network(model, numbers).graph)  # type: ignore[arg-type]
        runs.append(executor.trace(torch.from_numpy(frames)))
    assert [row.layer for row in found] == [*(name for name, _ in executor.graph.find(Lif)), CODE]
    for row in found:
        a, b = (run["output" if row.layer == CODE else row.layer].bool() for run in runs)
        wanted = int((a ^ b).sum()), a.numel(), int(a.sum())
        assert (row.integer.differing, row.integer.neuron_steps, row.integer.spikes) == wanted
        assert row.loihi == replace(row.loihi, differing=0, neuron_steps=a.numel(), spikes=int(b.sum()))
    assert sum(row.integer.differing for row in found) > 0


@pytest.mark.parametrize(("gap", "spikes"), [(7, 1), (8, 0)])
def test_what_halving_leaves_beyond_seven_fractional_bits_is_lost(gap: int, spikes: int) -> None:
    """A current of 1 lifts the potential above the threshold ``gap`` steps later by 2^-gap, in exact arithmetic."""
    graph = layer([[1, 5]], 5, 12)
    frames = np.zeros((1, 12, 2, 1, 1), np.uint8)
    frames[0, 0, 0] = frames[0, gap, 1] = 1
    exact = GraphExecutor(graph).trace(torch.from_numpy(frames))["lif"]
    assert exact.sum() == 1
    assert LoihiEmulator(graph).trace(frames).spikes["lif"].sum() == spikes


def test_the_encoder_packs_what_the_emulator_codes() -> None:
    model = calibrated(SMALL)
    frames = random_frames(SMALL, 18)
    bits = loihi_encoder(model)(torch.from_numpy(frames))
    expected = LoihiEmulator(build_network(model).graph).trace(frames).codes
    np.testing.assert_array_equal(np.packbits(bits.numpy(), axis=1), expected)
