"""The written ONNX graph against the torch executor, which shares no code with it, spike count by spike count."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from networks import DEEP, SMALL, calibrated, random_frames
from numpy.typing import NDArray

from export.encoder.certify import certify
from export.encoder.executor import GraphExecutor
from export.encoder.graph import Graph
from export.encoder.network import build_network
from export.encoder.operations import Attention, Conv, Counter, Dense, Input, Lif, Output
from export.onnx.to_onnx import build_onnx
from export.onnx.writer import OnnxWriter
from training.config import EncoderConfig


def run(model: onnx.ModelProto, frames: NDArray[np.uint8]) -> list[NDArray[np.generic]]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"frames": frames})  # type: ignore[no-any-return]


def totals(spikes: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Spikes of each layer in a window, (B, layers)."""
    return np.stack([each.sum(axis=(1, 2, 3, 4)) for each in spikes.values()], axis=1)


@pytest.mark.parametrize("numbers", ["integer", "float"])
@pytest.mark.parametrize("config", [SMALL, DEEP], ids=["small", "deep"])
def test_codes_and_counts_are_the_executors(config: EncoderConfig, numbers: str) -> None:
    """Float networks run in float64, for which ONNX Runtime lacks some operators."""
    network = build_network(calibrated(config), numbers)  # type: ignore[arg-type]
    model = build_onnx(network)
    for batch in (1, 5):
        frames = random_frames(config, batch, seed=batch)
        expected, spikes = network.executor().layers(frames)
        codes, counts = run(model, frames)
        assert np.array_equal(codes, expected)
        assert np.array_equal(counts, totals(spikes))
        assert np.all(counts.sum(axis=0) > 0), "a silent layer tests nothing"


def random_graph(seed: int) -> Graph:
    """Maps that the encoder does not use: odd sizes, wide kernels, strides, dense layers with maps, one head."""
    draw = np.random.default_rng(seed)

    def whole(*shape: int) -> NDArray[np.float64]:
        return draw.integers(-9, 10, shape).astype(np.float64)

    graph = Graph(time_steps=3)
    graph.add("input", Input((2, 7, 7)))
    graph.add("wide", Conv((2, 7, 7), whole(4, 2, 5, 5), None, stride=1, padding=1), "input")
    graph.add("a", Lif((4, 5, 5), 3 + 1 / 16), "wide")
    graph.add("strided", Conv((4, 5, 5), whole(6, 4, 2, 2), whole(6), stride=3), "a")
    graph.add("qkv", Lif((6, 2, 2), 2 + 1 / 16), "strided")
    graph.add("attention", Attention((2, 2, 2), 1, 2.0), "qkv")
    graph.add("b", Lif((2, 2, 2), 1 + 1 / 16), "attention")
    graph.add("dense", Dense(whole(16, 1, 1, 2, 2, 2), whole(16)), "b")
    graph.add("c", Lif((16, 1, 1), 1 + 1 / 16), "dense")
    graph.add("shortcut", Conv((16, 1, 1), whole(16, 16, 1, 1), whole(16)), "c")
    graph.add("d", Lif((16, 1, 1), 5 + 1 / 16), "dense", "shortcut")
    graph.add("votes", Conv((16, 1, 1), np.eye(16)[:, :, None, None]), "d")
    graph.add("vote", Counter((16, 1, 1), 2), "votes")
    graph.add("output", Output((16, 1, 1)), "vote")
    return graph


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(3))
def test_graphs_of_other_shapes(seed: int, dtype: type[np.floating]) -> None:
    graph = random_graph(seed)
    assert certify(graph).exact_in == "float32"
    model = onnx.helper.make_model(
        OnnxWriter(graph, dtype).write(), opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10
    )
    onnx.checker.check_model(model, full_check=True)
    frames = (np.random.default_rng(seed).random((6, 3, 2, 7, 7)) < 0.3).astype(np.uint8)
    expected, spikes = GraphExecutor(graph).layers(frames)
    codes, counts = run(model, frames)
    assert np.array_equal(codes, expected)
    assert np.array_equal(counts, totals(spikes))
    assert 0 < np.unpackbits(codes).mean() < 1


def test_files_are_deterministic() -> None:
    network = build_network(calibrated(SMALL))
    assert build_onnx(network).SerializeToString() == build_onnx(network).SerializeToString()
