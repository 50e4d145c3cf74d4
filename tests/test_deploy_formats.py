"""``deploy.run`` on files of every format: the code is that of the events written to it, and a bad file is an error."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import event_files
import numpy as np
import onnxruntime
import pytest
from event_files import FORMATS, Row

from deploy.backends.run import main
from export.encoder.network import load_network
from export.onnx.to_onnx import export_onnx
from tests.commands import Call
from training.data.binning import events_to_frames
from training.data.digits import simulate
from training.data.events import EVENT_DTYPE
from training.data.recordings import SUFFIXES

CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "digits.pt"
IN_PACKETS = ("aedat 3.1", "aedat 4")
IMAGES = dict(zip(FORMATS, range(0, 5000, 5000 // len(FORMATS)), strict=False))
"""An image for each format, most of other classes."""

pytestmark = pytest.mark.xdist_group("committed checkpoint")  # one export serves all tests of this file


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed checkpoint as ONNX."""
    path = tmp_path_factory.mktemp("encoder") / "digits.onnx"
    export_onnx(load_network(CHECKPOINT), path)
    return path


@pytest.fixture
def deploy(call: Call) -> Call:
    """Runs ``deploy.run``."""
    return partial(call, main)


def digit(name: str) -> list[Row]:
    """A digit, drawn out over the sensor of the format ``name``."""
    (events,) = simulate([IMAGES[name]])
    width, height = FORMATS[name][2]
    return [(int(x) * width // 34, int(y) * height // 34, int(t), int(p)) for x, y, t, p in events.tolist()]


def write(folder: Path, name: str) -> Path:
    suffix, writer, sensor, _ = FORMATS[name]
    path = folder / f"{name.replace(' ', '-')}{suffix}"
    writer(path, digit(name), *sensor)
    return path


def expected(encoder: Path, name: str) -> str:
    """The code of the events themselves, on ONNX Runtime alone."""
    session = onnxruntime.InferenceSession(encoder)
    steps = session.get_inputs()[0].shape[1]
    frames = events_to_frames(np.array(digit(name), EVENT_DTYPE), (*FORMATS[name][2], 2), steps, 32)
    (codes,) = session.run(["codes"], {"frames": frames[None]})
    return str(codes.tobytes().hex())


@pytest.mark.parametrize("name", FORMATS)
def test_the_code_of_a_file_is_that_of_its_events(deploy: Call, encoder: Path, tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    _, _, (width, height), told = FORMATS[name]
    sensor = [] if told else ["--sensor", f"{width}x{height}"]
    assert deploy(encoder, path, *sensor) == (0, f"{expected(encoder, name)}  {path}\n", "")


def test_a_process_encodes_files_of_all_formats_at_once(encoder: Path, tmp_path: Path) -> None:
    names = [name for name, (_, _, _, told) in FORMATS.items() if told]
    paths = [write(tmp_path, name) for name in names]
    done = subprocess.run([sys.executable, "-m", "deploy.run", encoder, *paths], capture_output=True, text=True)
    codes = [expected(encoder, name) for name in names]
    assert len(set(codes)) > 1
    lines = "".join(f"{code}  {path}\n" for code, path in zip(codes, paths, strict=True))
    assert (done.returncode, done.stdout, done.stderr) == (0, lines, "")


def bad_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files that cannot be used, and what must be said of each."""
    for suffix in SUFFIXES:
        yield folder / f"missing{suffix}", "cannot be read"
        (folder / f"empty{suffix}").write_bytes(b"")
        yield folder / f"empty{suffix}", ""
    for name, (_, _, _, told) in FORMATS.items():
        path = write(folder, name)
        if not told and name != "bin":  # N-MNIST's files do not tell their sensor, but it is known
            yield path, "does not tell the size of its sensor"
            continue
        whole = path.read_bytes()
        path.write_bytes(
            whole[:-1] if name not in IN_PACKETS else whole[: len(whole) // 3]
        )  # its whole packets are read
        yield path, ""
    (folder / "film.mp4").write_bytes(b"film")
    yield folder / "film.mp4", "suffix '.mp4' is no format of recordings"


def test_bad_files_are_one_line_and_exit_code_2(deploy: Call, encoder: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.aedat"
    event_files.aedat2_dvs128(good, digit("aedat 2 DVS128"))
    for path, message in bad_files(tmp_path):
        code, printed, error = deploy(encoder, good, path)
        assert (code, printed.split()[1:]) == (3, [str(good)]), path
        assert error.startswith(f"skipped: {path}: "), path
        assert error.count("\n") == 1
        code, printed, error = deploy(encoder, path)
        assert (code, printed) == (2, ""), path
        assert error.startswith(f"error: {path}: "), path
        assert message in error
        assert error.count("\n") == 1
