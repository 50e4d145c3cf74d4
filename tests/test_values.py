"""Values that come in by any door and cannot be: not finite, of a wrong type, unknown, or absurdly large."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
import torch

from deploy.backends import to_nir
from deploy.backends.events.encoder import EventsEncoder
from deploy.backends.lava.job import read_settings
from deploy.report.hosts import __main__ as hosts
from deploy.search.milvus_index import MilvusIndex
from export.encoder.integer import Convolution, IntegerNetwork
from export.encoder.network import build_network, load_network
from export.nir import inspect
from export.nir.metadata import parse_metadata
from export.nir.read import read_graph
from export.onnx import to_onnx
from export.synaptic.counts import NetworkCounts
from hardware_profiles.loader import load_profile
from spikinghash.errors import (
    BackendError,
    CheckpointError,
    ConfigError,
    GraphError,
    ProfileError,
    RecordingError,
    SearchError,
    SpikinghashError,
)
from tests.commands import Call
from tests.energy_cases import small_counts
from tests.networks import TINY, calibrated
from training import publish
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.config import Config, DataConfig, TrainConfig, load_config
from training.data.recordings import load_recording, parse_sensor
from training.quantised import choose_grids, fold
from training.train import Experiment, prepare, restore

DEEP, LONG = "[" * 10_000, "9" * 5_000
"""More than Python's parsers take."""
EVENTS = {"t": np.arange(200) * 1000, "x": np.arange(200) % 8, "y": np.arange(200) % 5, "p": np.arange(200) % 2}


def refused(kind: type[SpikinghashError], call: Callable[[], object]) -> str:
    """The one line that refuses it."""
    with pytest.raises(kind) as refusal:
        call()
    message = str(refusal.value)
    assert refusal.value.exit_code == 2
    assert "\n" not in message
    assert len(message) < 500
    return message


@pytest.mark.parametrize("sensor", ["0x0", "0x9", "40000x9", "32768x32768", "99999999999x9", f"{LONG}x9", "-5x5", "9"])
def test_a_sensor_that_none_is(sensor: str, tmp_path: Path) -> None:
    refused(RecordingError, lambda: parse_sensor(sensor))
    rows = "\n".join(",".join(map(str, row)) for row in zip(*EVENTS.values(), strict=True))
    width, _, height = sensor.partition("x")
    (tmp_path / "a.csv").write_text(f"t,x@{width},y@{height},p\n{rows}\n")
    assert str(tmp_path) in refused(RecordingError, lambda: load_recording(tmp_path / "a.csv"))
    header = f"% evt 3.0\n% geometry {sensor}\n% end\n".encode()
    words = np.array([0x8003, 0x6005, 0x0005, 0x2003, 0x8004, 0x6007, 0x2002], "<u2")
    (tmp_path / "a.raw").write_bytes(header + words.tobytes())
    refused(RecordingError, lambda: load_recording(tmp_path / "a.raw"))


def test_the_largest_sensor_is_taken() -> None:
    assert parse_sensor("4096x4096") == (4096, 4096, 2)
    assert parse_sensor("32768x512") == (32768, 512, 2)


def write_hdf5(path: Path, **changes: object) -> Path:
    """Events in DSEC's layout, with other arrays for some; a number is the length of one that was never written."""
    with h5py.File(path, "w") as file:
        group = file.create_group("events")
        for name, values in (EVENTS | changes).items():
            if isinstance(values, int):
                group.create_dataset(name, shape=(values,), dtype="i8", chunks=(4096,), compression="gzip")
            else:
                group[name] = values
        file.attrs["sensor_resolution"] = (8, 8)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"t": EVENTS["t"] * np.nan}, "a time is nan"),
        ({"t": EVENTS["t"] * 1e300}, "a time is"),
        ({"t": EVENTS["t"] + 0j}, "of type complex128"),
        ({"t": h5py.Empty("i8")}, "is no array"),
        (dict.fromkeys(EVENTS, 2**26), "are stored"),
        (dict.fromkeys(EVENTS, 2**40), "events, at most"),
    ],
)
def test_hdf5_of_absurd_times_and_sizes(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5", **changes)
    assert message in refused(RecordingError, lambda: load_recording(path))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, "a", [1, 2], [-3, -4], [10**9, 10**9], [0.5, 0.5]])
def test_hdf5_of_absurd_attributes(value: object, tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5")
    assert len(load_recording(path).events) == 200
    with h5py.File(path, "r+") as file:
        if isinstance(value, list):
            file.attrs["sensor_resolution"] = value
        else:
            file["t_offset"] = value
    if value != [1, 2]:
        refused(RecordingError, lambda: load_recording(path))
    else:
        assert "outside the sensor" in refused(RecordingError, lambda: load_recording(path))


def test_events_that_pack_better_than_events_do(tmp_path: Path) -> None:
    zeros = np.zeros(2**21, np.int64)
    np.savez_compressed(tmp_path / "a.npz", t=zeros, x=zeros, y=zeros, p=np.zeros(2**21 + 1, np.int64))
    assert "when unpacked" in refused(RecordingError, lambda: load_recording(tmp_path / "a.npz", (8, 8, 2)))


def test_an_archive_of_a_version_that_zipfile_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=[1, 2], y=[1, 2], t=[1, 2], p=[0, 1])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] ^= 128  # the version that is needed to extract, APPNOTE.TXT 4.3.12
    path.write_bytes(content)
    assert "zip file version" in refused(RecordingError, lambda: load_recording(path, (8, 8, 2)))


def test_fields_of_several_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(5, [("x", "2i4"), ("y", "i4"), ("t", "i4"), ("p", "i4")]))
    assert "numbers are needed" in refused(RecordingError, lambda: load_recording(tmp_path / "a.npy", (8, 8, 2)))


def test_nir_arrays_that_claim_more_than_is_stored(tmp_path: Path) -> None:
    one = np.ones(2, np.float32)
    nodes = {
        "input": nir.Input({"input": np.array([2])}), "map": nir.Affine(np.eye(2, dtype=np.float32), one),
        "output": nir.Output({"output": np.array([2])}),
    }  # fmt: skip
    path = tmp_path / "a.nir"
    nir.write(path, nir.NIRGraph(nodes, [("input", "map"), ("map", "output")]))
    read_graph(path)
    with h5py.File(path, "r+") as file:
        del file["node/nodes/map/weight"]
        file.create_dataset("node/nodes/map/weight", shape=(5000, 5000), dtype="f4", chunks=(100, 100))
    assert "claims 100,000,000 bytes, 0 are stored" in refused(GraphError, lambda: read_graph(path))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.pt"
    save_checkpoint(path, Checkpoint(Config(encoder=TINY), calibrated(TINY).state_dict(), 1, {"loss": 1.0}))
    return path


def rewritten(path: Path, **changes: object) -> Path:
    """The checkpoint with other content, and no digest."""
    torch.save(torch.load(path, weights_only=True) | {"digest": None} | changes, path)
    return path


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.zeros(1).expand(10**6, 10**6), "more than it holds"),
        (torch.zeros(10).as_strided((10**5, 10**5), (0, 0)), "more than it holds"),
        (torch.zeros(5, 5).to_sparse(), "torch.sparse"),
        (torch.zeros(5, device="meta"), "on meta"),
        (torch.zeros(5, dtype=torch.complex64), "are torch.complex64"),
        (torch.zeros(5, dtype=torch.float64), "are torch.float64"),
        (torch.full((5,), -1.0), "a variance of -1"),
    ],
)
def test_tensors_that_no_training_saves(weight: torch.Tensor, message: str, checkpoint: Path) -> None:
    weights = load_checkpoint(checkpoint).weights
    name = next(name for name in weights if name.endswith("running_var"))
    rewritten(checkpoint, weights=weights | {name: weight})
    assert message in refused(CheckpointError, lambda: load_checkpoint(checkpoint))


def test_weights_that_no_integer_holds(checkpoint: Path) -> None:
    weights = load_checkpoint(checkpoint).weights
    scale = next(name for name in weights if name.endswith("norm.weight"))
    rewritten(checkpoint, weights=weights | {scale: torch.full_like(weights[scale], 1e38)})
    assert "64 bits cannot hold" in refused(GraphError, lambda: load_network(checkpoint).integer())


def test_grids_of_other_layers(checkpoint: Path) -> None:
    network = calibrated(TINY)
    fold(network)
    grids = choose_grids(network)
    rewritten(checkpoint, weights=network.state_dict(), grids=grids)
    assert load_checkpoint(checkpoint).model().grids == grids
    first = next(iter(grids))
    for wrong in ({}, grids | {"elsewhere": 1.0}, {key: value for key, value in grids.items() if key != first}):
        rewritten(checkpoint, grids=wrong)
        assert "of no layer" in refused(CheckpointError, lambda: load_checkpoint(checkpoint).model())


@pytest.mark.parametrize("version", [99, "1", None, [1], torch.ones(3), float("nan")])
def test_versions_of_a_checkpoint(version: object, checkpoint: Path) -> None:
    assert "this version reads 1" in refused(
        CheckpointError, lambda: load_checkpoint(rewritten(checkpoint, format=version))
    )


def test_a_checkpoint_without_a_score_is_not_published(checkpoint: Path, tmp_path: Path) -> None:
    rewritten(checkpoint, epoch=20)
    message = refused(CheckpointError, lambda: publish.main(checkpoint, tmp_path / "out.pt"))
    assert "has measured no validation mAP" in message
    assert not (tmp_path / "out.pt").exists()


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    config = Config(data=DataConfig(name="reversal"), encoder=TINY, train=TrainConfig(epochs=1))
    return prepare(config, torch.device("cpu"))


@pytest.mark.parametrize("state", [{}, {"model": {}}, {"model": 3}, {"model": {"stem": torch.zeros(3)}}])
def test_a_training_that_cannot_go_on(state: dict[str, object], experiment: Experiment, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    weights = experiment.model.state_dict()
    save_checkpoint(path, Checkpoint(experiment.config, weights, 0, {"loss": 1.0}, resume=state))
    assert "cannot be resumed" in refused(CheckpointError, lambda: restore(experiment, path))


@pytest.mark.parametrize("text", [f"a = {DEEP}", f"epochs = {LONG}", "a = nan", "\x00", "[train]\nlearning_rate = inf"])
def test_toml_that_cannot_be(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    refused(ConfigError, lambda: load_config(tmp_path / "a.toml"))
    refused(ProfileError, lambda: load_profile(str(tmp_path / "a.toml")))


def test_profiles_are_files_of_a_bounded_size(tmp_path: Path) -> None:
    assert "a device or a pipe" in refused(ProfileError, lambda: load_profile("/dev/zero"))
    lines = ",\n".join(["1"] * 3000)
    (tmp_path / "a.toml").write_text(f"schema_version = [\n{lines}\n]\n")
    assert "a.toml:" in refused(ProfileError, lambda: load_profile(str(tmp_path / "a.toml")))


@pytest.mark.parametrize("text", [DEEP, LONG, "", "null", "[]", '{"format": 1e999}', '{"format": NaN}', b"\xff"])
def test_metadata_that_cannot_be(text: str | bytes) -> None:
    refused(GraphError, lambda: parse_metadata(text, "a.nir"))


@pytest.mark.parametrize(("key", "value"), [("steps", 0), ("pace", 0), ("time_steps", 0), ("window_us", 1e999)])
def test_counts_of_no_steps(key: str, value: float) -> None:
    values = json.loads(small_counts().to_json())
    NetworkCounts.from_json(json.dumps(values))
    text = json.dumps(values | {key: value}).replace("Infinity", "1e999")
    refused(GraphError, lambda: NetworkCounts.from_json(text))


@pytest.fixture(scope="module")
def integer_text() -> str:
    return build_network(calibrated(TINY)).integer().to_text()


def changed_text(text: str, place: tuple[str | int, ...], value: object) -> str:
    """The text of an integer network with another value at ``place`` of what is told about it, or another array."""
    content = json.loads(text)
    arrays = dict(np.load(io.BytesIO(base64.b64decode(content["network"]))))
    about = json.loads(arrays["about"].tobytes())
    if isinstance(value, np.ndarray):
        arrays[str(place[0])] = value
    else:
        *path, last = place
        target = about
        for part in path:
            target = target[part]
        target[last] = value
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    file = io.BytesIO()
    np.savez(file, **arrays)
    return json.dumps({"format": 1, "network": base64.b64encode(file.getvalue()).decode()})


@pytest.mark.parametrize("value", [None, "x", 0.5, -1, 10**12, 10**30, [], {}, ["a"], [10**9] * 3, True])
@pytest.mark.parametrize("key", ["time_steps", "size", "kind", "sources", "shape", "stride", "padding", "groups"])
def test_integer_networks_that_cannot_be(key: str, value: object, integer_text: str) -> None:
    place = (key,) if key in ("time_steps", "size") else ("layers", 0, key)
    text = changed_text(integer_text, place, value)
    refused(GraphError, lambda: EventsEncoder(IntegerNetwork.from_text(text, "a.onnx")))


@pytest.mark.parametrize("value", [None, "x", 0.5, 10**30, [], {}])
@pytest.mark.parametrize("key", ["threshold", "lowest", "highest"])
def test_neurons_that_cannot_be(key: str, value: object, integer_text: str) -> None:
    assert EventsEncoder(IntegerNetwork.from_text(integer_text, "a.onnx")).bits == TINY.bits
    text = changed_text(integer_text, ("layers", 1, key), value)
    assert "is damaged" in refused(GraphError, lambda: IntegerNetwork.from_text(text, "a.onnx"))


@pytest.mark.parametrize("votes", [0, -1, TINY.time_steps + 1])
def test_votes_of_more_steps_than_there_are(votes: int, integer_text: str) -> None:
    text = changed_text(integer_text, ("layers", -1, "votes"), votes)
    assert f"votes is {votes}" in refused(GraphError, lambda: EventsEncoder(IntegerNetwork.from_text(text, "a.onnx")))


@pytest.mark.parametrize("dtype", [np.float64, np.complex128, np.str_, np.uint64])
def test_weights_of_an_integer_network(dtype: type, integer_text: str) -> None:
    layer = IntegerNetwork.from_text(integer_text, "a.onnx").layers[0]
    assert isinstance(layer, Convolution)
    weight = layer.weight.astype(dtype)  # of unsigned ones, those below zero are beyond all limits
    text = changed_text(integer_text, (f"{layer.name}/weight",), weight)
    assert "is damaged" in refused(GraphError, lambda: IntegerNetwork.from_text(text, "a.onnx"))


JOB = {
    "record": ["lif"], "placement": "merged", "numbers": "float", "executor": "local", "first": 0, "chunk": 4,
    "shared_memory": "snh_1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("record", "lif"), ("record", [1]), ("placement", "x"), ("numbers", 1), ("executor", None), ("first", -1),
        ("first", True), ("chunk", 0), ("chunk", 1.5), ("chunk", 1e999), ("shared_memory", "../x"), ("more", 1),
    ],
)  # fmt: skip
def test_jobs_of_the_lava_worker(key: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(JOB))
    assert vars(read_settings(path)) == JOB
    path.write_text(json.dumps(JOB | {key: value}).replace("Infinity", "1e999"))
    refused(BackendError, lambda: read_settings(path))


MILVUS = {"version": 2, "uri": "codes.db", "collection": "codes", "bits": 8, "kind": "BIN_FLAT"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bits", -8), ("bits", 10**12), ("bits", 7), ("lists", 0), ("lists", 10**12), ("probes", -1), ("kind", "x"),
        ("collection", "a b"), ("collection", ""), ("version", 3), ("more", 1), ("bits", 1e999),
    ],
)  # fmt: skip
def test_settings_of_a_milvus_index(key: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "milvus.json"
    path.write_text(json.dumps(MILVUS | {key: value}).replace("Infinity", "1e999"))
    assert "not a readable Milvus index" in refused(SearchError, lambda: MilvusIndex.load(path))


@pytest.mark.parametrize("main", [inspect.main, to_nir.main, to_onnx.main])
@pytest.mark.parametrize("path", [".", "", "..", "/"])
def test_what_names_no_file(main: Callable[..., None], path: str, call: Call) -> None:
    code, _, errors = call(main, path)
    assert (code, errors.count("\n"), errors[:7]) == (2, 1, "error: ")


@pytest.mark.parametrize("option", ["--seconds", "--idle"])
@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "0", "1e300"])
def test_measurements_that_would_not_end(option: str, seconds: str, call: Call, tmp_path: Path) -> None:
    code, _, errors = call(hosts.main, tmp_path / "a.onnx", option, seconds, "--out", tmp_path / "hosts.json")
    assert (code, errors.count("\n"), errors[:9]) == (2, 1, "error: --")


def test_a_place_that_cannot_be_written_is_told_before_the_measurement(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, errors = call(hosts.main, tmp_path / "a.onnx", "--out", tmp_path / "file" / "hosts.json")
    assert (code, errors.count("\n")) == (2, 1)
    assert "hosts.json: cannot be written" in errors
