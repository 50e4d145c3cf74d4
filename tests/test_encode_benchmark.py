"""The encoding benchmark: its yardstick is the trained model, and a wrong encoder does not get a figure."""

from pathlib import Path

import numpy as np
import pytest
import torch
from networks import SMALL, calibrated, random_frames
from search_cases import write_random_recording

from benchmarks.encode import check_codes, measure, norse_codes, stage_shares
from benchmarks.side_by_side import Row, cold, in_batches
from export.encoder.network import build_network
from export.onnx.to_onnx import export_onnx
from spikinghash.errors import ComparisonError
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
    answer = cold(Row("numpy", tmp_path / "encoder.onnx", "numpy"), tmp_path / "frames.npy")
    assert answer is not None
    seconds, peak = answer
    assert seconds > 0
    assert 20 < peak < 200, "an interpreter with NumPy, and not torch"
