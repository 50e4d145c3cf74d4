"""The page that runs an encoder in the browser: real Chromium, codes as Python gives them, no request to a network."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import spikinghash
from deploy.search.files import find_sources
from deploy.web.build import HERE, write_page
from spikinghash.errors import GraphError, MissingToolError, RecordingError
from spikinghash.resources import CHECKPOINTS, RECORDINGS
from tests.browser import DESKTOP, PHONE, Visit, visit
from tests.event_files import aedat4
from training.data.recordings import NMNIST_SENSOR, load_recording

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ENCODER = CHECKPOINTS / "digits.onnx"
pytestmark = pytest.mark.xdist_group("web")


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """node_modules with the packages of the page."""
    built = Path(__file__).parents[1] / "build" / "web" / "node_modules"
    if (built / ".bin" / "esbuild").exists():
        return built
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on the PATH: Debian's package npm has it")
    folder = tmp_path_factory.mktemp("web")
    shutil.copy(HERE / "package.json", folder)
    command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"]
    if subprocess.run(command, cwd=folder, timeout=300, check=False).returncode:
        pytest.skip("npm reaches no registry of packages")
    return folder / "node_modules"


@pytest.fixture(scope="session")
def page(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the committed encoder and recordings."""
    path = tmp_path_factory.mktemp("page") / "spikinghash.html"
    size = write_page(ENCODER, list(find_sources(RECORDINGS)), modules, path, NMNIST_SENSOR)
    assert size == path.stat().st_size < 6_500_000
    return path


@pytest.fixture
def opened(chromium: "Browser", page: Path) -> Iterator[Visit]:
    """The page, ready, as a file: no server is there."""
    with visit(chromium, page.as_uri(), DESKTOP) as found:
        found.page.wait_for_selector("#file:enabled")
        yield found


def code_of(opened: Visit, path: Path) -> str:
    """What the page says of a recording that is chosen: its code, or what is wrong with it."""
    before = opened.page.inner_text("#status")
    opened.page.set_input_files("#file", path)
    opened.page.wait_for_function(
        "before => { const text = document.getElementById('status').textContent; return text !== before &&"
        " !text.startsWith('Encoding'); }",
        arg=before,
    )
    return opened.page.inner_text("#status")


def test_codes_are_those_of_python_and_the_first_neighbour_is_the_recording(opened: Visit) -> None:
    encoder = spikinghash.load(ENCODER)
    files = sorted(RECORDINGS.rglob("*.bin"))
    assert len(files) >= 20
    for path in files:
        assert code_of(opened, path) == f"{path.name}: code {encoder.encode_files([path], (34, 34))[0].tobytes().hex()}"
        nearest = opened.page.inner_text("#answer ol li:first-child strong")
        assert nearest == "distance 0"
    assert len(opened.page.query_selector_all("#answer ol li")) == 10
    assert opened.errors == []
    assert [each for each in opened.requests if each.startswith("http")] == []


def test_other_formats_of_a_recording_have_its_code(opened: Visit, tmp_path: Path) -> None:
    source = RECORDINGS / "7" / "03500.bin"
    wanted = code_of(opened, source).split()[-1]
    events = load_recording(source, NMNIST_SENSOR).events
    rows = np.stack([events["x"], events["y"], events["t"], events["p"]], axis=1).astype(np.int64)
    np.save(tmp_path / "structured.npy", events)
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "big.npy", rows.astype(">i4"))
    np.savetxt(tmp_path / "named.csv", rows, "%d", ",", header="x,y,timestamp,polarity", comments="")
    np.savetxt(tmp_path / "plain.txt", rows[:, [2, 0, 1, 3]] / [1e6, 1, 1, 1], ["%.6f", "%d", "%d", "%d"])
    for name in ("structured.npy", "rows.npy", "big.npy", "named.csv", "plain.txt"):
        assert code_of(opened, tmp_path / name) == f"{name}: code {wanted}"


@pytest.mark.parametrize("lz4", [False, True])
def test_aedat4_tells_its_sensor(opened: Visit, lz4: bool, tmp_path: Path) -> None:
    events = load_recording(RECORDINGS / "7" / "03500.bin", NMNIST_SENSOR).events[:2000]  # in blocks below 64 KiB
    path = tmp_path / "recording.aedat4"
    aedat4(path, [(int(x), int(y), int(t), int(p)) for x, y, t, p in events], 346, 260, lz4=lz4)
    expected = spikinghash.load(ENCODER).encode(spikinghash.read_events(path)).tobytes().hex()
    opened.page.fill("#sensor", "34x34")  # the file knows better
    assert code_of(opened, path) == f"recording.aedat4: code {expected}"


def test_what_cannot_be_read_is_said(opened: Visit, tmp_path: Path) -> None:
    for name, content, message in (
        ("cut.bin", b"\0" * 7, "cut.bin: truncated: 7 bytes"),
        ("none.bin", b"", "none.bin: it has no events"),
        ("a.jpg", b"x", "a.jpg: this page reads .bin"),
        ("a.csv", b"x,y,t\n1,2,3\n", "a.csv: no column p"),
        ("far.csv", b"x,y,t,p\n1,2,3,1\n99,2,9000,0\n", "far.csv: event 1 at 99, 2: outside 34 x 34"),
        ("short.csv", b"x,y,t,p\n1,2,3,1\n9,2,4,0\n", "short.csv: its events span 1 microseconds"),
    ):
        (tmp_path / name).write_bytes(content)
        assert code_of(opened, tmp_path / name).startswith(message)
    assert opened.page.get_attribute("#status", "class") == "wrong"
    opened.page.fill("#sensor", "")
    assert "does not tell the size of its sensor" in code_of(opened, RECORDINGS / "7" / "03500.bin")
    assert opened.errors == []


def test_the_page_fits_a_phone_and_shows_its_example(chromium: "Browser", page: Path) -> None:
    with visit(chromium, page.as_uri(), PHONE) as found:
        found.page.wait_for_selector("#example:enabled")
        found.page.click("#example")
        found.page.wait_for_selector("#answer ol li")
        assert found.overflow() == 0
        assert not found.page.is_visible("#progress")
        assert found.errors == []


def test_bad_input_is_refused_before_anything_is_written(modules: Path, tmp_path: Path) -> None:
    sources, path = list(find_sources(RECORDINGS)), tmp_path / "page.html"
    with pytest.raises(GraphError, match=r"a page runs \.onnx models"):
        write_page(CHECKPOINTS / "digits.pt", sources, modules, path, NMNIST_SENSOR)
    with pytest.raises(RecordingError, match="0 recordings"):
        write_page(ENCODER, [], modules, path, NMNIST_SENSOR)
    with pytest.raises(MissingToolError, match="run `make web`, which needs npm"):
        write_page(ENCODER, sources, tmp_path, path, NMNIST_SENSOR)
    assert not path.exists()
