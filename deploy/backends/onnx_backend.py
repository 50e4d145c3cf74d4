"""An exported ONNX model on ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnxruntime

from deploy.backends.encoder import Codes, Frames, Trace
from export.nir.metadata import parse_onnx_metadata
from export.nir.read import KEY
from export.onnx.properties import read_model
from spikinghash.errors import GraphError

ONNX_BATCH = 4
"""Recordings that ONNX Runtime encodes at once on a CPU: their maps stay in its caches. Of 64 at once a recording takes
1.6 times as long."""


class OnnxEncoder:
    """An exported model on ONNX Runtime; CUDA where this onnxruntime has it."""

    backend = "onnxruntime"

    def __init__(self, path: Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_mem_reuse = False  # planning it is most of loading; runs are as fast, and take no more memory
        content = read_model(path)
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=_providers())
        except Exception as error:  # protobuf and ONNX Runtime each raise their own kinds
            raise GraphError(f"{path}: not a readable ONNX model ({type(error).__name__}): export it again") from None
        self._codes_alone = onnxruntime.RunOptions()
        self._codes_alone.only_execute_path_to_fetches = True  # nobody who encodes asks for spike counts
        self.providers: list[str] = self._session.get_providers()
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        self.metadata = parse_onnx_metadata(text, str(path))
        self.classes, self._answers = self.metadata.classes, "classes" if self.metadata.classes else "codes"
        frames = self._session.get_inputs()[0]
        self._batch = frames.shape[0] if isinstance(frames.shape[0], int) else None
        self._floats = frames.type == "tensor(float)"  # a model for ncnn
        self._check_shapes(path)
        self.time_steps, self.size, self.bits = self.metadata.time_steps, self.metadata.size, self.metadata.bits
        self.data = self.metadata.data

    def _check_shapes(self, path: Path) -> None:
        told, ends = self.metadata, (*self._session.get_inputs(), *self._session.get_outputs())
        shapes = {end.name: end.shape[1:] for end in ends}
        wanted = {
            "frames": [told.time_steps, 2, told.size, told.size],
            **({"classes": [told.bits]} if told.classes else {"codes": [told.bits // 8]}),
            **({"class": []} if told.classes and not self._floats else {}),
            **({"spike_counts": [len(told.populations)]} if told.populations else {}),
        }
        if shapes != wanted:
            raise GraphError(f"{path}: metadata tell of {wanted}, the model has {shapes}: export it again")

    def encode(self, frames: Frames) -> Codes:
        """Packed codes (B, K/8) of frames (B, T, 2, H, W)."""
        return self._run([self._answers], frames, self._codes_alone)[0]

    def trace(self, frames: Frames) -> Trace:
        """``encode``, with the activity of the layers, unless the model was written without."""
        names = [population.name for population in self.metadata.populations]
        codes, *counts = self._run([self._answers, *(["spike_counts"] if names else [])], frames)
        return Trace(codes, {name: counts[0][:, column].astype(np.int64) for column, name in enumerate(names)})

    def _run(self, wanted: list[str], frames: Frames, options: onnxruntime.RunOptions | None = None) -> list[Codes]:
        """Outputs of the model, a batch at a time; silence fills up a fixed one, and one of nothing."""
        at_once = self._batch or (ONNX_BATCH if self.providers == ["CPUExecutionProvider"] else max(len(frames), 1))
        count = max(len(frames), 1)
        missing = count + -count % (self._batch or 1) - len(frames)
        filled = np.concatenate([frames, np.zeros((missing, *frames.shape[1:]), np.uint8)]) if missing else frames
        if self._floats:
            filled = filled.astype(np.float32)
        starts = range(0, len(filled), at_once)
        parts = [self._session.run(wanted, {"frames": filled[start : start + at_once]}, options) for start in starts]
        joined = [np.concatenate(part)[: len(frames)] for part in zip(*parts, strict=True)]
        return [each.astype(np.int32 if self.classes else np.uint8) if self._floats else each for each in joined]


def _providers() -> list[str]:
    available = onnxruntime.get_available_providers()
    return [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
