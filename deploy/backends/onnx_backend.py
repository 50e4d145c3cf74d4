"""An exported ONNX model on ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnxruntime

from deploy.backends.encoder import Codes, Frames, Trace
from export.nir.metadata import parse_metadata
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
        content = read_model(path)
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=_providers())
        except Exception as error:  # protobuf and ONNX Runtime each raise their own kinds
            raise GraphError(f"{path}: not a readable ONNX model ({type(error).__name__}): export it again") from None
        self._codes_alone = onnxruntime.RunOptions()
        self._codes_alone.only_execute_path_to_fetches = True  # nobody who encodes asks for spike counts
        self.providers: list[str] = self._session.get_providers()
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            raise GraphError(f"{path}: an ONNX model, but no encoder: it lacks the metadata '{KEY}'")
        self.metadata = parse_metadata(text, str(path))
        self.classes, self._answers = self.metadata.classes, "classes" if self.metadata.classes else "codes"
        self._check_shapes(path)
        self.time_steps, self.size, self.bits = self.metadata.time_steps, self.metadata.size, self.metadata.bits
        self.data = self.metadata.data

    def _check_shapes(self, path: Path) -> None:
        told, ends = self.metadata, (*self._session.get_inputs(), *self._session.get_outputs())
        shapes = {end.name: end.shape[1:] for end in ends}
        wanted = {
            "frames": [told.time_steps, 2, told.size, told.size],
            **({"classes": [told.bits], "class": []} if told.classes else {"codes": [told.bits // 8]}),
            "spike_counts": [len(told.populations)],
        }
        if shapes != wanted:
            raise GraphError(f"{path}: metadata tell of {wanted}, the model has {shapes}: export it again")

    def encode(self, frames: Frames) -> Codes:
        """Packed codes (B, K/8) of frames (B, T, 2, H, W)."""
        at_once = ONNX_BATCH if self.providers == ["CPUExecutionProvider"] else max(len(frames), 1)
        starts = range(0, max(len(frames), 1), at_once)
        return np.concatenate([self._codes(frames[start : start + at_once]) for start in starts])

    def _codes(self, frames: Frames) -> Codes:
        codes: Codes = self._session.run([self._answers], {"frames": frames}, self._codes_alone)[0]
        return codes

    def trace(self, frames: Frames) -> Trace:
        """``encode``, with the activity of the layers."""
        codes, counts = self._session.run([self._answers, "spike_counts"], {"frames": frames})
        names = [population.name for population in self.metadata.populations]
        return Trace(codes, {name: counts[:, column].astype(np.int64) for column, name in enumerate(names)})


def _providers() -> list[str]:
    available = onnxruntime.get_available_providers()
    return [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
