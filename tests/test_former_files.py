"""What the version of November 2026 wrote is read, and means what it meant.

``former/files.tar.xz`` holds an untrained encoder of 8 bits as checkpoint, NIR (both dialects) and ONNX, counts of its
graph, an index of four recordings, and ``codes.json``: its codes of ten arrays of random frames, and those of the
committed checkpoints of digits and N-MNIST on ten recordings.
"""

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import random_frames

from deploy.backends.encoders import load_encoder
from deploy.backends.run import encode_recordings
from deploy.search.files import RecordingFile
from deploy.search.manifest import Manifest
from deploy.search.store import encoder_path, open_index
from deploy.search.thumbnails import VERSION
from export.synaptic.counts import NetworkCounts
from spikinghash.errors import GraphError
from training.checkpoint import load_checkpoint
from training.data.digits import write_recordings

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints" / "dense"
"""Those that were committed then."""
ARCHIVE = Path(__file__).parent / "former" / "files.tar.xz"


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the files."""
    folder = tmp_path_factory.mktemp("former")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def codes(former: Path) -> Any:
    return json.loads((former / "codes.json").read_text())


@pytest.mark.parametrize("name", ["small.pt", "small.onnx", "small.nir", "small-portable.nir"])
def test_encoders_give_the_codes_that_they_gave(name: str, former: Path, codes: Any) -> None:
    frames = random_frames(load_checkpoint(former / "small.pt").config.encoder, 10, density=0.3)
    given = load_encoder(former / name).encode(frames)
    assert [code.tobytes().hex() for code in given] == codes["small"]
    assert len(set(codes["small"])) > 5


def test_counts_without_the_depth_of_the_pipeline_are_refused(former: Path) -> None:
    with pytest.raises(GraphError, match="key 'depth' is missing: trace the network again"):
        NetworkCounts.from_json((former / "counts.json").read_text())


@pytest.mark.parametrize("name", ["digits", "nmnist"])
def test_committed_checkpoints_give_the_codes_that_they_gave(name: str, codes: Any, tmp_path: Path) -> None:
    recordings = write_recordings(tmp_path, range(0, 5000, 500))
    given = encode_recordings(load_encoder(CHECKPOINTS / f"{name}.pt"), recordings)
    assert [code.tobytes().hex() for code in given] == codes[name]


def test_an_index_is_searched_and_goes_on(former: Path, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    shutil.copytree(former / "index", folder)
    manifest = Manifest(folder)
    assert encoder_path(folder, manifest.facts).read_bytes() == (former / "small.onnx").read_bytes()
    index = open_index(folder, manifest)
    (found,) = index.search(np.array([[0xA4]], np.uint8), 4)
    assert list(zip(found.ids.tolist(), found.distances.tolist(), strict=True)) == [(3, 0), (1, 4), (4, 5), (2, 6)]
    index.add(np.array([[0xA5]], np.uint8), np.array([9]))
    index.save(folder / "codes.npz")
    assert len(type(index).load(folder / "codes.npz")) == 5


def test_an_index_without_thumbnails_gets_them(former: Path, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    shutil.copytree(former / "index", folder)
    before = Manifest(folder)
    assert before.facts.thumbnails is None
    assert before.thumbnails().shape == (5, 32)
    assert not before.thumbnails().any()
    before.hold_thumbnails()
    (path, label), *_ = before.entries([1])
    before.add_thumbnails([(RecordingFile(path, label, 0, 0), bytes(range(32)))])
    after = Manifest(folder)
    assert after.facts == before.facts
    assert after.facts.thumbnails == VERSION
    assert np.array_equal(after.codes()[0], before.codes()[0])
    assert after.thumbnails()[1].tolist() == list(range(32))
    assert not after.thumbnails()[2:].any()
