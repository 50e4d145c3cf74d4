"""A classification head from training to every backend: counts per class, the class that has most, its name."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import deploy.backends.run as deploy_run
import deploy.report.__main__ as report
import deploy.search.__main__ as search
import export.loihi.drift as drift
import export.nir.inspect as inspect
import spikinghash
from deploy.backends import verify
from deploy.backends.encoders import load_encoder
from deploy.backends.events.files import read_network
from deploy.backends.events.steps import EventsSteps
from deploy.backends.lava_backend import find_interpreter
from deploy.backends.simulator_backend import find_interpreter as find_simulators
from deploy.report.model import read_report
from export.encoder.evaluate import held_out_accuracies, result_rows
from export.encoder.network import Network, build_network
from export.nir.to_nir import export_nir
from export.onnx.to_onnx import export_onnx
from spikinghash.errors import MissingToolError
from tests.commands import Call
from tests.networks import SMALL, bars, calibrated, random_frames
from training.baselines.fit import fit, value_classifier
from training.baselines.losses import TwinClassLoss
from training.baselines.twin import AnnTwin
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.classes import ClassLoss, accuracy, chosen
from training.config import Config, TrainConfig
from training.data.splits import split
from training.model.encoder import HashOutput

CONFIG = SMALL.model_copy(update={"head": "classes", "bits": 5})
NAMES = ("ant", "bee", "cow", "dog", "elk")
FRAMES = random_frames(CONFIG, 6)


@pytest.fixture(scope="module")
def network() -> Network:
    return build_network(calibrated(CONFIG), classes=NAMES)


@pytest.fixture(scope="module")
def files(network: Network, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The encoder in every form, by name."""
    folder = tmp_path_factory.mktemp("classes")
    checkpoint = Checkpoint(Config(encoder=CONFIG), calibrated(CONFIG).state_dict(), 1, {}, classes=NAMES)
    save_checkpoint(folder / "encoder.pt", checkpoint)
    export_onnx(network, folder / "encoder.onnx")
    export_nir(network, folder / "native.nir")
    export_nir(network, folder / "portable.nir", "portable")
    return {path.name: path for path in folder.iterdir()}


def recording() -> np.ndarray:
    """Events of a sensor of 16 x 16 pixels."""
    events = np.zeros(200, [("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("p", "?")])
    generator = np.random.default_rng(0)
    events["x"], events["y"] = generator.integers(0, 16, (2, 200))
    events["t"], events["p"] = np.arange(200) * 50, generator.random(200) < 0.5
    return events


def expected() -> np.ndarray:
    """Spikes of the class neurons of the trained network, (B, K)."""
    with torch.no_grad():
        spikes = calibrated(CONFIG)(torch.from_numpy(FRAMES)).spikes
    return spikes.sum(0).numpy().astype(np.int32)


def test_the_float_graph_counts_what_the_trained_network_does() -> None:
    counts = build_network(calibrated(CONFIG), "float").executor().encode(FRAMES)
    np.testing.assert_array_equal(counts, expected())
    assert len(np.unique(counts)) > 2
    assert len(np.unique(chosen(counts))) > 1


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("encoder.pt", "torch"),
        ("encoder.pt", "events"),
        ("encoder.onnx", "events"),
        ("encoder.onnx", "onnxruntime"),
        ("native.nir", "nir"),
        ("portable.nir", "nir"),
        ("native.nir", "lava"),
        ("native.nir", "nest"),
    ],
)
def test_backends_count_alike(name: str, backend: str, files: dict[str, Path], network: Network) -> None:
    try:
        _ = find_interpreter() if backend == "lava" else find_simulators() if backend == "nest" else None
    except MissingToolError as error:
        pytest.skip(str(error))
    counts, spikes = network.executor().layers(FRAMES)
    encoder = load_encoder(files[name], backend)
    assert encoder.classes == NAMES
    result = verify.compare(backend, counts, spikes, encoder.trace(FRAMES))
    assert result.equal, result
    np.testing.assert_array_equal(encoder.encode(FRAMES), counts)


def test_a_count_that_differs_is_found(network: Network, files: dict[str, Path]) -> None:
    counts, spikes = network.executor().layers(FRAMES)
    other = counts.copy()
    other[2, 3] += 1
    result = verify.compare("events", other, spikes, load_encoder(files["encoder.onnx"]).trace(FRAMES))
    assert (result.codes_equal, result.differing_bits) == (False, 1)


def test_onnx_tells_counts_and_the_first_of_the_largest(files: dict[str, Path], network: Network) -> None:
    session = onnxruntime.InferenceSession(files["encoder.onnx"].read_bytes(), providers=["CPUExecutionProvider"])
    quiet = np.concatenate([FRAMES, random_frames(CONFIG, 30, seed=2, density=0.02)])
    counts, classes, _ = session.run(["classes", "class", "spike_counts"], {"frames": quiet})
    np.testing.assert_array_equal(counts, network.executor().encode(quiet))
    np.testing.assert_array_equal(classes, [max(range(5), key=lambda k: (row[k], -k)) for row in counts.tolist()])
    assert any((row == row.max()).sum() > 1 for row in counts), "no tie tells that the first one wins"


def test_steps_that_come_one_by_one_count_alike(files: dict[str, Path], network: Network) -> None:
    steps = EventsSteps(read_network(files["encoder.onnx"]))
    for sample, counts in zip(FRAMES, network.executor().encode(FRAMES), strict=True):
        for start in range(0, CONFIG.time_steps, steps.block):
            steps.push(sample[start : start + steps.block])
        np.testing.assert_array_equal(steps.code(), counts)


@pytest.mark.parametrize("name", ["encoder.pt", "encoder.onnx", "native.nir"])
def test_run_prints_the_names_of_the_checkpoint(
    name: str, files: dict[str, Path], network: Network, call: Call, tmp_path: Path
) -> None:
    np.save(tmp_path / "one.npy", recording())
    done = call(deploy_run.main, files[name], tmp_path / "one.npy", "--sensor", "16x16")
    assert (done.code, done.err) == (0, "")
    found, path = done.out.strip().split("  ")
    assert (found in NAMES, path) == (True, str(tmp_path / "one.npy"))
    (row,) = json.loads(call(deploy_run.main, files[name], path, "--sensor", "16x16", "--json").out)
    assert list(row) == ["file", "class", "counts"]
    assert (row["class"], list(row["counts"])) == (found, list(NAMES))
    assert row["counts"][found] == max(row["counts"].values())


def test_an_index_of_classes_is_refused(files: dict[str, Path], call: Call, tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros(1))
    done = call(search.main, "build", tmp_path, "--encoder", files["encoder.onnx"], "--index", tmp_path / "index")
    assert (done.code, done.out) == (2, "")
    assert 'it tells 5 classes, and has no codes to search by: train with encoder.head = "hash"' in done.err
    assert not (tmp_path / "index").exists()


def test_what_is_imported_tells_counts_and_names(files: dict[str, Path], network: Network) -> None:
    encoder = spikinghash.load(files["encoder.onnx"])
    assert encoder.classes == NAMES
    np.testing.assert_array_equal(encoder.encode(FRAMES[0]), network.executor().encode(FRAMES[:1])[0])


def test_a_report_gives_accuracy_in_the_place_of_map(files: dict[str, Path], call: Call, tmp_path: Path) -> None:
    rows = result_rows(files["encoder.pt"], Config(encoder=CONFIG), {"float": 0.5, "integer": 0.75})
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    np.save(tmp_path / "one.npy", recording())
    network = build_network(calibrated(CONFIG), "integer", hashlib.sha256(files["encoder.pt"].read_bytes()).hexdigest(),
                            "digits", NAMES)  # fmt: skip
    export_nir(network, tmp_path / "encoder.nir")
    figures = ("--results", tmp_path / "rows.json", "--dataset", "digits", "--platforms", "cmos_45nm,x86_cpu")
    done = call(report.main, tmp_path / "encoder.nir", *figures, "--out", tmp_path)
    assert done.code == 0, done.err
    made = read_report(tmp_path / "report.json")
    assert (made.spiking.figure, made.spiking.maps[0].value, made.unit, made.search) == (
        "top-1",
        0.75,
        "recording",
        None,
    )
    page = (tmp_path / "report.html").read_text()
    assert "top-1 against energy" in page
    assert "energy per recording" in page
    assert "mAP not measured" not in page
    assert "A recording takes" in done.out


def test_inspect_names_the_classes(files: dict[str, Path], call: Call, tmp_path: Path) -> None:
    done = call(inspect.main, files["native.nir"], "-o", tmp_path / "graph.svg")
    assert "classes: ant, bee, cow, dog, elk; the class is that of the neuron that spikes most often" in done.out


def test_drift_counts_spikes_per_class() -> None:
    *_, last = drift.drift(calibrated(CONFIG), FRAMES)
    assert (last.layer, last.integer.neuron_steps) == ("counts", 30)
    counts = build_network(calibrated(CONFIG)).executor().encode(FRAMES)
    assert last.integer.differing == int((counts != expected()).sum())


def test_outputs_without_a_name_have_their_number() -> None:
    assert build_network(calibrated(CONFIG), classes=NAMES[:2]).classes == ("ant", "bee", "2", "3", "4")


def test_the_loss_follows_potentials_and_spikes() -> None:
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand(4, 3, 5, generator=generator) > 0.5).double().requires_grad_()
    potentials = torch.randn(4, 3, 5, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0, 3, 4])
    value = ClassLoss()(HashOutput(spikes, potentials), labels)
    by_hand = 0.0
    for logits in (potentials.detach().sum(0).numpy(), 2 * spikes.detach().sum(0).numpy()):
        for row, label in zip(logits, labels.tolist(), strict=True):
            by_hand += (np.log(np.exp(row).sum()) - row[label]) / 3
    assert value.item() == pytest.approx(by_hand)
    value.backward()
    assert spikes.grad is not None
    assert potentials.grad is not None
    assert spikes.grad.any()
    assert potentials.grad.any()


def test_a_twin_with_the_same_head_learns() -> None:
    torch.manual_seed(0)
    dataset = bars()
    sets = split(dataset.labels)
    twin = AnnTwin(CONFIG.model_copy(update={"bits": 2}), 1)
    fit(twin, TwinClassLoss(), dataset, sets, TrainConfig(epochs=10, batch_size=16, learning_rate=1e-2, max_shift=0))
    assert accuracy(value_classifier(twin), dataset, sets.test) > 0.9


def test_accuracies_are_those_of_the_trained_and_of_the_deployed_network(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    dataset = bars()
    checkpoint = load_checkpoint(files["encoder.pt"])
    assert checkpoint.classes == NAMES
    sets = split(dataset.labels)
    found = held_out_accuracies(checkpoint, dataset, sets)
    frames, labels = dataset.frames[sets.test], dataset.labels[sets.test]
    for numbers in ("float", "integer"):
        counts = build_network(checkpoint.model(), numbers).executor().encode(frames)
        hits = sum(row.index(max(row)) == label for row, label in zip(counts.tolist(), labels.tolist(), strict=True))
        assert found[numbers] == pytest.approx(hits / len(labels))
