"""The encoding benchmark: its yardstick is the trained model, and a wrong encoder does not get a figure."""

from pathlib import Path

import numpy as np
import pytest
import torch
from networks import SMALL, calibrated, random_frames
from search_cases import write_random_recording

from benchmarks.encode import check_codes, measure, norse_codes, stage_shares
from export.encoder.network import build_network
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
