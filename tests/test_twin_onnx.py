"""The ONNX models that twins are timed as: they answer as the twins do, int8 ones nearly."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from export.onnx.twin import INPUT, export_twin, quantise_onnx
from tests.networks import SMALL, random_frames
from training.baselines.twin import AnnTwin
from training.config import EncoderConfig


@pytest.mark.parametrize("steps", [1, SMALL.time_steps])
@pytest.mark.parametrize("levels", [(1, 1, 0), (2, 1, 0)])
def test_the_written_twins_answer_as_the_trained_one(levels: tuple[int, ...], steps: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    twin = AnnTwin(EncoderConfig.model_validate(SMALL.model_dump() | {"levels": levels}), steps)
    frames = random_frames(SMALL, 40)
    with torch.no_grad():
        for _ in range(3):
            twin.train()(torch.from_numpy(frames).float())  # codes of a size, by batch normalisation
        expected = twin.eval()(torch.from_numpy(frames).float()).numpy()
    export_twin(twin, frames, tmp_path / "float.onnx")
    quantise_onnx(tmp_path / "float.onnx", tmp_path / "int8.onnx", frames)
    found = {name: _answers(tmp_path / f"{name}.onnx", frames) for name in ("float", "int8")}
    np.testing.assert_allclose(found["float"], expected, rtol=1e-3, atol=1e-3)
    assert 0 < np.abs(found["int8"] - expected).max() < 0.5 * np.abs(expected).max()
    kinds = {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds


def _answers(path: Path, frames: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path))
    return np.concatenate([session.run(None, {INPUT: one[None].astype(np.float32)})[0] for one in frames])
