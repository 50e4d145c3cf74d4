"""ANN twins as ONNX models: what a processor without spikes runs, in float32 or in ONNX Runtime's own int8."""

import contextlib
import copy
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn
from torch.nn import functional

from training.baselines.twin import SpatialMixer
from training.model.wave_mixer import WaveMixer

INPUT = "frames"
Frames = NDArray[np.uint8]
TwinForm = Literal["float32", "int8"]


class BlockMap(nn.Module):
    """A wave mixer as the one convolution that it is: blocks of 2^L x 2^L pixels, by groups.

    Steps of a block in time are channels beside each other; of one frame there is one step.

    Args:
        mixer: of a window, or of one frame.
    """

    def __init__(self, mixer: WaveMixer | SpatialMixer) -> None:
        super().__init__()
        wave = mixer.mixer if isinstance(mixer, SpatialMixer) else mixer
        self.side = side = 2**wave.levels
        self.groups = wave.groups
        self.steps = steps = 1 if isinstance(mixer, SpatialMixer) else side
        per_group = wave.fusion.shape[-1]
        members = (per_group, side, side, side)  # channel, then step, row and column of the block
        whole = wave.kernel().detach().reshape(-1, *members, *members)[:, :, :steps, :, :, :, :steps]
        self.weight = nn.Parameter(whole.reshape(-1, per_group * steps, side, side).contiguous())

    def forward(self, activity: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        t, b, c, h, w = activity.shape
        steps = activity.reshape(-1, self.steps, b, c, h, w).movedim(1, 3).reshape(-1, c * self.steps, h, w)
        blocks = functional.conv2d(steps, self.weight, stride=self.side, groups=self.groups)
        mixed = functional.pixel_shuffle(blocks, self.side).reshape(-1, b, c, self.steps, h, w)
        return mixed.movedim(3, 1).reshape(t, b, c, h, w)


def export_twin(twin: nn.Module, frames: Frames, path: Path) -> None:
    """Write a twin, or another network, as float32 ONNX for a recording at a time: (1, T, 2, H, W) to codes (1, K).

    Args:
        frames: of a recording; what is written must answer as the twin does.
    """
    plain = copy.deepcopy(twin).eval()
    example = torch.from_numpy(frames[:1]).float()
    for module in list(plain.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, WaveMixer | SpatialMixer):
                setattr(module, name, BlockMap(child))
    with torch.no_grad(), warnings.catch_warnings():
        torch.testing.assert_close(plain(example), twin.eval()(example), rtol=1e-3, atol=1e-3)
        warnings.simplefilter("ignore")  # the exporter that torch prefers needs onnxscript, and nothing else here does
        torch.onnx.export(plain, (example,), str(path), dynamo=False, input_names=[INPUT])


class _Recordings(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, frames: Frames) -> None:
        self._rest = iter(frames.astype(np.float32))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        one = next(self._rest, None)
        return None if one is None else {INPUT: one[None]}


def quantise_onnx(source: Path, path: Path, frames: Frames) -> None:
    """Write ``source`` with int8 weights, per channel, and 8-bit activations, their ranges from ``frames``."""
    with tempfile.TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared), str(path), _Recordings(frames), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=True,
        )  # fmt: skip


def write_forms(
    network: nn.Module, frames: Frames, ranges: Frames, folder: Path, name: str
) -> Iterator[tuple[TwinForm, Path]]:
    """Write a twin into ``folder`` in float32 and in int8, the ranges of whose activations are those of ``ranges``."""
    paths: dict[TwinForm, Path] = {form: folder / f"{name}-{form}.onnx" for form in get_args(TwinForm)}
    export_twin(network, frames, paths["float32"])
    quantise_onnx(paths["float32"], paths["int8"], ranges)
    yield from paths.items()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantisation warns of every tensor that it keeps in one scale."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def load_twin(path: Path, threads: int) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    """What ``export_twin`` or ``quantise_onnx`` wrote, in ONNX Runtime: frames of a recording, float32, to its code."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options)

    def encode(frames: NDArray[Any]) -> NDArray[np.uint8]:
        (codes,) = session.run(None, {INPUT: frames})
        return np.packbits(codes > 0, axis=1)

    return encode
