"""OpenVINO, MNN, IREE, tract and ncnn as backends for ONNX models, and ``onnx.reference``, ONNX's own evaluator.

The runtimes live in the environment of the foreign simulators; this module starts its interpreter and talks to it
through files. The evaluator comes with the library for ONNX and runs here.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploy.backends.encoder import Codes, Frames, Trace, checked_frames
from deploy.backends.simulator_backend import find_interpreter
from deploy.backends.worker import environment_of, worker
from export.nir.metadata import Metadata, parse_onnx_metadata
from export.onnx.properties import METADATA_KEY, read_property
from spikinghash.arrays import Arrays
from spikinghash.errors import GraphError
from spikinghash.extras import told_of_extras
from spikinghash.files import private_folder

TIME_LIMIT = 1800.0
"""Seconds that a runtime may take, a compiler included."""
COUNTS = "spike_counts"


@dataclass(frozen=True)
class Measured:
    """A run in a process of its own, on the processor's clock."""

    codes: Codes
    seconds: float
    """Of a recording, in the mean; the first, which may still prepare something, does not count."""
    loading: float
    """Seconds from the start to the first code, beyond those of a recording."""


class RuntimeEncoder:
    """An exported model in another runtime, one recording at a time, in a process per call.

    Args:
        path: the model; for ncnn one written with ``--for ncnn``.
        backend: one of ``deploy.backends.runtimes.RUNNERS``.

    Raises:
        GraphError: it is no encoder, or not written for this runtime.
        MissingToolError: the environment of the runtimes is absent.
    """

    def __init__(self, path: Path, backend: str) -> None:
        self.backend, self._path, self.metadata = backend, path, onnx_metadata(path)
        for_ncnn = self.metadata.dialect == "ncnn"
        if for_ncnn != (backend == "ncnn"):
            remedy = "leave --for ncnn out" if for_ncnn else "use --for ncnn"
            raise GraphError(f"{path}: not a model that {backend} takes: write it with export.to_onnx, {remedy}")
        self.classes, self.data = self.metadata.classes, self.metadata.data
        self.time_steps, self.size, self.bits = self.metadata.time_steps, self.metadata.size, self.metadata.bits
        self._prepare()

    def _prepare(self) -> None:
        self._interpreter = find_interpreter()

    def encode(self, frames: Frames) -> Codes:
        """Packed codes (B, K/8), or spikes per class (B, K), of frames (B, T, 2, H, W)."""
        return self.trace(frames).codes

    def trace(self, frames: Frames) -> Trace:
        """``encode``, with the spike counts of the layers that the model returns."""
        frames = checked_frames(frames, self.time_steps, self.size)
        asked = frames if len(frames) else np.zeros((1, *frames.shape[1:]), np.uint8)  # no runtime takes nothing
        found = {name: each[: len(frames)] for name, each in self._outputs(asked, self._names()).items()}
        layers = [population.name for population in self.metadata.populations]
        counts = found[COUNTS].astype(np.int64) if layers else np.empty((len(frames), 0), np.int64)
        return Trace(self._answers(found), dict(zip(layers, counts.T, strict=True)))

    def measured(self, frames: Frames, exact: bool = True) -> Measured:
        """Codes of two or more recordings, and what they took; not ``exact`` is what the runtime chooses."""
        found = self._outputs(frames, self._names(), *(() if exact else ("--as-it-comes",)))
        first, *others = found["seconds"].tolist()
        seconds = float(np.mean(others))
        return Measured(self._answers(found), seconds, first - seconds)

    def _answers(self, found: Arrays) -> Codes:
        return found["classes"].astype(np.int32) if self.classes else found["codes"].astype(np.uint8)

    def _names(self) -> tuple[str, ...]:
        """Of the model's outputs, in its order."""
        answers = ("classes", "class") if self.classes else ("codes",)
        counts = (COUNTS,) if self.metadata.populations else ()
        return (*answers[: 1 if self.metadata.dialect == "ncnn" else 2], *counts)

    def _outputs(self, frames: Frames, names: tuple[str, ...], *more: str) -> Arrays:
        """Outputs of the model by ``names``; ``more`` are options of the runtime's process."""
        with private_folder() as folder:
            source, target = folder / "X.npz", folder / "Y.npz"
            np.savez(source, frames=frames)
            module = [str(self._interpreter), "-m", "deploy.backends.runtimes", self.backend]
            files = [str(path) for path in (self._path.resolve(), source, target)]
            command = [*module, *files, "--outputs", ",".join(names), *more]
            with worker(self.backend, command, folder, environment_of(folder)) as running:
                running.wait(TIME_LIMIT)
            with np.load(target) as archive:
                return {name: archive[name] for name in archive.files}


class ReferenceEncoder(RuntimeEncoder):
    """An exported model in ``onnx.reference``: what each operator means, in NumPy."""

    def _prepare(self) -> None:
        with told_of_extras():
            from onnx.reference import ReferenceEvaluator
        try:
            self._evaluator = ReferenceEvaluator(str(self._path))
        except Exception as error:  # protobuf and the evaluator each raise their own kinds
            raise GraphError(
                f"{self._path}: not a readable ONNX model ({type(error).__name__}): export it again"
            ) from None

    def _outputs(self, frames: Frames, names: tuple[str, ...], *more: str) -> Arrays:
        runs = [self._evaluator.run(list(names), {"frames": recording[None]}) for recording in frames]
        return {name: np.concatenate(part) for name, part in zip(names, zip(*runs, strict=True), strict=True)}


def onnx_metadata(path: Path) -> Metadata:
    """What the ONNX model ``path`` tells of itself.

    Raises:
        GraphError: it is no encoder.
    """
    return parse_onnx_metadata(read_property(path, METADATA_KEY), str(path))
