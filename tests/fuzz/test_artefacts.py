"""Damaged artefacts of every kind: what is read is what was written, or refused in one line, soon and in little memory.

By hand with more examples of each kind: ``FUZZ_EXAMPLES=5000 python -m pytest tests/fuzz``.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.backends.encoders import load_encoder
from deploy.report.hosts.results import read_hosts
from deploy.report.inputs import read_counts
from deploy.report.model import read_report
from deploy.report.results import read_results
from deploy.search.__main__ import build
from deploy.search.searcher import Searcher
from export.encoder.network import load_network
from export.nir.metadata import read_encoder
from export.nir.to_nir import export_nir
from export.onnx.to_onnx import export_onnx
from spikinghash.arrays import read_spikes
from spikinghash.errors import SearchError, SpikinghashError
from spikinghash.seal import sealed_json, sealed_row
from tests.damage import AT_LEISURE, BY_HAND, EXAMPLES, LONGEST_LINE, bounded, cut, flipped, overwritten
from tests.energy_cases import small_counts
from tests.networks import TINY, calibrated, random_frames
from tests.report_cases import HOSTS, ROWS, report_of
from tests.search_cases import write_random_folder
from training.archive import content_digest
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.config import Config

pytestmark = AT_LEISURE


@dataclass(frozen=True)
class Artefact:
    """A file, and what is had from it."""

    path: Path
    use: Callable[[Path], object]
    right: object
    content: bytes

    @property
    def folder(self) -> Path:
        """All of it may be needed."""
        return self.path.parent


def use_checkpoint(path: Path) -> object:
    saved = load_checkpoint(path)
    network = saved.model().state_dict()
    return content_digest([saved.config.model_dump(mode="json"), network, saved.epoch, saved.metrics, saved.grids])


def use_encoder(path: Path) -> object:
    frames = random_frames(TINY, 2)
    traces = [load_encoder(path, backend, threads=1).trace(frames) for backend in ("events", "onnxruntime")]
    return [(trace.codes.tobytes(), {name: each.tolist() for name, each in trace.counts.items()}) for trace in traces]


def use_graph(path: Path) -> object:
    graph, metadata = read_encoder(path)
    return metadata, repr(sorted(graph.edges)), content_of(graph.to_dict()["nodes"])


def content_of(values: object) -> object:
    """With arrays as bytes, so that contents can be compared."""
    if isinstance(values, dict):
        return {key: content_of(value) for key, value in values.items()}
    return (values.dtype.str, values.shape, values.tobytes()) if isinstance(values, np.ndarray) else values


def use_archive(path: Path) -> object:
    spikes = read_spikes(path)
    return spikes.shape, spikes.tobytes()


def use_index(path: Path) -> object:
    searcher = Searcher(path.parent, threads=1)
    answers = searcher.both(path.parent.parent / "recordings" / "c0" / "000.bin", 6)
    return [(answer.code, answer.hits) for answer in answers]


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artefact]:
    """One of every kind, by name."""
    folder = tmp_path_factory.mktemp("artefacts")
    checkpoint = folder / "tiny.pt"
    save_checkpoint(checkpoint, Checkpoint(Config(encoder=TINY), calibrated(TINY).state_dict(), 1, {"loss": 1.0}))
    network = load_network(checkpoint)
    export_onnx(network, folder / "tiny.onnx")
    export_nir(network, folder / "tiny.nir")
    texts = {
        "counts.json": sealed_json(small_counts().to_json()),
        "report.json": sealed_json(report_of(profiles="loihi2").to_json()),
        "hosts.json": sealed_json(HOSTS.to_json()),
        "results.json": json.dumps([sealed_row(row.model_dump(mode="json")) for row in ROWS], indent=1),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    np.savez(folder / "input.npz", spikes=random_frames(TINY, 2))
    write_random_folder(folder / "recordings", classes=2, each=3)
    build(folder / "recordings", folder / "tiny.onnx", folder / "index", workers=1)
    uses: dict[str, Callable[[Path], object]] = {
        "tiny.pt": use_checkpoint, "tiny.onnx": use_encoder, "tiny.nir": use_graph, "input.npz": use_archive,
        "counts.json": lambda path: read_counts(None, (), path).to_json(),
        "report.json": read_report, "hosts.json": read_hosts, "results.json": read_results,
        "index/manifest.sqlite": use_index, "index/codes.npz": use_index, "index/encoder.onnx": use_index,
    }  # fmt: skip
    right = {name: use(folder / name) for name, use in uses.items()}  # SQLite changes what it reads, once
    return {name: Artefact(folder / name, use, right[name], (folder / name).read_bytes()) for name, use in uses.items()}


KINDS = [
    "tiny.pt", "tiny.onnx", "tiny.nir", "input.npz", "counts.json", "report.json", "hosts.json", "results.json",
    "index/manifest.sqlite", "index/codes.npz", "index/encoder.onnx",
]  # fmt: skip


def outcome(artefact: Artefact) -> object:
    """What was had, or the line that refused it."""
    with bounded(artefact.path.stat().st_size):
        try:
            return artefact.use(artefact.path)
        except SpikinghashError as error:
            return error


def assert_right_or_refused(artefact: Artefact, content: bytes, damaged: bytes) -> None:
    try:
        artefact.path.write_bytes(damaged)
        result = outcome(artefact)
    finally:
        artefact.path.write_bytes(content)
    if isinstance(result, SpikinghashError):
        assert result.exit_code == 2
        assert "\n" not in str(result)
        assert 0 < len(str(result)) < LONGEST_LINE
    else:
        assert result == artefact.right


def fuzzed(test: Callable[..., None]) -> Callable[..., None]:
    """So many examples of each kind."""
    quiet = settings(max_examples=EXAMPLES, derandomize=not BY_HAND, suppress_health_check=list(HealthCheck))
    return pytest.mark.parametrize("kind", KINDS)(quiet(given(data=st.data())(test)))


@fuzzed
def test_one_flipped_bit_is_never_used_silently(kind: str, data: st.DataObject, artefacts: dict[str, Artefact]) -> None:
    artefact = artefacts[kind]
    content = artefact.content
    assert_right_or_refused(artefact, content, flipped(content, data))


@fuzzed
def test_cut_files_are_never_used_silently(kind: str, data: st.DataObject, artefacts: dict[str, Artefact]) -> None:
    artefact = artefacts[kind]
    content = artefact.content
    assert_right_or_refused(artefact, content, cut(content, data))


@fuzzed
def test_overwritten_parts_are_never_used_silently(
    kind: str, data: st.DataObject, artefacts: dict[str, Artefact]
) -> None:
    artefact = artefacts[kind]
    content = artefact.content
    assert_right_or_refused(artefact, content, overwritten(content, data))


def test_a_manifest_whose_schema_is_no_text_is_refused(artefacts: dict[str, Artefact]) -> None:
    """SQLite cites what it cannot parse, and its citation is not UTF-8 then."""
    artefact = artefacts["index/manifest.sqlite"]
    content = artefact.content
    damaged = content.replace(b"CREATE TABLE facts", b"CREATE T\xff\xfeLE facts")
    assert damaged != content
    try:
        artefact.path.write_bytes(damaged)
        with pytest.raises(SearchError, match=r"manifest\.sqlite: not a readable manifest: a text is not UTF-8"):
            artefact.use(artefact.path)
    finally:
        artefact.path.write_bytes(content)


def test_an_index_of_other_codes_is_not_taken(artefacts: dict[str, Artefact], tmp_path: Path) -> None:
    """As many codes as the manifest has, whole in themselves, but of another folder."""
    artefact = artefacts["index/codes.npz"]
    recordings = artefact.folder.parent / "recordings"
    write_random_folder(tmp_path / "others", classes=2, each=3)
    for path in (tmp_path / "others").rglob("*.bin"):
        shutil.copy(recordings / "c0" / "000.bin", path)
    build(tmp_path / "others", artefact.folder / "encoder.onnx", tmp_path / "index", workers=1)
    content = artefact.content
    assert_right_or_refused(artefact, content, (tmp_path / "index" / "codes.npz").read_bytes())
