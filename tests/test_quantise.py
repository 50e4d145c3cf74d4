"""Integer grids and the certificate, attacked by random networks and by inputs that reach the bound."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from export.encoder.certificate import MANTISSA
from export.encoder.certify import certify
from export.encoder.executor import GraphExecutor
from export.encoder.frontend import build_graph
from export.encoder.graph import Graph
from export.encoder.network import build_network
from export.encoder.operations import Conv, Dense, Input, Lif, Output, WaveMixer
from export.encoder.operations.lif import lif_steps
from export.encoder.passes.fold_batch_norm import fold_batch_norm
from export.encoder.passes.fuse_linear import fuse_linear
from export.encoder.passes.quantise import LARGEST_MANTISSA, quantise, streams
from spikinghash.errors import GraphError
from tests.networks import SMALL, calibrated, random_frames


def folded() -> Graph:
    return fuse_linear(fold_batch_norm(build_graph(calibrated(SMALL))))


def test_weights_are_eight_bits_and_a_shift() -> None:
    integer, _ = quantise(folded())
    for kind in (Conv, Dense, WaveMixer):
        for name, node in integer.find(kind):
            weight = node.weight
            whole = weight[weight != 0].astype(int)
            shift = int(np.bitwise_or.reduce(whole) & -np.bitwise_or.reduce(whole)) if len(whole) else 1
            assert np.abs(whole // shift).max() <= LARGEST_MANTISSA, name


def test_one_grid_per_residual_stream() -> None:
    graph = folded()
    integer, steps = quantise(graph)
    for stream in streams(graph):
        assert len({steps[name] for name in stream.neurons}) == 1
        step = steps[stream.neurons[0]]
        for name in stream.maps:
            node, exact = integer.nodes[name], graph.nodes[name]
            if isinstance(node, Conv | Dense):
                assert isinstance(exact, Conv | Dense)
                largest = np.abs(exact.weight).max()
                assert np.abs(node.weight * step - exact.weight).max() <= largest / LARGEST_MANTISSA + 1e-12
    mixer_stream = next(stream for stream in streams(graph) if "stage1_block0_mixer" in stream.maps)
    assert {"stage1_down", "stage1_block0_mlp_contract"} <= set(mixer_stream.maps)


def test_thresholds_lie_off_the_lattice() -> None:
    integer, _ = quantise(folded())
    for _, lif in integer.find(Lif):
        assert lif.threshold % 1 == 2.0 ** -(SMALL.time_steps + 1)


def test_quantisation_changes_few_spikes() -> None:
    frames = torch.from_numpy(random_frames(SMALL, 16))
    graph = folded()
    exact = GraphExecutor(graph)(frames).spike_counts.sum(0).float()
    integer = GraphExecutor(quantise(graph)[0])(frames).spike_counts.sum(0).float()
    busy = exact > 300
    assert busy.sum() >= 10
    assert ((integer - exact).abs() / exact)[busy].max() < 0.1


def adversary(graph: Graph, conv: Conv, high: bool) -> np.ndarray:
    """The input that drives the hungriest channel to its bound: spikes wherever its weights have the right sign."""
    sums = (
        np.where(conv.weight > 0, conv.weight, 0).sum((1, 2, 3)) if high else -np.minimum(conv.weight, 0).sum((1, 2, 3))
    )
    weight = conv.weight[int(np.argmax(sums + (conv.bias if high else -conv.bias)))]
    return (weight > 0 if high else weight < 0).astype(float)


@given(st.integers(0, 10**6), st.integers(1, 8), st.booleans())
@settings(max_examples=60, deadline=None)
def test_certified_potentials_are_exact_in_float32(seed: int, steps: int, high: bool) -> None:
    """Random integer neurons under adversarial input: float32, float64 and exact rational arithmetic agree."""
    generator = np.random.default_rng(seed)
    magnitude = 2 ** generator.integers(1, 13)
    weight = generator.integers(-magnitude, magnitude + 1, (3, 2, 3, 3)).astype(float)
    bias = generator.integers(-magnitude, magnitude + 1, 3).astype(float)
    graph = Graph(steps)
    graph.add("input", Input((2, 3, 3)))
    conv = Conv((2, 3, 3), weight, bias)
    graph.add("conv", conv, "input")
    threshold = float(generator.integers(0, 9 * magnitude)) + 2.0 ** -(steps + 1)
    graph.add("lif", Lif((3, 1, 1), threshold), "conv")
    certificate = certify(graph)
    low, high_bound = conv.current_range("conv")
    frames = np.broadcast_to(adversary(graph, conv, high), (steps, 2, 3, 3))
    currents = np.einsum("tihw,oihw->to", frames, weight) + bias
    reached = currents.max() if high else currents.min()
    assert reached == (high_bound.max() if high else low.min()), "the bound is reached"
    if certificate.bits <= MANTISSA["float32"]:
        # Scaled by 2^T the same recurrence lives in Python integers.
        expected = exact_spikes(currents.astype(int), int(threshold * 2 ** (steps + 1)), steps)
        for dtype in (torch.float32, torch.float64):
            actual = lif_steps(torch.from_numpy(currents).to(dtype), threshold).numpy()
            assert np.array_equal(actual, expected)


def cancelling() -> Graph:
    """One neuron of two maps whose biases are +2^24 and -2^24: no current is large, but a sum on the way to it is."""
    graph = Graph(2)
    graph.add("input", Input((1, 1, 1)))
    for name, bias in (("up", 2.0**24), ("down", -(2.0**24))):
        graph.add(name, Conv((1, 1, 1), np.full((1, 1, 1, 1), 1.0), np.array([bias])), "input")
    graph.add("lif", Lif((1, 1, 1), 1 + 2.0**-3), "up", "down")
    graph.add("output", Output((1, 1, 1)), "lif")
    return graph


def test_sums_that_cancel_out_are_not_certified_for_float32() -> None:
    graph, frames = cancelling(), torch.ones(1, 2, 1, 1, 1)
    assert int_spikes(graph, frames.numpy())["lif"].all()
    assert not GraphExecutor(graph, torch.float32).trace(frames)["lif"].all(), "2^24 + 1 is no float32"
    assert certify(graph).exact_in == "float64"
    assert GraphExecutor(graph, torch.float64).trace(frames)["lif"].all()


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 3), st.integers(0, 22), st.integers(0, 26))
@settings(max_examples=80)
def test_what_is_certified_for_float32_is_what_int64_computes(
    seed: int, steps: int, layers: int, largest: int, largest_bias: int
) -> None:
    """Graphs of convolutions from any earlier population, several to a neuron, with biases that may cancel out."""
    generator = np.random.default_rng(seed)
    graph, populations = Graph(steps), ["input"]
    graph.add("input", Input((2, 3, 3)))
    for layer in range(layers):
        maps = [f"map{layer}_{number}" for number in range(generator.integers(1, 4))]
        for name in maps:
            weight = generator.integers(-(2**largest), 2**largest + 1, (2, 2, 3, 3)).astype(float)
            bias = generator.integers(-(2**largest_bias), 2**largest_bias + 1, 2).astype(float)
            graph.add(name, Conv((2, 3, 3), weight, bias, padding=1), generator.choice(populations))
        threshold = float(generator.integers(0, 2 ** max(largest, largest_bias - 2))) + 2.0 ** -(steps + 1)
        populations.append(graph.add(f"lif{layer}", Lif((2, 3, 3), threshold), *maps))
    graph.add("output", Output((2, 3, 3)), populations[-1])
    frames = (generator.random((2, steps, 2, 3, 3)) < 0.5).astype(np.float32)
    if certify(graph).exact_in == "float32":
        traced = GraphExecutor(graph, torch.float32).trace(torch.from_numpy(frames))
        for name, spikes in int_spikes(graph, frames).items():
            assert np.array_equal(traced[name].numpy(), np.moveaxis(spikes, 1, 0)), name


def int_spikes(graph: Graph, frames: np.ndarray) -> dict[str, np.ndarray]:
    """Spikes (B, T, C, H, W) of every neuron, all in int64: convolutions as sums of shifted maps."""
    values: dict[str, np.ndarray] = {"input": frames.astype(np.int64)}
    for name, node in graph.nodes.items():
        if isinstance(node, Conv):
            (source,) = graph.sources(name)
            values[name] = int_convolution(values[source], node)
        elif isinstance(node, Lif):
            current = sum(values[source] for source in graph.sources(name))
            flat = np.moveaxis(current, 1, 0).reshape(graph.time_steps, -1)
            whole = int(node.threshold * 2 ** (graph.time_steps + 1))
            spikes = exact_spikes(flat, whole, graph.time_steps).reshape(graph.time_steps, len(frames), *node.shape)
            values[name] = np.moveaxis(spikes, 0, 1).astype(np.int64)
    return {name: values[name] for name, _ in graph.find(Lif)}


def int_convolution(spikes: np.ndarray, conv: Conv) -> np.ndarray:
    """Of (B, T, C, H, W), with stride 1."""
    weight, pad = conv.weight.astype(np.int64), conv.padding
    padded = np.pad(spikes, [(0, 0)] * 3 + [(pad, pad)] * 2)
    _, height, width = conv.shape
    current = np.zeros((*spikes.shape[:2], *conv.shape), np.int64)
    for y, x in np.ndindex(*weight.shape[2:]):
        part = padded[..., y : y + height, x : x + width]
        current += np.einsum("oc,btchw->btohw", weight[:, :, y, x], part)
    return current if conv.bias is None else current + conv.bias.astype(np.int64).reshape(-1, 1, 1)


def exact_spikes(currents: np.ndarray, threshold: int, steps: int) -> np.ndarray:
    """LIF in integers: potentials times 2^(T+1)."""
    spikes = np.zeros(currents.shape)
    for neuron in range(currents.shape[1]):
        v = 0
        for step in range(steps):
            assert v % 2 == 0
            v = v // 2 + (int(currents[step, neuron]) << (steps + 1))
            if v > threshold:
                spikes[step, neuron], v = 1, 0
    return spikes


def test_certificate_refuses_fractions_and_thresholds_on_the_lattice() -> None:
    graph = Graph(4)
    graph.add("input", Input((1, 1, 1)))
    graph.add("conv", Conv((1, 1, 1), np.full((1, 1, 1, 1), 1.5)), "input")
    graph.add("lif", Lif((1, 1, 1), 2 + 2.0**-5), "conv")
    with pytest.raises(GraphError, match=r"node conv: weight or bias 1\.5 is no whole number"):
        certify(graph)
    graph.nodes["conv"] = Conv((1, 1, 1), np.ones((1, 1, 1, 1)))
    graph.nodes["lif"] = Lif((1, 1, 1), 2.0)
    with pytest.raises(GraphError, match=r"node lif: threshold 2\.0"):
        certify(graph)


def test_float32_and_float64_agree_inside_the_certificate() -> None:
    network = build_network(calibrated(SMALL))
    assert network.certificate is not None
    assert network.certificate.exact_in == "float32"
    frames = torch.from_numpy(random_frames(SMALL, 8))
    narrow, wide = (GraphExecutor(network.graph, dtype)(frames) for dtype in (torch.float32, torch.float64))
    assert torch.equal(narrow.codes, wide.codes)
    assert torch.equal(narrow.spike_counts, wide.spike_counts)
