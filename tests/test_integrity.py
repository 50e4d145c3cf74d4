"""What is read is what was written, or refused in one line: seals, digests, limits and temporary files."""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
import torch

from spikinghash.arrays import map_array, read_spikes
from spikinghash.errors import CheckpointError, ConfigError, GraphError, WriteError
from spikinghash.files import atomic_path, read_file, sweep_folder
from spikinghash.seal import NIR, ONNX, Seal, parse_json, sealed_json, sealed_row
from tests.networks import DEEP, SMALL, TINY
from training.archive import content_digest, load_archive
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.config import Config, EncoderConfig, parse_config
from training.model.encoder import Spikinghash


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = Spikinghash(TINY)
    save_checkpoint(tmp_path / "tiny.pt", Checkpoint(Config(encoder=TINY), model.state_dict(), 1, {"loss": 1.0}))
    return tmp_path / "tiny.pt"


def rewritten(path: Path, **changes: object) -> Path:
    """The checkpoint with other content, as one who can write archives leaves it."""
    content = torch.load(path, weights_only=True)
    torch.save(content | changes, path)
    return path


def test_the_digest_of_a_checkpoint_is_that_of_all_it_holds(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    assert content.pop("digest") == content_digest(content)
    weights = content["weights"]
    name = next(iter(weights))
    changed = weights[name].clone()
    changed.flatten()[0] += 1e-3
    with pytest.raises(CheckpointError, match="its digest differs"):
        load_checkpoint(rewritten(checkpoint, weights=weights | {name: changed}))
    with pytest.raises(CheckpointError, match="its digest differs"):
        load_checkpoint(rewritten(checkpoint, weights=weights, metrics={"loss": 2.0}))
    assert load_checkpoint(rewritten(checkpoint, metrics={"loss": 2.0}, digest=None)).metrics == {"loss": 2.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": -1}, "epoch: "),
        ({"epoch": 1.5}, "epoch: "),
        ({"weights": {"a": [1.0]}}, "weights.a: "),
        ({"weights": {"a": torch.tensor([float("nan")])}}, "weights a are not finite"),
        ({"grids": {"a": float("inf")}}, "grids.a: "),
        ({"grids": {"a": -1.0}}, "grids.a: "),
        ({"more": 1}, "more: unknown key"),
        ({"format": 99}, "checkpoint format 99, this version reads 1"),
    ],
)
def test_values_of_a_checkpoint_are_checked(checkpoint: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(CheckpointError) as refusal:
        load_checkpoint(rewritten(checkpoint, digest=None, **changes))
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_checkpoint_that_claims_more_weights_than_it_holds_builds_none(checkpoint: Path) -> None:
    config = Config(encoder=TINY.model_copy(update={"channels": (1024, 1024)})).model_dump(mode="json")
    with pytest.raises(CheckpointError, match=r"describes [\d,]+ weights, the file holds"):
        load_checkpoint(rewritten(checkpoint, digest=None, config=config)).model()


@pytest.mark.parametrize("config", [SMALL, TINY, DEEP, EncoderConfig()])
@pytest.mark.parametrize("mixer", ["swm", "conv", "dwconv"])
def test_weights_are_counted_as_the_network_has_them(config: EncoderConfig, mixer: str) -> None:
    mixers = tuple(mixer if each == "swm" else each for each in config.mixers)
    encoder = EncoderConfig.model_validate(config.model_dump() | {"mixers": mixers})
    maps = [value for value in Spikinghash(encoder).parameters() if value.dim() > 1]
    assert encoder.weights == sum(value.numel() for value in maps)


@pytest.mark.parametrize(
    "values",
    [
        {"blocks": [10**12] * 4}, {"channels": [10**12] * 4}, {"channels": [2**16] * 4}, {"levels": [10**12, 1, 0, 0]},
        {"time_steps": 10**12}, {"size": 2**40}, {"mlp_ratio": 10**9}, {"bits": 2**40}, {"channels": []},
        {"size": 1024, "time_steps": 32},
    ],
)  # fmt: skip
def test_absurd_sizes_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_config({"encoder": values}, "absurd.toml")
    assert "\n" not in str(refusal.value)


def test_an_archive_is_no_larger_than_its_file(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(10)}, tmp_path / "a.pt")
    assert torch.equal(load_archive(tmp_path / "a.pt")["a"], torch.zeros(10))
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as whole,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in whole.infolist():
            packed.writestr(member.filename, whole.read(member), zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        load_archive(tmp_path / "b.pt")


def test_an_archive_whose_shapes_claim_less_than_it_holds_is_not_read_in_part(tmp_path: Path) -> None:
    """The CRC of a member is checked at its end, which such an array does not reach."""
    path = tmp_path / "spikes.npz"
    np.savez(path, spikes=np.ones((300, 2, 5), np.float32))
    content = path.read_bytes()
    assert content.count(b"(300, 2, 5)") == 1
    path.write_bytes(content.replace(b"(300, 2, 5)", b"(100, 2, 5)"))
    with pytest.raises(GraphError, match=r"claims shape \(100, 2, 5\) of float32, its member has 12,000 bytes"):
        read_spikes(path)


def test_a_header_longer_than_its_file_takes_no_memory(tmp_path: Path) -> None:
    """Later versions of the format have four bytes for its length, of which two are text if the version is wrong."""
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(3))
    content = bytearray(path.read_bytes())
    content[6] = 3
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"its header claims [\d,]+ bytes, the file has 152"):
        map_array(path)


def test_what_a_library_cites_of_a_damaged_file_is_cut(tmp_path: Path) -> None:
    """Of a member whose two names differ, zipfile cites both."""
    long = "n" * 20_000
    with zipfile.ZipFile(tmp_path / "spikes.npz", "w") as archive:
        archive.writestr(f"{long}.npy", b"")
    content = (tmp_path / "spikes.npz").read_bytes()
    (tmp_path / "spikes.npz").write_bytes(content.replace(b"n", b"m", 1))
    with pytest.raises(GraphError) as caught:
        read_spikes(tmp_path / "spikes.npz")
    message = str(caught.value)
    assert len(message) < 500
    assert "\n" not in message


@pytest.mark.parametrize("seal", [NIR, ONNX])
def test_a_seal_is_that_of_the_content(seal: Seal, tmp_path: Path) -> None:
    content = os.urandom(100)
    path = tmp_path / "file"
    path.write_bytes(seal.sealed(content))
    assert seal.read(path) == seal.sealed(content)
    starts = seal.sealed(content).index(content), seal.sealed(content).index(seal.mark) + len(seal.mark)
    for place in (starts[0], starts[0] + 99, starts[1], starts[1] + 63):
        damaged = bytearray(seal.sealed(content))
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="SHA-256 differs"):
            seal.read(path)
    path.write_bytes(content)
    assert seal.read(path) == content


@pytest.mark.parametrize(("seal", "version"), [(NIR, "earliest"), (NIR, "latest"), (ONNX, "latest")])
def test_what_takes_a_seal_away_leaves_the_content_or_is_seen(seal: Seal, version: str, tmp_path: Path) -> None:
    """Whatever 64 bytes are overwritten, the seal's among them, and wherever the file is cut."""
    file = io.BytesIO()
    with h5py.File(file, "w", libver=version) as hdf5:
        hdf5["values"] = np.arange(20)
    content = file.getvalue() if seal is NIR else os.urandom(500)
    sealed, path = seal.sealed(content), tmp_path / "file"
    for begin in [*range(0, len(sealed), 17), *range(len(sealed) - 170, len(sealed), 2)]:
        for damaged in (sealed[:begin] + bytes(64) + sealed[begin + 64 :], sealed[:begin]):
            path.write_bytes(damaged)
            with contextlib.suppress(ValueError, OSError):
                seal.read(path)
                if seal is NIR:
                    h5py.File(path, "r").close()
                assert content in damaged or len(damaged) < len(seal.mark)


def test_a_seal_is_found_where_it_was_in_former_versions(tmp_path: Path) -> None:
    content, path = os.urandom(100), tmp_path / "file"
    for before, after in ((content, b""), (content[:50], content[50:])):
        path.write_bytes(before + ONNX.mark + hashlib.sha256(content).hexdigest().encode() + after)
        ONNX.read(path)
        path.write_bytes(path.read_bytes()[1:])
        with pytest.raises(ValueError, match="SHA-256 differs"):
            ONNX.read(path)


def test_onnx_reads_the_seal_as_metadata() -> None:
    graph = onnx.helper.make_graph([], "empty", [], [])
    content = onnx.helper.make_model(graph).SerializeToString()
    (entry,) = onnx.load_model_from_string(ONNX.sealed(content)).metadata_props
    assert entry.key == "spikinghash.sha256"
    assert len(entry.value) == 64


def test_json_is_sealed_by_its_values() -> None:
    values = {"a": [1.5, {"b": None}], "c": "ä"}
    text = sealed_json(json.dumps(values, indent=1) + "\n")
    assert parse_json(text) == values
    assert parse_json(json.dumps(json.loads(text))) == values, "another layout is no damage"
    assert parse_json(json.dumps(values)) == values
    with pytest.raises(ValueError, match="SHA-256 differs"):
        parse_json(text.replace("1.5", "1.25"))
    assert parse_json(json.dumps([sealed_row(values)])) == [values]
    with pytest.raises(ValueError, match="SHA-256 differs"):
        parse_json(json.dumps([sealed_row(values) | {"c": "a"}]))
    for broken in ('{"a": NaN}', "[" * 10**5):
        with pytest.raises(ValueError):  # noqa: PT011 - the two say different things
            parse_json(broken)


def test_no_value_of_a_row_is_lost_to_its_seal() -> None:
    row = sealed_row({"name": "a"})
    with pytest.raises(ValueError, match="the key of a row's digest is taken"):
        sealed_row(row)


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    left, living, other = (tmp_path / f".a.{name}.txt" for name in ("part-abcdefgh", "part-ijklmnop", "party"))
    for path in (left, living, other):
        path.write_text("half")
    with living.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("whole")
            sweep_folder.cache_clear()
            sweep_folder(tmp_path)
            assert temporary.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.txt", living.name, other.name])


@pytest.mark.parametrize("name", ["folder", "file/below", "n" * 300])
def test_what_cannot_be_written_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(WriteError, match="cannot be written: "), atomic_path(tmp_path / name) as temporary:
        temporary.write_text("whole")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "kept"


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("pipe", "link"):
        with pytest.raises(WriteError, match="a device or a pipe is there"), atomic_path(tmp_path / name) as temporary:
            temporary.write_text("whole")
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_char_device()
    assert len(list(tmp_path.iterdir())) == 2


def test_names_as_long_as_the_disk_allows_are_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"


def test_devices_and_pipes_and_large_files_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(bytes(11))
    for path, why in ((tmp_path / "pipe", "pipe"), (Path("/dev/zero"), "device"), (tmp_path / "large", "at most 10")):
        with pytest.raises(OSError, match=why):
            read_file(path, 10)
    with pytest.raises(CheckpointError, match="a device or a pipe"):
        load_checkpoint(Path("/dev/zero"))


def test_the_digest_sees_types_order_and_shapes() -> None:
    zeros = torch.zeros(2, 3)
    others: list[object] = [
        zeros,
        zeros.T,
        zeros.double(),
        zeros.flatten(),
        [zeros],
        {"a": zeros},
        {"b": zeros},
        0,
        "0",
    ]
    others += [{"a": 1, "b": 2}, {"b": 2, "a": 1}, True, 1, 1.0, None, torch.zeros(()), torch.zeros(0), np.pi]
    assert len({content_digest(each) for each in others}) == len(others)
    assert content_digest(zeros.T.contiguous().T) == content_digest(zeros)
