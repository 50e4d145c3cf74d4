"""Disks that are full: one line, nothing half-written, what was there before stays.

A limit on the size of files stands for the full disk: what is written beyond it fails as it does there.
"""

import contextlib
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from deploy.backends.graph_run import GraphRun
from deploy.report.__main__ import write_report
from deploy.search.faiss_index import FlatIndex
from deploy.search.files import RecordingFile
from deploy.search.manifest import Facts, Manifest
from export.encoder.network import Network, build_network
from export.nir.metadata import read_encoder
from export.nir.picture import draw
from export.nir.structure import describe_structure
from export.nir.to_nir import export_nir
from export.onnx.to_onnx import export_onnx
from spikinghash.errors import SearchError, WriteError
from tests.energy_cases import small_counts
from tests.networks import TINY, calibrated
from tests.report_cases import report_of
from tests.search_cases import write_random_recording
from training.checkpoint import Checkpoint, save_checkpoint
from training.config import Config
from training.figures import write_curve

LIMIT = 1024
"""Bytes of the largest file; each of the writers below writes more."""


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def network() -> Network:
    return build_network(calibrated(TINY))


def index_of(count: int) -> FlatIndex:
    index = FlatIndex(8)
    index.add(np.arange(count, dtype=np.uint8)[:, None], np.arange(count))
    return index


Write = Callable[[Path, Network], object]
WRITERS: dict[str, Write] = {
    "last.pt": lambda path, _: save_checkpoint(
        path, Checkpoint(Config(encoder=TINY), calibrated(TINY).state_dict(), 1, {})
    ),
    "tiny.nir": lambda path, network: export_nir(network, path),
    "tiny.onnx": lambda path, network: export_onnx(network, path),
    "report.json": lambda path, _: write_report(report_of(profiles="loihi2"), small_counts(), path.parent),
    "codes.npz": lambda path, _: index_of(200).save(path),
    "outputs.npz": lambda path, _: GraphRun(np.random.default_rng(0).random((9, 9, 9)).astype(np.float32)).save(path),
    "curve.png": lambda path, _: write_curve(path, [{"epoch": 1, "loss": 1.0, "m": 0.5}] * 2, "m", "map"),
    "00000.bin": lambda path, _: write_random_recording(path, 0),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line_and_leaves_what_was_there(name: str, network: Network, tmp_path: Path) -> None:
    def write() -> None:
        WRITERS[name](tmp_path / name, network)

    write()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert max(map(len, before.values())) > LIMIT
    with full_disk(), pytest.raises(WriteError, match=r"^[^\n]*: cannot be written: File too large[^\n]*$"):
        write()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_picture_on_a_full_disk(network: Network, tmp_path: Path) -> None:
    export_nir(network, tmp_path / "tiny.nir")
    structure = describe_structure(*read_encoder(tmp_path / "tiny.nir"), "tiny")
    with full_disk(), pytest.raises(WriteError, match="cannot be written"):
        draw(structure, "tiny", tmp_path / "tiny.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.nir"]


def test_a_manifest_on_a_full_disk_goes_on_when_there_is_room(tmp_path: Path) -> None:
    facts = Facts(encoder="encoder.onnx", encoder_sha256="0", bits=8, kind="flat")
    manifest = Manifest.create(tmp_path, facts)
    recordings = [
        (RecordingFile(Path(f"/recordings/{n:0200}.bin"), "a", n, n), bytes([n]), bytes(32)) for n in range(200)
    ]
    manifest.add(recordings[:9])
    with full_disk(), pytest.raises(SearchError, match="then run the same again: it goes on where it was"):
        manifest.add(recordings)
    assert len(manifest) == 9
    manifest.add(recordings)
    codes, _ = manifest.codes()
    assert codes.ravel().tolist() == list(range(200))
    assert not manifest.faults()


def test_a_manifest_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    facts = Facts(encoder="encoder.onnx", encoder_sha256="0", bits=8, kind="flat")
    with full_disk(), pytest.raises(SearchError, match=r"manifest\.sqlite: cannot be made: [^\n]*$"):
        Manifest.create(tmp_path, facts)
    assert len(Manifest.create(tmp_path, facts)) == 0


def test_a_manifest_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    """As where permission lacks, which root never does: SQLite opens no path that is longer than 512 bytes."""
    folder = tmp_path.joinpath(*["deep" * 50] * 3)
    facts = Facts(encoder="encoder.onnx", encoder_sha256="0", bits=8, kind="flat")
    with pytest.raises(SearchError, match=r"manifest\.sqlite: cannot be opened: [^\n]*$"):
        Manifest.create(folder, facts)
    (folder / "manifest.sqlite").touch()
    for call in (Manifest, Manifest.exists):
        with pytest.raises(SearchError, match=r"manifest\.sqlite: cannot be opened: [^\n]*$"):
            call(folder)
