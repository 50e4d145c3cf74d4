"""What ``import spikinghash`` offers: which names, at what price, and that arrays in any form give the same codes."""

import doctest
import hashlib
import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spikinghash
from deploy.backends.events.files import read_network
from export.nir.read import KEY
from export.onnx.properties import read_property
from spikinghash.errors import GraphError, RecordingError, SearchError, SpikinghashError
from spikinghash.resources import CHECKPOINTS

NAMES = [
    "Encoder", "Index", "SpikinghashError", "example", "export", "hamming", "load", "read_events", "report",
    "to_frames", "train",
]  # fmt: skip
MODULES = [
    *(f"spikinghash.api.{name}" for name in ("encoders", "making", "recordings", "search")),
    "spikinghash", "spikinghash.errors", "spikinghash.extras", "spikinghash.resources", "training.data.events",
]  # fmt: skip
HEAVY = ("torch", "onnxruntime", "faiss", "numba", "numpy", "pydantic", "typer")


def python(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(spikinghash.__file__).parents[1])}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=120)


def test_the_surface_is_this_one() -> None:
    assert spikinghash.__all__ == NAMES
    assert set(NAMES) <= set(dir(spikinghash))
    assert [name for name in NAMES if not (inspect.getdoc(getattr(spikinghash, name)) or "").strip()] == []
    with pytest.raises(AttributeError, match="no attribute 'lode'; it has Encoder, Index"):
        _ = spikinghash.lode


def test_members_of_the_surface_say_what_they_do() -> None:
    for kind in (spikinghash.Encoder, spikinghash.Index):
        members = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
        assert members
        assert [name for name, value in members.items() if not inspect.getdoc(value)] == []


def test_types_of_lazy_names_are_told_to_type_checkers() -> None:
    source = inspect.getsource(spikinghash)
    assert [name for name in NAMES if f"import {name} as {name}" not in source] == []


def test_importing_it_costs_nothing(tmp_path: Path) -> None:
    done = python(f"import spikinghash, sys; print([name for name in {HEAVY} if name in sys.modules])", tmp_path)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_three_lines_encode_an_array_without_torch(tmp_path: Path) -> None:
    script = """
import spikinghash, sys
recording = spikinghash.read_events(spikinghash.example("7"))
code = spikinghash.load("digits").encode(recording.events, sensor=(34, 34))
print(code.tobytes().hex(), "torch" in sys.modules)
"""
    done = python(script, tmp_path)
    assert (done.stdout, done.stderr) == ("8ed1c341 False\n", "")


@pytest.mark.parametrize("name", MODULES)
def test_examples_do_what_they_say(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module: ModuleType = importlib.import_module(name)
    names = {each: getattr(spikinghash, each) for each in NAMES}
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = [test for test in finder.find(module, extraglobs=names) if test.examples]
    runner = doctest.DocTestRunner(verbose=False)
    report: list[str] = []
    for test in tests:
        runner.run(test, out=report.append)
    assert runner.tries > 0
    assert "".join(report) == ""


SENSOR = (34, 34)


@pytest.fixture(scope="module")
def encoder() -> spikinghash.Encoder:
    return spikinghash.load("digits")


@given(
    digit=st.sampled_from("0123456789"),
    number=st.integers(0, 2),
    whole=st.sampled_from([np.int64, np.float64, np.int32]),
)
@settings(max_examples=12)
def test_events_in_any_form_give_one_code(encoder: spikinghash.Encoder, digit: str, number: int, whole: type) -> None:
    path = spikinghash.example(digit, number)
    recording = spikinghash.read_events(path)
    columns = [recording.events[name].astype(whole) for name in "xytp"]
    signed = [*columns[:3], 2 * columns[3] - 1]
    renamed = np.rec.fromarrays(columns, names="x,y,timestamp,polarity")
    code = encoder.encode(recording)
    for events in (recording.events, np.stack(columns, axis=1), columns, tuple(signed), renamed):
        assert np.array_equal(encoder.encode(events, SENSOR), code)
    frames = spikinghash.to_frames(columns, encoder.time_steps, encoder.size, sensor="34x34")
    assert np.array_equal(encoder.encode(frames), code)
    assert np.array_equal(encoder.encode(frames[None] > 0), code[None])
    assert np.array_equal(encoder.encode_files([str(path), path]), [code, code])
    assert np.array_equal(encoder.trace(columns, SENSOR).codes, code[None])


@pytest.mark.parametrize("name", ["digits", "nmnist"])
def test_the_encoder_that_comes_along_is_the_checkpoint(name: str) -> None:
    exported, checkpoint = CHECKPOINTS / f"{name}.onnx", CHECKPOINTS / f"{name}.pt"
    text = read_property(exported, KEY)
    assert text is not None
    assert json.loads(text)["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert read_network(exported).to_text() == read_network(checkpoint).to_text()


def test_a_whole_recording_is_one_window(encoder: spikinghash.Encoder) -> None:
    path = spikinghash.example("3")
    recording = spikinghash.read_events(path)
    span = int(recording.events["t"][-1] - recording.events["t"][0]) + 1
    chunks = np.array_split(recording.events, 7)
    for source, sensor in (
        (path, None),
        (str(path), None),
        (recording, None),
        (recording.events, SENSOR),
        (chunks, SENSOR),
    ):
        (window,) = encoder.stream(source, window=span, sensor=sensor)
        assert window.code is not None
        assert np.array_equal(window.code, encoder.encode(recording))


def test_an_index_finds_what_hamming_says(encoder: spikinghash.Encoder, tmp_path: Path) -> None:
    paths = [spikinghash.example(str(digit), number) for digit in range(10) for number in range(3)]
    codes = encoder.encode_files(paths)
    index = spikinghash.Index(encoder.bits)
    ids = index.add(codes)
    index.save(tmp_path / "codes.npz")
    distances = spikinghash.hamming(codes[:, None], codes)
    assert np.array_equal(distances, np.unpackbits(codes[:, None] ^ codes, axis=-1).sum(-1))
    for found in (index, spikinghash.Index.load(str(tmp_path / "codes.npz"))):
        assert len(found) == len(codes)
        for own, near in zip(distances, found.search(codes, k=5), strict=True):
            order = np.lexsort((ids, own))[:5]
            assert (near.ids.tolist(), near.distances.tolist()) == (order.tolist(), own[order].tolist())
        assert np.array_equal(
            found.within(codes[0], 4)[0].ids, np.lexsort((ids, distances[0]))[: (distances[0] <= 4).sum()]
        )
        assert found.add(codes[0]).tolist() == [30]


@pytest.mark.parametrize(
    ("events", "sensor", "message"),
    [
        (np.zeros((3, 4)), None, "give sensor="),
        (np.zeros((3, 5)), SENSOR, r"events: an array of shape \(3, 5\)"),
        ([np.zeros(3)] * 3, SENSOR, "needed are four of one length"),
        ([np.zeros(3)] * 3 + [np.zeros(2)], SENSOR, "needed are four of one length"),
        (np.full((3, 4), 40), SENSOR, "p = 40"),
        (np.full((3, 4), 0.5), SENSOR, "a whole number"),
        ([np.array([0, 40]), np.zeros(2), np.arange(2), np.zeros(2)], SENSOR, r"x = 40, outside the sensor"),
        (np.zeros((0, 4)), SENSOR, "empty"),
        (np.zeros((3, 4)), (34,), "WIDTHxHEIGHT"),
        (np.zeros((3, 4)), "34 by 34", "WIDTHxHEIGHT"),
    ],
)
def test_what_is_no_recording_is_refused(
    encoder: spikinghash.Encoder, events: object, sensor: object, message: str
) -> None:
    with pytest.raises(RecordingError, match=message):
        encoder.encode(events, sensor)  # type: ignore[arg-type]


def test_what_cannot_be_used_is_refused(encoder: spikinghash.Encoder, tmp_path: Path) -> None:
    with pytest.raises(SpikinghashError, match=r"frames: float64 \(4, 2, 32, 32\)"):
        encoder.encode(np.zeros((4, 2, 32, 32)))
    with pytest.raises(SpikinghashError, match="frames are uint8"):
        encoder.encode(np.zeros((3, 2, 32, 32), np.uint8))
    with pytest.raises(SpikinghashError, match="give 0 and 1"):
        encoder.encode(np.full((4, 2, 32, 32), 2, np.uint8))
    with pytest.raises(RecordingError, match="do not tell the size of the sensor"):
        encoder.stream([np.zeros((3, 4))], window=1000)
    with pytest.raises(SpikinghashError, match="hop_us is 0"):
        list(encoder.stream(spikinghash.example(), window=1000, hop=0))
    with pytest.raises(SpikinghashError, match="there are 3"):
        spikinghash.example("7", 3)
    with pytest.raises(GraphError, match=r"use \.nir or \.onnx"):
        spikinghash.export("digits", tmp_path / "encoder.txt")
    with pytest.raises(SearchError, match="of one K"):
        spikinghash.hamming(np.zeros(4, np.uint8), np.zeros(2, np.uint8))
    assert encoder.encode_files([]).shape == (0, 4)


def test_commands_take_the_name_of_an_encoder_that_comes_along(tmp_path: Path) -> None:
    seven = spikinghash.example("7")
    script = f"""
import sys
from spikinghash.__main__ import main
lines = [
    ["run", "digits", "{seven}"],
    ["search", "build", "{seven.parent}", "--encoder", "digits"],
    ["inspect", "digits"],
    ["to-onnx", "digits", "-o", "again.onnx"],
    ["verify", "digits", "--backends", "torch", "--samples", "1", "--data", "{seven}"],
]
for line in lines:
    sys.argv = ["spikinghash", *line]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (line, end.code)
sys.argv = ["spikinghash", "run", "digitz", "{seven}"]
main()
"""
    done = python(script, tmp_path)
    assert done.returncode == 2, done.stderr
    own = "by name there are digits, nmnist; did you mean 'digits'?"
    assert done.stderr == f"error: digitz: unknown kind of encoder: use .pt, .onnx, .nir; {own}\n"
    assert done.stdout.split()[0] == "8ed1c341"
    assert (tmp_path / "idx").is_dir()
    written = spikinghash.load(tmp_path / "again.onnx").encode(spikinghash.read_events(seven))
    assert written.tobytes().hex() == "8ed1c341"
