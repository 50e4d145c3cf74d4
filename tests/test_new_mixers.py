"""Mixers that were added later: depthwise convolutions from the config, and an operation that only this file knows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from report_cases import report_of

from deploy.backends.encoders import load_encoder
from deploy.backends.lava_backend import LavaBackend, find_interpreter
from export.encoder.certify import certify
from export.encoder.executor import GraphExecutor
from export.encoder.graph import Graph
from export.encoder.lowering import lower
from export.encoder.network import Network, build_network
from export.encoder.node import Array, Linear, OnnxWriter, Shape, Value
from export.encoder.operations import Conv, Counter, Dense, Input, Lif, Output
from export.encoder.passes.quantise import quantise
from export.loihi.executor import LoihiExecutor
from export.nir.dialects.native import write_native
from export.nir.dialects.portable import write_portable
from export.nir.interpreter import Interpreter
from export.nir.metadata import read_encoder
from export.nir.to_nir import export_nir
from export.nir.trace import input_spikes, output_codes
from export.onnx.to_onnx import build_onnx, export_onnx
from export.onnx.writer import OnnxWriter as Writer
from export.synaptic.counting import trace_counts
from spikinghash.errors import MissingToolError
from tests.networks import SMALL, bars
from training.checkpoint import load_checkpoint
from training.config import Config, EncoderConfig, TrainConfig
from training.data.splits import split
from training.train import train

CHANGES = {"mixers": ("dwconv", "swm", "dwconv"), "levels": (0, 1, 0), "vote": 1}
DEPTHWISE = EncoderConfig.model_validate(SMALL.model_dump() | CHANGES)
"""The third stage, and what feeds the second, are laid out in blocks of pixels."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with depthwise convolutions, trained for five epochs."""
    folder, data = tmp_path_factory.mktemp("depthwise"), bars()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.train.load_data", lambda config: (data, split(data.labels)))
        settings = TrainConfig(epochs=5, batch_size=16, learning_rate=5e-3, max_shift=0)
        train(Config(encoder=DEPTHWISE, train=settings), folder, torch.device("cpu"))
    return folder / "last.pt"


@pytest.fixture(scope="module")
def network(checkpoint: Path) -> Network:
    return build_network(load_checkpoint(checkpoint).model())


@pytest.fixture(scope="module")
def encoder(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("depthwise") / "encoder.nir"
    export_nir(network, path)
    return path


def test_kernels_stay_apart_in_the_graph_and_in_onnx(network: Network) -> None:
    mixer = network.graph.nodes["stage1_block0_mixer"]
    assert isinstance(mixer, Conv)
    assert mixer.weight.shape == (4, 1, 3, 3)
    laid_out = mixer.relaid("mixer", 2, 2)
    assert (laid_out.groups, laid_out.weight.shape) == (4, (16, 4, 3, 3))
    convolutions = [node for node in build_onnx(network).graph.node if node.name.startswith("stage1_block0_mixer/Conv")]
    assert [onnx.helper.get_node_attr_value(node, "group") for node in convolutions] == [4]


@pytest.mark.parametrize("backend", ["onnxruntime", "nir", "portable", "loihi", "lava"])
def test_depthwise_convolutions_compute_alike_everywhere(
    backend: str, network: Network, encoder: Path, tmp_path: Path
) -> None:
    frames = bars().frames[:12]
    codes, spikes = network.executor().layers(frames)
    assert spikes["stage1_block0_mixer_lif"].any()
    assert len(np.unique(codes, axis=0)) > 1
    if backend == "onnxruntime":
        export_onnx(network, tmp_path / "encoder.onnx")
        found = load_encoder(tmp_path / "encoder.onnx").encode(frames)
    elif backend == "loihi":
        found, _ = LoihiExecutor(network.graph).layers(frames)
    elif backend == "lava":
        try:
            find_interpreter()
        except MissingToolError as error:
            pytest.skip(str(error))
        outputs, _ = LavaBackend(executor="local").run(encoder, input_spikes(frames, read_encoder(encoder)[1]), [])
        found = output_codes(outputs)
    else:
        path = encoder
        if backend == "portable":
            path = tmp_path / "portable.nir"
            export_nir(network, path, "portable")
        found = load_encoder(path, "nir").encode(frames)
    np.testing.assert_array_equal(found, codes)


def test_depthwise_convolutions_are_counted_and_priced(network: Network, encoder: Path) -> None:
    frames = bars().frames[:5]
    counts = trace_counts(encoder, frames, 1e5)
    # What the graph's own map says that its spikes reach is what the written file counts where nothing else arrives.
    spikes = network.executor().layers(frames)[1]["stage1_block0_mixer_lif"]
    mixer = network.graph.nodes["stage1_block0_mixer"]
    down = network.graph.nodes["stage1_down"]
    assert isinstance(mixer, Conv)
    assert isinstance(down, Conv)
    (layer,) = (layer for layer in counts.layers if layer.name == "stage1_block0_mlp_lif")
    events = np.einsum("btchw,chw->b", frames.astype(float), down.fan_out()) + np.einsum(
        "btchw,chw->b", spikes.astype(float), mixer.fan_out()
    )
    biases = DEPTHWISE.time_steps * np.count_nonzero(
        read_encoder(encoder)[0].nodes["stage1_block0_mlp_lif_bias"].weight
    )
    np.testing.assert_array_equal(layer.synops - biases, events)
    platforms = report_of(counts=counts).platforms
    assert sum(bool(platform.bills) for platform in platforms) > len(platforms) / 2
    assert all(platform.bills or platform.refusals for platform in platforms)


@dataclass(frozen=True)
class Neighbour(Linear):
    """Each pixel reads the one to its right: a whole new operation in one class."""

    shape: Shape
    weight: Array
    """(C,)."""
    bias: Array | None = None

    def currents(self, spikes: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(spikes[..., 1:], (0, 1)) * weight.reshape(-1, 1, 1)

    def rows(self) -> Array:
        return self.weight.reshape(-1, 1, 1)

    def convolution(self) -> Conv:
        """The same as one tap of a kernel."""
        kernel = np.zeros((len(self.weight), 1, 3, 3))
        kernel[:, 0, 1, 2] = self.weight
        return Conv(self.shape, kernel, self.bias, padding=1, groups=len(self.weight))

    def expand(self, graph: Graph, name: str, keep_large: bool) -> None:
        graph.nodes[name] = self.convolution()

    def to_onnx(self, name: str, writer: OnnxWriter, total: Value) -> Value:
        return self.convolution().to_onnx(name, writer, total)


def shifted() -> Graph:
    """A float network with an operation that nothing in the package names."""
    draw = np.random.default_rng(0)
    graph = Graph(4)
    graph.add("input", Input((2, 8, 8)))
    graph.add("down", Conv((2, 8, 8), draw.standard_normal((3, 2, 3, 3)), draw.standard_normal(3), 2, 1), "input")
    graph.add("lif", Lif((3, 4, 4), 1.0), "down")
    graph.add("neighbour", Neighbour((3, 4, 4), draw.uniform(0.5, 2.0, 3), draw.standard_normal(3)), "lif")
    graph.add("after", Lif((3, 4, 4), 1.0), "down", "neighbour")
    graph.add("dense", Dense(draw.standard_normal((8, 1, 1, 3, 4, 4))), "after")
    graph.add("hash", Lif((8, 1, 1), 1.0), "dense")
    graph.add("count", Conv((8, 1, 1), np.eye(8)[:, :, None, None]), "hash")
    graph.add("output", Output((8, 1, 1)), graph.add("vote", Counter((8, 1, 1), 2), "count"))
    return graph


def run_onnx(graph: Graph, frames: NDArray[np.uint8]) -> Any:
    model = onnx.helper.make_model(
        Writer(graph, np.float32).write(), opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10
    )
    return onnxruntime.InferenceSession(model.SerializeToString()).run(["codes"], {"frames": frames})[0]


def test_a_new_operation_is_one_class() -> None:
    graph, _ = quantise(shifted())
    assert certify(graph).exact_in == "float32"
    frames = (np.random.default_rng(1).random((16, 4, 2, 8, 8)) < 0.3).astype(np.uint8)
    codes, spikes = GraphExecutor(graph).layers(frames)
    assert 0.1 < np.unpackbits(codes).mean() < 0.9
    without = graph.copy()
    without.nodes["neighbour"] = graph.nodes["neighbour"].with_numbers(np.zeros(3), None)  # type: ignore[attr-defined]
    assert not np.array_equal(GraphExecutor(without).layers(frames)[1]["after"], spikes["after"])
    np.testing.assert_array_equal(LoihiExecutor(graph).layers(frames)[0], codes)
    np.testing.assert_array_equal(run_onnx(graph, frames), codes)
    window = np.concatenate([frames, np.ones_like(frames[:, :, :1])], axis=2)
    for write in (write_native, write_portable):
        outputs, _ = Interpreter(write(lower(graph))[0]).run(window)
        np.testing.assert_array_equal(output_codes(outputs), codes)
