"""ONNX models in runtimes that we did not write: the same codes and spike counts."""

from pathlib import Path

import pytest
from numpy.testing import assert_array_equal

from deploy.backends.encoders import load_encoder
from deploy.backends.verify import verify
from export.encoder.network import build_network, load_network
from export.onnx.to_onnx import export_onnx
from spikinghash.errors import BackendError, GraphError
from tests.interop.environment import foreign_interpreter
from tests.interop.recordings import half_real
from tests.networks import DEEP, SMALL, TINY, calibrated, random_frames
from training.config import EncoderConfig

ROOT = Path(__file__).parents[2]
CLASSES = TINY.model_copy(update={"head": "classes", "bits": 5})

foreign_interpreter("openvino")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["digits", "nmnist"])
def test_committed_checkpoint_in_other_runtimes(name: str, nmnist_folder: Path) -> None:
    """Half digits, half real recordings; ncnn gives codes alone."""
    checkpoint = ROOT / "checkpoints" / f"{name}.pt"
    network = load_network(checkpoint)
    frames = half_real(nmnist_folder, network.config.time_steps)
    backends = ["onnxreference", "openvino", "mnn", "tract", "ncnn"]
    results = verify(network, checkpoint, frames, backends, {})
    for result in results:
        assert result.equal, result
    assert [len(result.counts) for result in results] == [23, 23, 23, 23, 0]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", ["openvino", "mnn", "tract", "ncnn"])
@pytest.mark.parametrize("config", [SMALL, DEEP, CLASSES], ids=["small", "deep", "classes"])
def test_every_form_in_other_runtimes(backend: str, config: EncoderConfig, tmp_path: Path) -> None:
    """Deeper wavelets, more steps and blocks, classes; weights in int8, a fixed batch, no counts."""
    if (backend, config) == ("mnn", SMALL):
        pytest.skip("two levels, see test_mnn_is_spared_what_it_crashes_on")
    network = build_network(calibrated(config), classes=tuple("abcde") if config is CLASSES else ())
    frames = random_frames(config, 24, seed=4)
    expected = network.executor().encode(frames)
    assert len({each.tobytes() for each in expected}) > 2, "equal codes say little"
    forms = {"plain": {}, "int8": {"int8": True}, "lean": {"batch": 1, "counts": False}}
    for name, form in ({"ncnn": {"runtime": "ncnn"}} if backend == "ncnn" else forms).items():
        export_onnx(network, tmp_path / f"{name}.onnx", **form)  # type: ignore[arg-type]
        assert_array_equal(load_encoder(tmp_path / f"{name}.onnx", backend).encode(frames), expected, name)


@pytest.mark.timeout(600)
def test_iree_compiles_a_small_encoder(tmp_path: Path) -> None:
    """A committed one takes ten seconds."""
    network = build_network(calibrated(TINY))
    export_onnx(network, tmp_path / "encoder.onnx")
    frames = random_frames(TINY, 20, seed=4)
    traced = load_encoder(tmp_path / "encoder.onnx", "iree").trace(frames)
    codes, spikes = network.executor().layers(frames)
    assert_array_equal(traced.codes, codes)
    for name, counts in traced.counts.items():
        assert_array_equal(counts, spikes[name].sum(axis=(1, 2, 3, 4)))


def test_mnn_is_spared_what_it_crashes_on(tmp_path: Path) -> None:
    """A wavelet of two levels is written as transpositions of twelve axes."""
    export_onnx(build_network(calibrated(SMALL)), tmp_path / "encoder.onnx")
    with pytest.raises(BackendError, match=r"^mnn: .*a tensor has 12 axes, MNN knows 9: train with levels"):
        load_encoder(tmp_path / "encoder.onnx", "mnn").encode(random_frames(SMALL, 1))


@pytest.mark.parametrize("backend", ["openvino", "mnn", "tract"])
def test_a_model_that_is_none_is_told_in_one_line(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "encoder.onnx"
    export_onnx(build_network(calibrated(TINY)), path)
    encoder = load_encoder(path, backend)
    path.write_bytes(b"\x08\x0a" + b"\x12" * 40)
    with pytest.raises(BackendError, match=rf"^{backend}: .*encoder\.onnx: ") as caught:
        encoder.encode(random_frames(TINY, 1))
    assert "\n" not in str(caught.value)


def test_ncnn_asks_for_its_own_form(tmp_path: Path) -> None:
    network = build_network(calibrated(TINY))
    export_onnx(network, tmp_path / "any.onnx")
    export_onnx(network, tmp_path / "ncnn.onnx", runtime="ncnn")
    for name, backend, remedy in (("any", "ncnn", "use --for ncnn"), ("ncnn", "mnn", "leave --for ncnn out")):
        with pytest.raises(GraphError, match=f"not a model that {backend} takes: .*{remedy}"):
            load_encoder(tmp_path / f"{name}.onnx", backend)
