"""The table of runtimes: what a row has, and that another code than the network's ends the measurement."""

from pathlib import Path

import pytest

from benchmarks.runtimes.__main__ import REFERENCE, differing, row
from deploy.backends.onnx_backend import OnnxEncoder
from export.encoder.network import build_network
from export.onnx.to_onnx import export_onnx
from spikinghash.errors import ComparisonError
from tests.networks import TINY, calibrated, random_frames


def test_a_runtime_is_measured_beside_onnx_runtime(tmp_path: Path) -> None:
    network, path, frames = build_network(calibrated(TINY)), tmp_path / "encoder.onnx", random_frames(TINY, 6)
    export_onnx(network, path)
    baseline, expected = OnnxEncoder(path, threads=1), network.executor().encode(frames)
    found = row(REFERENCE, path, frames, expected, baseline)
    assert found["equal"] == found["recordings"] == 6
    assert found["ratio"] > 0
    assert "equal_as_it_comes" not in found, "it has no choice"
    others = expected.copy()
    others[2:4] ^= 1
    assert differing(expected, others).tolist() == [2, 3]
    with pytest.raises(ComparisonError, match="onnxruntime: 2 of 6 codes differ, recording 2 first"):
        row(REFERENCE, path, frames, others, baseline)
