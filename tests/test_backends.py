"""The committed checkpoint on torch, ONNX Runtime, the NIR interpreter and real Lava: the same codes, bit for bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
import pytest

from deploy.backends.encoders import load_encoder
from deploy.backends.graph_run import run_on_file
from deploy.backends.lava_backend import find_interpreter
from deploy.backends.run import encode_recordings
from deploy.backends.verify import compare, trace_backend
from export.encoder.network import load_network
from export.nir.to_nir import export_nir
from export.onnx.to_onnx import export_onnx
from spikinghash.errors import GraphError, MissingToolError, SpikinghashError
from training.data.digits import write_recordings

CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "digits.pt"
BACKENDS = {"torch": "pt", "events": "onnx", "onnxruntime": "onnx", "nir": "nir", "lava": "nir"}

pytestmark = pytest.mark.xdist_group("committed checkpoint")  # one export serves all tests of this file


def lava_or_skip(backend: str) -> str:
    if backend == "lava":
        try:
            find_interpreter()
        except MissingToolError as error:
            pytest.skip(str(error))
    return backend


@pytest.fixture(scope="session")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The committed checkpoint and its exports, by suffix."""
    folder = tmp_path_factory.mktemp("encoders")
    network = load_network(CHECKPOINT)
    files = {"pt": CHECKPOINT, "nir": folder / "encoder.nir", "onnx": folder / "encoder.onnx"}
    export_nir(network, files["nir"])
    export_onnx(network, files["onnx"])
    return files


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten recordings, one of each class."""
    return write_recordings(tmp_path_factory.mktemp("digits"), range(0, 5000, 500))


def test_checkpoint_is_small() -> None:
    assert CHECKPOINT.stat().st_size <= 2_000_000


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "torch"])
def test_backends_agree_on_digits(encoders: dict[str, Path], digits: list[Path], backend: str) -> None:
    expected = encode_recordings(load_encoder(CHECKPOINT, "torch"), digits)
    encoder = load_encoder(encoders[BACKENDS[backend]], lava_or_skip(backend))
    assert np.array_equal(encode_recordings(encoder, digits), expected)
    assert len(np.unique(expected, axis=0)) >= 8, "ten digits must not fall on few codes"


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "torch"])
def test_backends_agree_on_real_recordings(encoders: dict[str, Path], nmnist_folder: Path, backend: str) -> None:
    recordings = sorted(nmnist_folder.glob("NMNIST/Train/*/*.bin"))[::100]
    assert len(recordings) == 10
    expected = encode_recordings(load_encoder(CHECKPOINT, "torch"), recordings)
    encoder = load_encoder(encoders[BACKENDS[backend]], lava_or_skip(backend))
    assert np.array_equal(encode_recordings(encoder, recordings), expected)


def test_verify_sees_every_layer_alike(encoders: dict[str, Path]) -> None:
    """What ``export.verify`` compares: layer by layer, spike by spike."""
    network = load_network(CHECKPOINT)
    frames = (np.random.default_rng(0).random((2, network.config.time_steps, 2, 32, 32)) < 0.05).astype(np.uint8)
    codes, spikes = network.executor().layers(frames)
    for backend, kind in BACKENDS.items():
        traced = trace_backend(lava_or_skip(backend), encoders[kind], frames)
        result = compare(backend, codes, spikes, traced)
        assert result.equal, result
        assert len(result.counts) == len(spikes)


def verify_command(*arguments: object) -> subprocess.CompletedProcess[str]:
    base = [sys.executable, "-m", "export.verify", str(CHECKPOINT), "--samples", "2"]
    return subprocess.run([*base, *map(str, arguments)], capture_output=True, text=True)


def test_verify_ends_with_0_when_all_are_equal_and_1_when_not(encoders: dict[str, Path], tmp_path: Path) -> None:
    files = [argument for kind in ("nir", "onnx") for argument in ("--encoder", encoders[kind])]
    good = verify_command("--backends", "torch,onnxruntime,nir", *files, "--json")
    assert good.returncode == 0, good.stderr
    results = json.loads(good.stdout)["results"]
    assert [result["backend"] for result in results] == ["torch", "onnxruntime", "nir"]
    assert all(result["codes_equal"] and result["difference"] is None for result in results)
    graph = nir.read(str(encoders["nir"]))
    weight = graph.nodes["stage1_down"].weight
    weight[np.unravel_index(np.argmax(np.abs(weight)), weight.shape)] *= -1
    nir.write(str(tmp_path / "tampered.nir"), graph)
    bad = verify_command("--backends", "nir", "--encoder", tmp_path / "tampered.nir")
    assert bad.returncode == 1
    assert "nir differs from the network: layer stage1_block0_mixer_lif" in bad.stderr
    assert verify_command("--backends", "abacus").returncode == 2


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.run", *map(str, arguments)], capture_output=True, text=True, env=dict(os.environ)
    )


def test_command_prints_one_code_on_every_backend(encoders: dict[str, Path], digits: list[Path]) -> None:
    lines = set()
    for backend, kind in BACKENDS.items():
        done = command(encoders[kind], digits[3], "--backend", lava_or_skip(backend))
        assert done.returncode == 0, done.stderr
        lines.add(done.stdout)
    (line,) = lines
    code, _, file = line.strip().partition("  ")
    assert file == str(digits[3])
    assert len(bytes.fromhex(code)) == 4
    assert code == code.lower()


def test_command_prints_json(encoders: dict[str, Path], digits: list[Path]) -> None:
    done = command(encoders["onnx"], *digits[:3], "--json")
    rows = json.loads(done.stdout)
    assert [row["file"] for row in rows] == [str(path) for path in digits[:3]]
    assert all(row["bits"] == 32 and len(row["code"]) == 8 for row in rows)
    expected = encode_recordings(load_encoder(CHECKPOINT, "torch"), digits[:3])
    assert [row["code"] for row in rows] == [code.tobytes().hex() for code in expected]


def test_bad_recordings_are_named(encoders: dict[str, Path], tmp_path: Path) -> None:
    broken = {"truncated.bin": b"\1\2\3\4\5\6\7", "empty.bin": b"", "outside.bin": bytes([200, 3, 128, 0, 1]) * 9}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        done = command(encoders["pt"], tmp_path / name)
        assert done.returncode == 2
        assert name in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_any_graph_runs_on_arrays(tmp_path: Path) -> None:
    shape = (3,)
    nodes = {
        "input": nir.Input(np.array(shape)),
        "lif": nir.LIF(*(np.full(shape, value) for value in (2e-4, 1.0, 0.0, 0.6)), v_reset=np.zeros(shape)),
        "output": nir.Output(np.array(shape)),
    }
    nir.write(str(tmp_path / "graph.nir"), nir.NIRGraph(nodes, [("input", "lif"), ("lif", "output")]))
    spikes = np.ones((2, 5, 3), np.float32)
    np.savez(tmp_path / "x.npz", spikes=spikes)
    outputs = run_on_file(tmp_path / "graph.nir", tmp_path / "x.npz", "nir").outputs
    assert outputs[0, :, 0].tolist() == [0, 1, 0, 1, 0]
    done = command(tmp_path / "graph.nir", "--input", tmp_path / "x.npz", "--output", tmp_path / "y.npz", "--json")
    assert np.array_equal(json.loads(done.stdout)["outputs"], outputs)
    assert np.array_equal(np.load(tmp_path / "y.npz")["outputs"], outputs)


def test_graphs_need_arrays_of_their_shape(tmp_path: Path) -> None:
    with pytest.raises(SpikinghashError, match="does not run NIR graphs"):
        run_on_file(tmp_path / "graph.nir", tmp_path / "x.npz", "torch")
    np.savez(tmp_path / "x.npz", spikes=np.ones((1, 2, 2)))
    whole = (tmp_path / "x.npz").read_bytes()
    for damaged in (b"", whole[:-9], whole[:80] + b"?" + whole[81:]):
        (tmp_path / "x.npz").write_bytes(damaged)
        with pytest.raises(GraphError, match=r"x\.npz"):
            run_on_file(tmp_path / "graph.nir", tmp_path / "x.npz", "nir")
