"""The encoding benchmark: its yardstick is the trained model, and a wrong encoder does not get a figure."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import SMALL, calibrated, random_frames
from search_cases import write_random_recording

from benchmarks.encode import check_codes, measure, norse_codes, stage_shares
from benchmarks.side_by_side import __main__ as side_by_side
from benchmarks.side_by_side.held import AVX2
from benchmarks.side_by_side.page import written
from benchmarks.side_by_side.rows import ONE_BY_ONE, Row, cold, in_batches, rows_of, take_turns
from export.encoder.network import build_network
from export.onnx.to_onnx import export_onnx
from spikinghash.errors import ComparisonError, ConfigError
from tests.commands import Call
from training.model.lif import Lif
from training.model.plain import PlainEncoder


def test_the_yardstick_computes_what_the_model_computes() -> None:
    model = calibrated(SMALL)
    assert not any(isinstance(module, Lif) for module in PlainEncoder(model).modules())
    frames = torch.from_numpy(random_frames(SMALL, 6))
    with torch.no_grad():
        assert torch.equal(norse_codes(model)(frames), model.codes(frames))


def test_an_encoder_with_other_codes_is_an_error() -> None:
    network = build_network(calibrated(SMALL))
    frames = random_frames(SMALL, 4)
    codes = network.executor().layers(frames)[0]
    check_codes({"torch": lambda _: codes, "norse": lambda _: codes ^ 1}, network, frames)
    with pytest.raises(ComparisonError, match="onnx: other codes"):
        check_codes({"onnx": lambda _: codes ^ 1}, network, frames)


def test_encoders_take_turns_and_each_is_called_three_times_at_least() -> None:
    calls: list[str] = []
    encoders = {name: lambda _, name=name: calls.append(name) or np.zeros(1, np.uint8) for name in "ab"}  # type: ignore[misc]
    times = measure(encoders, np.zeros(1, np.uint8), seconds=0.0)
    assert calls == list("abababab")
    assert {name: len(spent) for name, spent in times.items()} == {"a": 3, "b": 3}


def test_stages_are_timed_on_every_recording(tmp_path: Path) -> None:
    files = [write_random_recording(tmp_path / f"{seed}.bin", seed).read_bytes() for seed in range(3)]
    encoded: list[int] = []
    shares = stage_shares(files, lambda frames: encoded.append(len(frames)) or frames, SMALL.time_steps, SMALL.size)  # type: ignore[func-returns-value]
    assert encoded == [3]
    assert list(shares) == ["decode", "bin", "encode"]
    assert min(shares.values()) > 0


def test_every_recording_is_encoded_in_batches_of_the_size_that_is_asked_for() -> None:
    sizes: list[int] = []
    frames = random_frames(SMALL, 5)
    found = in_batches(lambda part: sizes.append(len(part)) or part[:, 0, 0, 0], 2)(frames)  # type: ignore[func-returns-value]
    assert sizes == [2, 2, 1]
    np.testing.assert_array_equal(found, frames[:, 0, 0, 0])


def test_a_cold_start_is_that_of_a_process_of_its_own(tmp_path: Path) -> None:
    export_onnx(build_network(calibrated(SMALL)), tmp_path / "encoder.onnx")
    np.save(tmp_path / "frames.npy", random_frames(SMALL, 3))
    seconds, peak = cold(Row("numpy", tmp_path / "encoder.onnx", "numpy"), tmp_path / "frames.npy")
    assert seconds > 0
    assert 20 < peak < 200, "an interpreter with NumPy, and not torch"


def test_an_encoder_takes_turns_with_its_twins(tmp_path: Path) -> None:
    network, frames = build_network(calibrated(SMALL)), random_frames(SMALL, ONE_BY_ONE)
    rows = [row for row in rows_of(tmp_path / "none.pt", network, frames, tmp_path) if row.backend != "norse"]
    take_turns(rows, network, frames, seconds=1e-9)
    keys = ["events", "numpy", "onnx", "onnx-int8", "twin", "twin-int8", "resnet18", "resnet18-int8"]
    assert [row.key for row in rows] == keys
    for row in rows:
        measured = row.measured()
        assert len(row.cpu) == 2
        assert min(*row.cpu, row.two or 0) > 0
        assert measured["cold"] is None
    with pytest.raises(ComparisonError, match="events: other codes than the integer network's"):
        take_turns(rows[:1], build_network(calibrated(SMALL, seed=1)), frames, seconds=1e-9)


LOOP = """
import numba, numpy
@numba.njit
def add(a, b):
    for i in range(len(a)):
        a[i] += b[i]
add(numpy.ones(64), numpy.ones(64))
print(*{part[:3] for part in " ".join(add.inspect_asm().values()).replace("%", " ").split()} & {"ymm", "zmm"})
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="AVX2 is of x86")
def test_numba_is_held_to_avx2() -> None:
    words = subprocess.run(
        [sys.executable, "-c", LOOP], env=os.environ | AVX2, capture_output=True, text=True, check=True
    )
    assert words.stdout.split() == ["ymm"]


def test_a_page_without_its_comments_is_refused() -> None:
    with pytest.raises(ConfigError, match="the page lacks the comments around measured: <!-- measured: python -m"):
        written("# Speed\n", {"encoders": [{"name": "nmnist", "rows": [], "load": 1.0}]})


def test_what_cannot_be_compared_is_told_in_one_line(call: Call, tmp_path: Path) -> None:
    write_random_recording(tmp_path / "0.bin", 0)
    for words, message in (
        ((), f"--nmnist {tmp_path}: holds 1 .bin files, 64 are needed"),
        (("--encoders", "nmnist,other"), "--encoders other: use nmnist, digits, dense/nmnist, dense/digits"),
    ):
        done = call(side_by_side.main, "--nmnist", tmp_path, *words, "--out", tmp_path / "speed")
        assert (done.code, done.err) == (2, f"error: {message}\n")
