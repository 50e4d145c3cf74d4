"""Fixtures shared by all tests."""

import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from tests.browser import chromium as chromium  # a fixture for every test
from tests.commands import call as call
from tests.lacking import lacking

# What runs in the background of a shell ignores Ctrl-C, and so would the programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# On a busy machine the time that an example takes says nothing; each test has its own limit.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")

_SHARED = Path(__file__).resolve().parents[2] / "shared"
_ARCHIVE = _SHARED / "data" / "nmnist_train_1000.tar.gz"


@pytest.fixture(scope="session")
def nmnist_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with 1,000 real N-MNIST recordings, as ``NMNIST/Train/DIGIT/ID.bin``; skips where they are not at hand."""
    if not _SHARED.is_dir():
        pytest.skip("real N-MNIST recordings are not at ../shared/data/nmnist_train_1000.tar.gz")
    if not _ARCHIVE.exists():
        lacking("../shared is there, but not its data/nmnist_train_1000.tar.gz, the real N-MNIST recordings")
    folder = tmp_path_factory.mktemp("nmnist")
    with tarfile.open(_ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(params=[1, 2, 3], ids=lambda threads: f"{threads}-threads")
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """So many threads of torch, which share out even the smallest work."""
    monkeypatch.setattr("training.model.threads._LEAST", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder in place of the user's."""
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    return tmp_path / "cache" / "spikinghash"
