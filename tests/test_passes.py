"""Each pass and each lowering by itself, on small shapes, against a dense oracle."""

import itertools
from collections.abc import Callable

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from export.encoder.executor import GraphExecutor
from export.encoder.frontend import build_graph
from export.encoder.graph import Graph
from export.encoder.layout import from_polyphase, to_polyphase
from export.encoder.lowering import lower
from export.encoder.operations import Attention, Conv, Delay, Dense, Input, Lif, Norm, Output, Threshold, WaveMixer
from export.encoder.operations.lines import block_clock
from export.encoder.passes.align import align
from export.encoder.passes.expand import expand, unroll
from export.encoder.passes.fold_batch_norm import fold_batch_norm
from export.encoder.passes.fuse_linear import fuse_linear
from export.encoder.passes.polyphase import polyphase
from export.encoder.passes.remove_dead import remove_dead
from export.encoder.passes.shift_registers import shift_registers
from export.encoder.passes.valid_line import biases_from_valid_line
from export.nir.dialects.native import write_native
from export.nir.dialects.portable import write_portable
from export.nir.interpreter import Interpreter
from spikinghash.errors import GraphError
from tests.networks import SMALL, calibrated, random_frames

OFF_LATTICE = 2.0**-9
Writer = Callable[[Graph], tuple[nir.NIRGraph, Graph]]


def whole(generator: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    return generator.integers(-3, 4, shape).astype(float)


def torch_conv(conv: Conv, x: NDArray[np.float64]) -> NDArray[np.float64]:
    bias = None if conv.bias is None else torch.from_numpy(conv.bias)
    return torch.nn.functional.conv2d(
        torch.from_numpy(x), torch.from_numpy(conv.weight), bias, conv.stride, conv.padding
    ).numpy()


def window(graph: Graph, frames: NDArray[np.float64], writer: Writer, layer: str) -> NDArray[np.float64]:
    """Spikes (B, T, C, H, W) of ``layer`` when the lowered ``graph`` runs as NIR."""
    written, final = writer(graph)
    interpreter = Interpreter(written)
    latency = max(final.latency.values(), default=0)
    samples, steps, channels = frames.shape[:3]
    padded = np.zeros((samples, steps + latency, *interpreter.input_shape))
    padded[:, :steps, :channels] = frames
    if interpreter.input_shape[0] > channels:
        padded[:, :steps, channels] = 1.0
    node = final.implements[layer].nodes[0] if layer in final.implements else layer
    _, recorded = interpreter.run(padded, [node])
    lag = final.latency.get(node, 0)
    spikes = recorded[node][:, lag : lag + steps]
    assert not recorded[node][:, lag + steps :].any(), "nothing may move after the window"
    assert not recorded[node][:, :lag].any(), "nothing may move before the data arrives"
    return from_polyphase(spikes, final.polyphase.get(node, 1))


def reference(graph: Graph, frames: NDArray[np.float64], layer: str) -> NDArray[np.float64]:
    values = GraphExecutor(graph).trace(torch.from_numpy(frames))
    return np.moveaxis(values[layer].numpy(), 0, 1)


def terminal(graph: Graph, name: str) -> Graph:
    graph.add("output", Output(graph.nodes[name].shape), name)
    return graph


@pytest.mark.parametrize(
    ("source", "factor", "stride", "kernel"),
    [c for c in itertools.product((1, 2, 4), (1, 2, 4), (1, 2), (1, 3)) if c[2] * c[1] % c[0] == 0],
)
def test_convolution_in_polyphase_layout(source: int, factor: int, stride: int, kernel: int) -> None:
    generator = np.random.default_rng(0)
    conv = Conv((2, 16, 16), whole(generator, 3, 2, kernel, kernel), whole(generator, 3), stride, kernel // 2)
    x = generator.integers(0, 2, (2, 2, 16, 16)).astype(float)
    moved = torch_conv(conv.relaid("conv", source, factor), to_polyphase(x, source))
    assert np.array_equal(from_polyphase(moved, factor), torch_conv(conv, x))


def test_polyphase_refuses_what_would_need_a_transposed_convolution() -> None:
    with pytest.raises(GraphError, match="node down: a convolution of stride 2 cannot go from factor 4 to 1"):
        Conv((1, 8, 8), np.ones((1, 1, 3, 3)), stride=2, padding=1).relaid("down", 4, 1)


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_folded_batch_norm_is_the_same_map(seed: int) -> None:
    generator = np.random.default_rng(seed)
    graph = Graph(2)
    graph.add("input", Input((2, 4, 4)))
    graph.add("conv", Conv((2, 4, 4), generator.standard_normal((3, 2, 3, 3)), padding=1), "input")
    graph.add("norm", Norm((3, 4, 4), generator.standard_normal(3), generator.standard_normal(3)), "conv")
    graph.add("lif", Lif((3, 4, 4), 1.0), "norm")
    norm = graph.nodes["norm"]
    conv = graph.nodes["conv"]
    assert isinstance(norm, Norm)
    assert isinstance(conv, Conv)
    folded = fold_batch_norm(graph)
    x = generator.integers(0, 2, (3, 2, 4, 4)).astype(float)
    after = folded.nodes["conv"]
    assert isinstance(after, Conv)
    assert "norm" not in folded.nodes
    assert folded.sources("lif") == ["conv"]
    expected = torch_conv(conv, x) * norm.scale[:, None, None] + norm.shift[:, None, None]
    np.testing.assert_allclose(torch_conv(after, x), expected, atol=1e-12)


def test_folding_refuses_a_map_that_others_read() -> None:
    graph = Graph(1)
    graph.add("input", Input((1, 2, 2)))
    graph.add("conv", Conv((1, 2, 2), np.ones((1, 1, 1, 1))), "input")
    graph.add("norm", Norm((1, 2, 2), np.ones(1), np.ones(1)), "conv")
    graph.add("lif", Lif((1, 2, 2), 1.0), "conv")
    with pytest.raises(GraphError, match="node norm"):
        fold_batch_norm(graph)


def test_fused_maps_are_the_composition() -> None:
    generator = np.random.default_rng(3)
    graph = Graph(1)
    graph.add("input", Input((2, 4, 4)))
    first = Conv((2, 4, 4), whole(generator, 3, 2, 3, 3), whole(generator, 3), 1, 1)
    second = Conv((3, 4, 4), whole(generator, 5, 3, 1, 1), whole(generator, 5))
    graph.add("first", first, "input")
    graph.add("second", second, "first")
    fused = fuse_linear(graph)
    assert list(fused.nodes) == ["input", "second"]
    x = generator.integers(0, 2, (2, 2, 4, 4)).astype(float)
    node = fused.nodes["second"]
    assert isinstance(node, Conv)
    assert np.array_equal(torch_conv(node, x), torch_conv(second, torch_conv(first, x)))


def test_dead_nodes_go_and_inputs_stay() -> None:
    graph = Graph(1)
    graph.add("input", Input((1, 2, 2)))
    graph.add("alive", Lif((1, 2, 2), 1.0), "input")
    graph.add("dead", Lif((1, 2, 2), 1.0), "input")
    graph.add("deader", Lif((1, 2, 2), 1.0), "dead")
    terminal(graph, "alive")
    assert set(remove_dead(graph).nodes) == {"input", "alive", "output"}


@pytest.mark.parametrize("writer", [write_native, write_portable])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_wave_mixer_with_residual_and_fan_out(levels: int, writer: Writer) -> None:
    """A stem, a wave mixer on a shortcut and a reader of the sum: layout, time blocks, delays and biases at once."""
    generator = np.random.default_rng(levels)
    size, channels, groups = 8, 2, 1
    block = 8**levels
    graph = Graph(8)
    graph.add("input", Input((2, 2 * size, 2 * size)))
    stem = Conv((2, 2 * size, 2 * size), whole(generator, channels, 2, 3, 3), whole(generator, channels), 2, 1)
    graph.add("stem", stem, "input")
    graph.add("lif", Lif((channels, size, size), 3 + OFF_LATTICE), "stem")
    kernel = whole(generator, groups, channels * block, channels * block)
    graph.add("mixer", WaveMixer((channels, size, size), levels, kernel, whole(generator, channels)), "lif")
    graph.add("after", Lif((channels, size, size), 9 + OFF_LATTICE), "stem", "mixer")
    graph.add("pool", Dense(np.ones((1, 1, 1, channels, size, size))), "after")
    graph.add("head", Lif((1, 1, 1), 5 + OFF_LATTICE), "pool")
    terminal(graph, "head")
    frames = generator.integers(0, 2, (3, 8, 2, 2 * size, 2 * size)).astype(float)
    lowered = lower(graph)
    assert lowered.latency["after"] == 2**levels - 1
    for layer in ("lif", "after"):
        expected = reference(graph, frames, layer)
        assert 0 < expected.mean() < 1
        assert np.array_equal(window(lowered, frames, writer, layer), expected)


@pytest.mark.parametrize("writer", [write_native, write_portable])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_as_coincidence_gates(heads: int, writer: Writer) -> None:
    generator = np.random.default_rng(heads)
    graph = Graph(4)
    graph.add("input", Input((4, 2, 2)))
    graph.add("stem", Conv((4, 2, 2), np.eye(4)[:, :, None, None]), "input")
    graph.add("spikes", Lif((4, 2, 2), 0.0 + 2.0**-5), "stem")
    graph.add("qkv", Conv((4, 2, 2), whole(generator, 12, 4, 1, 1), np.ones(12)), "spikes")
    graph.add("qkv_lif", Lif((12, 2, 2), 1 + 2.0**-5), "qkv")
    graph.add("attention", Attention((4, 2, 2), heads, 2.0), "qkv_lif")
    graph.add("attention_lif", Lif((4, 2, 2), 3 + 2.0**-5), "attention")
    graph.add("projection", Conv((4, 2, 2), whole(generator, 4, 4, 1, 1), np.array([1.0, 0, 2, 1])), "attention_lif")
    graph.add("after", Lif((4, 2, 2), 1 + 2.0**-5), "projection")
    terminal(graph, "after")
    frames = generator.integers(0, 2, (6, 4, 4, 2, 2)).astype(float)
    expected = reference(graph, frames, "after")
    assert 0 < expected.mean() < 1
    lowered = biases_from_valid_line(expand(graph))
    gates = sum(node.shape[0] for _, node in lowered.find(Threshold)) - 1  # the valid line is a threshold unit too
    assert gates == Attention((4, 2, 2), heads, 2.0).gates
    assert np.array_equal(window(lowered, frames, writer, "after"), expected)


NO_HEADS = "no number of heads is enough: train with mixer swm there, or at most"


@pytest.mark.parametrize(
    ("channels", "side", "heads", "gates", "remedy"),
    [
        (64, 16, 1, "268,435,456", f"{NO_HEADS} 79 tokens (smaller frames)"),
        (48, 16, 12, "12,582,912", f"{NO_HEADS} 91 tokens (smaller frames)"),
        (64, 8, 16, "1,048,576", "train with 64 heads or more"),
        (48, 8, 12, "786,432", "train with 24 heads or more"),
    ],
)
def test_too_many_gates_are_refused_with_what_would_be_enough(
    channels: int, side: int, heads: int, gates: str, remedy: str
) -> None:
    graph = Graph(1)
    graph.add("qkv_lif", Lif((3 * channels, side, side), 1.0))
    graph.add("attention", Attention((channels, side, side), heads, 1.0), "qkv_lif")
    numbers = f"{gates} coincidence gates for {side**2} tokens, {channels} channels and {heads} heads, limit 400,000"
    with pytest.raises(GraphError) as caught:
        expand(graph)
    assert str(caught.value) == (
        f"node attention: {numbers}: {remedy}, or use the native dialect or ONNX, which keep the product"
    )


@pytest.mark.parametrize("block", [2, 4, 8])
@pytest.mark.parametrize("latency", [0, 3])
def test_clock_beats_in_the_last_step_of_each_block(block: int, latency: int) -> None:
    graph = Graph(2 * block)
    graph.add("input", Input((2, 4, 4)))
    clock = block_clock(graph, block, latency)
    written, _ = write_native(terminal(graph, clock))
    frames = np.zeros((1, 2 * block + latency, 3, 4, 4))
    frames[:, : 2 * block, 2] = 1.0
    outputs, _ = Interpreter(written).run(frames)
    beats = np.flatnonzero(outputs.ravel())
    assert beats.tolist() == [latency + block - 1, latency + 2 * block - 1]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 10**6))
@settings(max_examples=30)
def test_delay_is_a_shift_and_a_register_is_a_delay(lags: list[int], seed: int) -> None:
    channels = len(lags)
    graph = Graph(10)
    graph.add("input", Input((channels, 2, 2)))
    graph.add("delay", Delay((channels, 2, 2), tuple(lags)), "input")
    graph.add("copy", Conv((channels, 2, 2), np.eye(channels)[:, :, None, None]), "delay")
    graph.add("after", Threshold((channels, 2, 2), 0.5), "copy")
    terminal(graph, "after")
    spikes = np.random.default_rng(seed).integers(0, 2, (2, 10, channels, 2, 2))
    expected = np.zeros_like(spikes)
    for channel, lag in enumerate(lags):
        expected[:, lag:, channel] = spikes[:, : 10 - lag, channel]
    registers, _ = shift_registers(graph)
    for variant in (graph, registers):
        outputs, _ = Interpreter(write_native(variant)[0]).run(spikes)
        assert np.array_equal(outputs, expected)


def test_alignment_delays_spikes_not_currents() -> None:
    graph = build_graph(calibrated(SMALL))
    aligned = align(polyphase(expand(fuse_linear(fold_batch_norm(graph)))))
    for name, node in aligned.nodes.items():
        sources = aligned.sources(name)
        if isinstance(node, Lif):
            assert all(isinstance(aligned.nodes[source], Conv | Dense) or "mixer" in source for source in sources)
            arrivals = {aligned.latency.get(source, 0) for source in sources}
            assert arrivals == {aligned.latency.get(name, 0)}, name
    assert any(isinstance(node, Delay) for node in aligned.nodes.values())


def test_no_bias_and_no_block_survives_the_lowering() -> None:
    lowered = lower(fuse_linear(fold_batch_norm(build_graph(calibrated(SMALL)))))
    for node in lowered.nodes.values():
        assert getattr(node, "bias", None) is None
        assert not isinstance(node, WaveMixer | Attention | Norm)
    assert unroll(lowered).nodes.keys() == lowered.nodes.keys()


def test_graph_executor_is_the_model() -> None:
    model = calibrated(SMALL).double()
    frames = torch.from_numpy(random_frames(SMALL, 6))
    executor = GraphExecutor(fuse_linear(fold_batch_norm(build_graph(model))))
    codes = np.unpackbits(executor.encode(frames.numpy()), axis=1)
    assert np.array_equal(codes, model.codes(frames).numpy())
    model.float()


def test_shapes_are_checked_when_edges_are_made() -> None:
    graph = Graph(1)
    graph.add("input", Input((1, 2, 2)))
    with pytest.raises(GraphError, match=r"edge input -> lif: input sends \(1, 2, 2\), lif takes \(1, 4, 4\)"):
        graph.add("lif", Lif((1, 4, 4), 1.0), "input")
