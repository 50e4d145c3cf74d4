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
from numpy.typing import NDArray

from export.encoder.executor import GraphExecutor
from export.encoder.graph import Graph
from export.encoder.lowering import lower as lower_encoder
from export.encoder.network import build_network
from export.encoder.operations import Conv, Counter, Dense, Input, Lif, Output
from export.loihi.arithmetic import LARGEST_POTENTIAL, NeuronState
from export.loihi.drift import CODE, drift, loihi_encoder
from export.loihi.emulator import LoihiEmulator
from export.loihi.executor import LoihiExecutor
from export.loihi.network import to_fixed_point
from export.nir.describe import describe
from export.nir.dialects.native import write_native
from export.nir.trace import first_difference, input_spikes, layer_spikes, output_codes, recorded_nodes
from export.synaptic.lowering import lower
from spikinghash.errors import GraphError
from tests.networks import DEEP, SMALL, calibrated, random_frames
from training.config import EncoderConfig

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
    neuron = NeuronState((1,), decay, vth, bias)
    assert [int(neuron.step(np.array([a]))[0]) for a in currents] == loop(currents, vth, bias, decay)


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
    neurons = NeuronState((40,), decay, 500, bias << 6)
    expected = np.stack([neurons.step(a) for a in np.pad(current, ((1, 0), (0, 0)))])
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


def digits(limit: float, value: float) -> int:
    """How often ``value`` can be doubled within ``limit``."""
    return max(f for f in range(-17, 18) if value * 2.0**f <= limit)


def finest(weight: NDArray[np.int64], bias: NDArray[np.int64], threshold: float) -> int:
    """Fractional bits of the finest grid on which no register overflows, from the limits of the chip."""
    every = np.concatenate([weight, bias[:, None]], axis=1)
    rise, fall = np.maximum(every, 0).sum(1), np.minimum(every, 0).sum(1)
    peak = max(np.minimum(rise * 2, threshold / 2 + rise).max(), -2 * fall.min())
    return min(digits((2**23 - 1) / 64, peak), digits(2**17 - 1, threshold), digits(127 * 257, np.abs(every).max()))


@pytest.mark.parametrize("scale", [1, 32, 64])
@pytest.mark.parametrize("time_steps", [8, 25])
def test_a_network_follows_the_loop_on_the_finest_grid(scale: int, time_steps: int) -> None:
    generator = np.random.default_rng(time_steps)
    weight = generator.integers(-127, 128, (8, 12)) * scale
    bias = generator.integers(-40, 41, 8)
    weight[0, :6] = 127 * scale
    weight[1, :4] = -127 * scale  # the rarer worst case
    graph = layer(weight.tolist(), 150 * scale, time_steps, bias.tolist())
    frames = (generator.random((20, time_steps, 12, 1, 1)) < 0.3).astype(np.uint8)
    executor = LoihiExecutor(graph)
    fraction = executor.registers["lif"].fraction
    assert fraction == finest(weight, bias, 150 * scale)
    currents = np.ldexp(frames[..., 0, 0] @ weight.T.astype(float) + bias, fraction).astype(np.int64)
    expected = [
        [loop(currents[b, :, k].tolist(), int(150 * scale * 2.0**fraction)) for k in range(8)] for b in range(20)
    ]
    codes, spikes = executor.layers(frames)
    np.testing.assert_array_equal(spikes["lif"][..., 0, 0].swapaxes(1, 2), expected)
    np.testing.assert_array_equal(np.unpackbits(codes, axis=1), np.any(expected, axis=2))


@pytest.mark.parametrize("config", [SMALL, DEEP])
def test_in_windows_of_up_to_eight_steps_every_layer_is_that_of_the_integer_network(config: EncoderConfig) -> None:
    """Convolution, wave mixer and attention included; torch is the oracle."""
    network = build_network(calibrated(config))
    frames = random_frames(network.config, 3)
    expected, layers = network.executor().layers(frames)
    codes, spikes = LoihiExecutor(network.graph).layers(frames)
    assert set(spikes) == set(layers)
    for name, found in spikes.items():
        np.testing.assert_array_equal(found, layers[name], err_msg=name)
    assert all(found.any() for found in spikes.values())
    np.testing.assert_array_equal(codes, expected)


def test_the_encoder_drifts_as_the_lowered_graph_does() -> None:
    """Windows so long that halvings are cut off: the emulator of populations and synapses is the oracle."""
    network = build_network(calibrated(SMALL.model_copy(update={"time_steps": 32})))
    graph, lowered = write_native(lower_encoder(network.graph, True, attention="product"))
    metadata = describe(network, lowered, "native", None, "copied", "line", False)
    frames, nodes = random_frames(network.config, 8), recorded_nodes(metadata)
    fixed = to_fixed_point(lower(graph, nodes, metadata.dt), metadata.steps)
    outputs, recorded = LoihiEmulator(fixed).run(input_spikes(frames, metadata), nodes)
    executor = LoihiExecutor(network.graph)
    assert {name: own.fraction for name, own in executor.registers.items()} == {
        name: fixed.registers[name].fraction for name in executor.registers
    }
    codes, spikes = executor.layers(frames)
    difference = first_difference(spikes, layer_spikes(recorded, metadata))
    assert difference is None, str(difference)
    np.testing.assert_array_equal(output_codes(outputs), codes)
    _, exact = network.executor().layers(frames)
    assert first_difference(exact, spikes) is not None, "no drift to be seen"


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (layer([[32_639] * 4], 2**16, 8), "node lif: its potential can reach 163324, which takes 25 bits, Loihi has"),
        (layer([[32_639]], 140_000, 8), "node lif: threshold 140000 where a weight is 32639, Loihi's are at most 131"),
        (layer([[32_641, 1]], 1, 8), "node lif: weights up to 32641 do not fit two synapses, at most 32639 do"),
        (layer([[0.5]], 1, 8), "node map: weight or bias 0.5 is no whole number"),
    ],
)
def test_a_register_that_is_too_small_is_refused_before_the_run(graph: Graph, message: str) -> None:
    with pytest.raises(GraphError) as caught:
        LoihiExecutor(graph)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_the_largest_admitted_currents_neither_wrap_nor_clip() -> None:
    weight = 127 * 512
    assert 2 * weight * 64 <= LARGEST_POTENTIAL < 2 * (weight + 512) * 64
    graph = layer([[weight / 2, weight / 2], [-weight / 2, -weight / 2]], 2**16, 8)
    frames = np.ones((1, 8, 2, 1, 1), np.uint8)
    exact = GraphExecutor(graph).trace(torch.from_numpy(frames))["lif"].numpy()
    np.testing.assert_array_equal(LoihiExecutor(graph).layers(frames)[1]["lif"][0], exact[:, 0])
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


@pytest.mark.parametrize(("gap", "spikes"), [(8, 1), (9, 0)])
def test_what_halving_leaves_beyond_the_last_fractional_bit_is_lost(gap: int, spikes: int) -> None:
    """A current of 1 lifts the potential above the threshold ``gap`` steps later by 2^-gap, in exact arithmetic.

    The last weight leaves room for a grid of 1/4: potentials have 8 fractional bits.
    """
    graph = layer([[1, 5, 8_000]], 5, 12)
    frames = np.zeros((1, 12, 3, 1, 1), np.uint8)
    frames[0, 0, 0] = frames[0, gap, 1] = 1
    exact = GraphExecutor(graph).trace(torch.from_numpy(frames))["lif"]
    assert exact.sum() == 1
    assert LoihiExecutor(graph).layers(frames)[1]["lif"].sum() == spikes


def test_the_encoder_packs_what_the_executor_codes() -> None:
    model = calibrated(SMALL)
    frames = random_frames(SMALL, 18)
    bits = loihi_encoder(model)(torch.from_numpy(frames))
    expected, _ = LoihiExecutor(build_network(model).graph).layers(frames)
    np.testing.assert_array_equal(np.packbits(bits.numpy(), axis=1), expected)
