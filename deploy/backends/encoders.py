"""Every runtime behind one protocol: frames in, packed codes out, and a trace of what the layers did."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from deploy.backends.emulator import EmulatorRunner
from deploy.backends.lava_backend import Executor, LavaBackend
from deploy.backends.simulator_backend import SimulatorBackend
from deploy.backends.simulators import LOWERED, RUNNERS
from export.encoder.network import Numbers, load_network
from export.nir.interpreter import Interpreter
from export.nir.metadata import parse_metadata, read_encoder
from export.nir.read import KEY, read_graph
from export.nir.trace import input_spikes, layer_spikes, output_codes, recorded_nodes
from spikinghash.arrays import Arrays, Floats
from spikinghash.errors import GraphError, SpikinghashError

Codes = NDArray[np.uint8]
Frames = NDArray[np.uint8]
RunNumbers = Literal["integer", "float", "fixed"]
"""What a network computes with: its own numbers, or Loihi's fixed point."""
BACKENDS: dict[str, tuple[str, ...]] = {
    ".pt": ("torch",),
    ".onnx": ("onnxruntime",),
    ".nir": ("nir", "lava", *RUNNERS),
}
"""Backends by the suffix of the encoder's file; the first is the default."""

ONNX_BATCH = 4
"""Recordings that ONNX Runtime encodes at once on a CPU: their maps stay in its caches. Of 64 at once a recording takes
1.6 times as long."""


@dataclass(frozen=True)
class Trace:
    """What an encoder did on a batch of B recordings."""

    codes: Codes
    """Packed, (B, K/8)."""
    counts: dict[str, NDArray[np.int64]]
    """Spikes of each layer in the window, (B,); coincidences for an attention."""
    spikes: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Spikes of each layer, (B, T, C, H, W), where the backend shows them."""


class Encoder(Protocol):
    """A loaded encoder."""

    time_steps: int
    size: int
    bits: int

    def encode(self, frames: Frames) -> Codes:
        """Packed codes (B, K/8) of frames (B, T, 2, H, W)."""

    def trace(self, frames: Frames) -> Trace:
        """``encode``, with the activity of the layers."""


class GraphRunner(Protocol):
    """Runs any NIR graph: (samples, steps, ...) in and out, and the spikes of the nodes named in ``record``."""

    def run(self, graph_path: Path, spikes: Floats, record: Sequence[str] = ()) -> tuple[Floats, Arrays]:
        """Run a graph with one Input and one Output on ``spikes``, every sample from rest.

        Returns:
            Outputs, float32 (samples, steps, *output shape), and by node in ``record`` its spikes, (samples, steps,
            *shape); both aligned to the graph's own steps.

        Raises:
            GraphError: the graph cannot run, or does not fit the input.
        """


class NirRunner:
    """The reference interpreter; a graph is read and its matrices are built once."""

    def __init__(self) -> None:
        self._interpreters: dict[Path, Interpreter] = {}

    def run(self, graph_path: Path, spikes: Floats, record: Sequence[str] = ()) -> tuple[Floats, Arrays]:
        """As ``GraphRunner`` says."""
        if graph_path not in self._interpreters:
            self._interpreters[graph_path] = Interpreter(read_graph(graph_path))
        return self._interpreters[graph_path].run(spikes, record)


def graph_runner(
    backend: str, numbers: RunNumbers = "integer", executor: Executor | None = None, threads: int = 0
) -> GraphRunner:
    """The runner behind ``backend``, one of those for .nir files.

    NEST takes ``threads``, 0 for one; others choose themselves.

    Raises:
        SpikinghashError: the backend has no fixed point, or no executors.
    """
    fixed = numbers == "fixed"
    if fixed and backend not in ("nir", "lava"):
        raise SpikinghashError(f"--numbers fixed: {backend} has no fixed point: use nir (the emulator) or lava")
    if executor is not None and backend != "lava":
        raise SpikinghashError(f"--executor {executor}: {backend} has none: use --backend lava")
    if backend == "nir":
        return EmulatorRunner() if fixed else NirRunner()
    if backend == "lava":
        return LavaBackend(numbers="fixed" if fixed else "float", executor=executor)
    return SimulatorBackend(backend, threads=threads if threads and backend in LOWERED else 1)


class TorchEncoder:
    """A checkpoint on torch: its integer network, or the float one."""

    def __init__(self, path: Path, numbers: Numbers = "integer") -> None:
        network = load_network(path, numbers)
        self.time_steps, self.size, self.bits = network.config.time_steps, network.config.size, network.config.bits
        self._executor = network.executor()

    def encode(self, frames: Frames) -> Codes:
        """Packed codes (B, K/8) of frames (B, T, 2, H, W)."""
        return self._executor.encode(frames)

    def trace(self, frames: Frames) -> Trace:
        """``encode``, with the activity of the layers."""
        codes, spikes = self._executor.layers(frames)
        return Trace(codes, _totals(spikes), spikes)


class OnnxEncoder:
    """An exported model on ONNX Runtime; CUDA where this onnxruntime has it."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=_providers())
        except Exception as error:  # protobuf and ONNX Runtime each raise their own kinds
            raise GraphError(f"{path}: not a readable ONNX model ({type(error).__name__}): export it again") from None
        self.providers: list[str] = self._session.get_providers()
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            raise GraphError(f"{path}: an ONNX model, but no encoder: it lacks the metadata '{KEY}'")
        self.metadata = parse_metadata(text, str(path))
        self.time_steps, self.size, self.bits = self.metadata.time_steps, self.metadata.size, self.metadata.bits

    def encode(self, frames: Frames) -> Codes:
        """Packed codes (B, K/8) of frames (B, T, 2, H, W)."""
        at_once = ONNX_BATCH if self.providers == ["CPUExecutionProvider"] else max(len(frames), 1)
        starts = range(0, max(len(frames), 1), at_once)
        return np.concatenate([self.trace(frames[start : start + at_once]).codes for start in starts])

    def trace(self, frames: Frames) -> Trace:
        """``encode``, with the activity of the layers."""
        codes, counts = self._session.run(["codes", "spike_counts"], {"frames": frames})
        names = [population.name for population in self.metadata.populations]
        return Trace(codes, {name: counts[:, column].astype(np.int64) for column, name in enumerate(names)})


class NirEncoder:
    """An exported NIR graph on any runner of NIR graphs."""

    def __init__(self, path: Path, runner: GraphRunner) -> None:
        _, self.metadata = read_encoder(path)
        self.time_steps, self.size, self.bits = self.metadata.time_steps, self.metadata.size, self.metadata.bits
        self._path, self._runner = path, runner

    def encode(self, frames: Frames) -> Codes:
        """Packed codes (B, K/8) of frames (B, T, 2, H, W)."""
        outputs, _ = self._runner.run(self._path, self._input(frames))
        return output_codes(outputs)

    def trace(self, frames: Frames) -> Trace:
        """``encode``, with the activity of the layers."""
        outputs, recorded = self._runner.run(self._path, self._input(frames), recorded_nodes(self.metadata))
        spikes = layer_spikes(recorded, self.metadata)
        return Trace(output_codes(outputs), _totals(spikes), spikes)

    def _input(self, frames: Frames) -> NDArray[np.float32]:
        spikes = input_spikes(frames, self.metadata)
        # A graph written out as Affine nodes reads flat arrays.
        return spikes.reshape(*spikes.shape[:2], -1) if self.metadata.flat else spikes


def load_encoder(
    path: Path,
    backend: str | None = None,
    numbers: RunNumbers = "integer",
    threads: int = 0,
    executor: Executor | None = None,
) -> Encoder:
    """Load the encoder ``path`` for ``backend``, by default the first that its suffix allows.

    An .onnx model runs on ``threads`` threads, 0 for all cores; a .nir on Lava in ``executor``, on NEST on ``threads``.

    Raises:
        SpikinghashError: the file cannot be used, or the backend does not run such files.
    """
    allowed = BACKENDS.get(path.suffix)
    if allowed is None:
        raise GraphError(f"{path}: unknown kind of encoder: use {', '.join(BACKENDS)}")
    backend = backend or allowed[0]
    if backend not in allowed:
        raise SpikinghashError(f"--backend {backend}: does not run {path.suffix} files: use {' or '.join(allowed)}")
    if path.suffix == ".nir" and numbers != "float":
        return NirEncoder(path, graph_runner(backend, numbers, executor, threads))
    if numbers == "fixed" or executor is not None:
        option = "--numbers fixed" if executor is None else f"--executor {executor}"
        raise SpikinghashError(f"{option}: {backend} cannot: export a .nir file and use --backend lava")
    if backend == "torch":
        return TorchEncoder(path, numbers)
    if numbers != "integer":
        raise SpikinghashError(f"--numbers {numbers}: {path} holds its own numbers: choose them when exporting")
    return OnnxEncoder(path, threads)


def _providers() -> list[str]:
    available = onnxruntime.get_available_providers()
    return [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]


def _totals(spikes: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.int64]]:
    return {name: value.sum(axis=tuple(range(1, value.ndim)), dtype=np.int64) for name, value in spikes.items()}
