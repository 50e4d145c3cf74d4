"""NIR graphs on any runner of them: the reference interpreter, Loihi's emulator, Lava, foreign simulators."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deploy.backends.emulator import EmulatorRunner
from deploy.backends.encoder import Codes, Executor, Frames, RunNumbers, Trace, totals
from deploy.backends.lava_backend import LavaBackend
from deploy.backends.simulator_backend import SimulatorBackend
from deploy.backends.simulators import LOWERED
from export.nir.interpreter import Interpreter
from export.nir.metadata import read_encoder
from export.nir.read import read_graph
from export.nir.trace import input_spikes, layer_spikes, output_answers, recorded_nodes
from spikinghash.arrays import Arrays, Floats
from spikinghash.errors import SpikinghashError


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


class NirEncoder:
    """An exported NIR graph on any runner of NIR graphs; ``backend`` is the runner's name."""

    def __init__(self, path: Path, runner: GraphRunner, backend: str = "nir") -> None:
        _, self.metadata = read_encoder(path)
        self.time_steps, self.size, self.bits = self.metadata.time_steps, self.metadata.size, self.metadata.bits
        self.classes = self.metadata.classes
        self.data = self.metadata.data
        self._path, self._runner, self.backend = path, runner, backend

    def encode(self, frames: Frames) -> Codes:
        """Packed codes (B, K/8) of frames (B, T, 2, H, W)."""
        outputs, _ = self._runner.run(self._path, self._input(frames))
        return output_answers(outputs, self.metadata)

    def trace(self, frames: Frames) -> Trace:
        """``encode``, with the activity of the layers."""
        outputs, recorded = self._runner.run(self._path, self._input(frames), recorded_nodes(self.metadata))
        spikes = layer_spikes(recorded, self.metadata)
        return Trace(output_answers(outputs, self.metadata), totals(spikes), spikes)

    def _input(self, frames: Frames) -> NDArray[np.float32]:
        spikes = input_spikes(frames, self.metadata)
        # A graph written out as Affine nodes reads flat arrays.
        return spikes.reshape(*spikes.shape[:2], -1) if self.metadata.flat else spikes
