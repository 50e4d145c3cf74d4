"""Written files: they compute what the network computes, and what is broken is refused."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import nir
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from deploy.backends.encoders import Trace, load_encoder
from deploy.backends.verify import compare
from export.encoder.executor import GraphExecutor
from export.encoder.network import Network, build_network
from export.encoder.operations import Conv
from export.nir.interpreter import Interpreter
from export.nir.metadata import read_encoder
from export.nir.read import KEY, read_graph
from export.nir.to_nir import export_nir
from export.nir.trace import first_difference, input_spikes, layer_spikes, output_codes, recorded_nodes
from export.onnx import to_onnx
from export.onnx.int8 import store_weights_as_int8
from spikinghash.errors import CheckpointError, ComparisonError, GraphError, SpikinghashError
from tests.networks import DEEP, SMALL, calibrated, random_frames
from training.config import EncoderConfig


@pytest.mark.parametrize("numbers", ["integer", "float"])
@pytest.mark.parametrize("dialect", ["native", "portable"])
@pytest.mark.parametrize("config", [SMALL, DEEP], ids=["small", "deep"])
def test_written_graph_equals_the_network(tmp_path: Path, config: EncoderConfig, dialect: str, numbers: str) -> None:
    network = build_network(calibrated(config), numbers)  # type: ignore[arg-type]
    path = tmp_path / "encoder.nir"
    export_nir(network, path, dialect)  # type: ignore[arg-type]
    graph, metadata = read_encoder(path)
    frames = random_frames(config, 6, seed=5)
    codes, spikes = network.executor().layers(frames)
    assert all(value.any() for value in spikes.values()), "every layer must spike for the comparison to mean anything"
    outputs, recorded = Interpreter(graph).run(input_spikes(frames, metadata), recorded_nodes(metadata))
    assert first_difference(spikes, layer_spikes(recorded, metadata)) is None
    assert np.array_equal(output_codes(outputs), codes)
    if dialect == "portable":
        assert {type(node) for node in graph.nodes.values()} == {nir.Input, nir.Output, nir.Conv2d, nir.LIF}
        assert all(node.groups == 1 for node in graph.nodes.values() if isinstance(node, nir.Conv2d))
        for node in graph.nodes.values():
            if isinstance(node, nir.LIF):
                for values in (node.tau, node.r, node.v_threshold, node.v_reset, node.v_leak):
                    assert np.unique(values).size == 1


def test_dense_graph_has_no_convolution_and_the_same_codes(tmp_path: Path) -> None:
    network = build_network(calibrated(SMALL))
    path = tmp_path / "dense.nir"
    metadata, _ = export_nir(network, path, "portable", dense=True)
    graph = read_graph(path)
    assert {type(node) for node in graph.nodes.values()} == {nir.Input, nir.Output, nir.Affine, nir.LIF}
    frames = random_frames(SMALL, 4, seed=6)
    flat = input_spikes(frames, metadata).reshape(4, metadata.steps, -1)
    assert np.array_equal(output_codes(Interpreter(graph).run(flat)[0]), network.executor().layers(frames)[0])


def test_files_are_deterministic(tmp_path: Path) -> None:
    network = build_network(calibrated(SMALL))
    for name in ("a.nir", "b.nir"):
        export_nir(network, tmp_path / name)
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b.nir").read_bytes()


def test_onnx_model_stands_on_its_own(tmp_path: Path) -> None:
    """ONNX Runtime alone, any batch size, no operator of ours; counts of every layer."""
    network = build_network(calibrated(SMALL))
    path = tmp_path / "encoder.onnx"
    to_onnx.export_onnx(network, path)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {(entry.domain, entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")} == {
        ("", 20)
    }
    assert not {node.domain for node in model.graph.node} - {""}
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == "tensor(uint8)"
    executor = network.executor()
    for batch in (1, 2, 7, 33):
        frames = random_frames(SMALL, batch, seed=batch)
        codes, counts = session.run(None, {"frames": frames})
        expected = executor(torch.from_numpy(frames))
        assert np.array_equal(codes, expected.codes.numpy())
        assert np.array_equal(counts, expected.spike_counts.numpy())


def test_int8_model_is_smaller_and_the_same(tmp_path: Path) -> None:
    network = build_network(calibrated(SMALL))
    to_onnx.export_onnx(network, tmp_path / "float.onnx")
    to_onnx.export_onnx(network, tmp_path / "int8.onnx", int8=True)
    weights = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(tmp_path / "int8.onnx").graph.initializer
    }
    stored = sum(value.size for value in weights.values() if value.dtype == np.int8)
    assert stored > 0.9 * sum(value.size for value in weights.values())
    frames = random_frames(SMALL, 9, seed=2)
    results = [
        onnxruntime.InferenceSession(str(tmp_path / name), providers=["CPUExecutionProvider"]).run(
            None, {"frames": frames}
        )
        for name in ("float.onnx", "int8.onnx")
    ]
    for plain, small in zip(*results, strict=True):
        assert np.array_equal(plain, small)
    assert (tmp_path / "int8.onnx").stat().st_size < (tmp_path / "float.onnx").stat().st_size


def test_int8_kernels_have_a_scale_per_channel() -> None:
    """MNN 3.6 misreads a single one before a Conv: 0 of 20 codes of nmnist.pt were right, 20 with one per channel."""
    model = store_weights_as_int8(to_onnx.build_onnx(build_network(calibrated(SMALL))))
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    kernels = [made[node.input[1]] for node in model.graph.node if node.op_type == "Conv" and node.input[1] in made]
    assert kernels
    for node in kernels:
        mantissas, scales = (values[name] for name in node.input)
        assert scales.shape == mantissas.shape[:1]
        assert next(each.i for each in node.attribute if each.name == "axis") == 0


class Tampered(Network):
    """A network whose graph on paper and whose graph in execution differ by one weight."""

    def executor(self) -> GraphExecutor:
        graph = self.graph.copy()
        node = graph.nodes["stage1_down"]
        assert isinstance(node, Conv)
        graph.nodes["stage1_down"] = dataclasses.replace(node, weight=node.weight + 1.0)
        return GraphExecutor(graph).eval()


@pytest.mark.parametrize("kind", ["nir", "onnx"])
def test_a_mismatch_is_an_error_and_leaves_no_file(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_network(calibrated(SMALL))
    values = {field.name: getattr(network, field.name) for field in dataclasses.fields(network)}
    tampered = Tampered(**values)
    if kind == "onnx":
        model = to_onnx.build_onnx(network)
        monkeypatch.setattr(to_onnx, "build_onnx", lambda *_: model)
    export = export_nir if kind == "nir" else to_onnx.export_onnx
    with pytest.raises(ComparisonError, match="stage1_block0_mixer_lif"):
        export(tampered, tmp_path / f"encoder.{kind}")
    assert not list(tmp_path.iterdir())


def test_one_weight_changed_by_one_is_found(tmp_path: Path) -> None:
    """Mutation of every linear node of the file: whatever alters a traced spike is reported, at its layer."""
    network = build_network(calibrated(SMALL))
    path = tmp_path / "encoder.nir"
    export_nir(network, path)
    frames = random_frames(SMALL, 8, seed=9)
    codes, spikes = network.executor().layers(frames)
    graph, metadata = read_encoder(path)
    generator = np.random.default_rng(0)
    altered: set[str] = set()
    linear = [name for name, node in graph.nodes.items() if isinstance(node, nir.Conv2d)]
    for name in np.repeat(linear, 3):
        weight = graph.nodes[name].weight
        place = tuple(generator.choice(np.argwhere(weight != 0)))
        before = weight[place]
        weight[place] = before + 2.0  # weights of LIF inputs are stored doubled
        outputs, recorded = Interpreter(graph).run(input_spikes(frames, metadata), recorded_nodes(metadata))
        weight[place] = before
        shown = layer_spikes(recorded, metadata)
        traced = Trace(output_codes(outputs), {}, shown)
        changed = any(not np.array_equal(shown[layer], spikes[layer]) for layer in spikes)
        altered |= {name} if changed else set()
        assert compare("nir", codes, spikes, traced).equal != (changed or not np.array_equal(traced.codes, codes))
    assert len(altered) > len(linear) / 3


def broken_files(tmp_path: Path) -> dict[str, Path]:
    network = build_network(calibrated(SMALL))
    good = tmp_path / "good.nir"
    export_nir(network, good)
    content = good.read_bytes()
    files = {
        name: tmp_path / f"{name}.nir" for name in ("missing", "empty", "text", "truncated", "foreign", "newer", "junk")
    }
    files["empty"].write_bytes(b"")
    files["text"].write_text("not a graph\n")
    files["truncated"].write_bytes(content[: len(content) // 2])
    inout = {"input": nir.Input(np.array([2])), "output": nir.Output(np.array([2]))}
    nir.write(str(files["foreign"]), nir.NIRGraph(inout, [("input", "output")]))
    for name, change in (("newer", ('"format":1', '"format":99')), ("junk", ('"format":1', "format"))):
        shutil.copy(good, files[name])
        with h5py.File(files[name], "r+") as file:
            holder = file["node"]["metadata"] if "metadata" in file["node"] else file["metadata"]
            text = holder[KEY][()].decode()
            assert change[0] in text
            del holder[KEY]
            holder[KEY] = text.replace(*change)
    return files


def test_broken_nir_files_are_refused_in_one_line(tmp_path: Path) -> None:
    expected = {
        "missing": "no such file", "empty": "not a readable NIR file", "text": "not a readable NIR file",
        "truncated": "not a readable NIR file", "foreign": "lacks the metadata", "newer": "metadata format 99",
        "junk": "no JSON",
    }  # fmt: skip
    for name, path in broken_files(tmp_path).items():
        with pytest.raises(GraphError) as caught:
            read_encoder(path)
        assert expected[name] in str(caught.value), name
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_broken_models_and_checkpoints_are_refused(tmp_path: Path) -> None:
    for name, error in (("bad.onnx", GraphError), ("bad.pt", CheckpointError)):
        (tmp_path / name).write_bytes(b"nonsense" * 10)
        with pytest.raises(error, match=name):
            load_encoder(tmp_path / name)
    torch.save({"format": 99}, tmp_path / "newer.pt")
    with pytest.raises(CheckpointError, match="format 99"):
        load_encoder(tmp_path / "newer.pt")
    torch.save({"weights": {}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="no format version"):
        load_encoder(tmp_path / "other.pt")
    with pytest.raises(GraphError, match="unknown kind"):
        load_encoder(tmp_path / "encoder.txt")
    with pytest.raises(SpikinghashError, match=r"--backend lava: does not run \.onnx"):
        load_encoder(tmp_path / "x.onnx", "lava")


def test_the_command_ends_with_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "bad.nir").write_text("no graph")
    command = [sys.executable, "-m", "deploy.run", str(tmp_path / "bad.nir"), "recording.bin"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert not done.stdout
