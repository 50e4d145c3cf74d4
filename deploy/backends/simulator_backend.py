"""Norse, snnTorch, SpikingJelly and sc-neurocore as backends for portable NIR files, NEST for any.

The simulators live in an environment of their own; this module starts its interpreter and talks to it through files.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import nir
import numpy as np

from deploy.backends.simulators import LOWERED, RUNNERS
from deploy.backends.simulators.graphs import check_request, input_shape, neuron_shapes, output_shape, read_planned
from deploy.backends.simulators.recording import SimulatorRun, read_recording
from deploy.backends.worker import environment_of, python_of, worker
from spikinghash.arrays import Arrays, Floats
from spikinghash.errors import BackendError
from spikinghash.files import private_folder

INTERPRETER_VARIABLE = "SPIKINGHASH_INTEROP_PYTHON"
CHUNK_BYTES = 2**29
"""Input, output and recorded spikes of one simulator process. It holds about three copies, beside 1 GiB of its own."""


class SimulatorBackend:
    """One simulator, run as a process per chunk of samples.

    Args:
        name: one of ``norse``, ``snntorch``, ``spikingjelly``, ``sc-neurocore``, ``nest``.
        time_limit: seconds that one process may take.
        threads: of NEST.

    Raises:
        BackendError: there is no such simulator, or it has no threads.
        MissingToolError: the simulators' environment is absent.
    """

    def __init__(self, name: str, time_limit: float = 1800.0, threads: int = 1) -> None:
        if name not in RUNNERS:
            raise BackendError(f"no simulator {name!r}; choose one of {', '.join(RUNNERS)}")
        if threads != 1 and name not in LOWERED:
            raise BackendError(f"{name}: threads {threads}, but it runs on 1: use nest")
        self.name = name
        self.time_limit = time_limit
        self.threads = threads
        self._interpreter = find_interpreter()

    def run(self, graph_path: Path, spikes: Floats, record: Sequence[str] = ()) -> tuple[Floats, Arrays]:
        """As ``GraphRunner`` says; the simulator's own importer reads the file; ``record`` names spiking nodes.

        Raises:
            GraphError: the file, the input's shape or a recorded name cannot be used.
            BackendError: the simulator refused the graph, failed, or ran out of time.
        """
        graph = read_planned(graph_path, None) if self.name in LOWERED else read_planned(graph_path)
        check_request(graph, graph_path, spikes, tuple(record))
        size = max(1, CHUNK_BYTES // _bytes_per_sample(graph, spikes.shape[1], record))
        starts = range(0, len(spikes), size)
        chunks = [self._run_chunk(graph_path, spikes[start : start + size], record) for start in starts]
        outputs = np.concatenate([chunk.outputs for chunk in chunks])
        return outputs, {name: np.concatenate([chunk.recorded[name] for chunk in chunks]) for name in record}

    def _run_chunk(self, graph_path: Path, spikes: Floats, record: Sequence[str]) -> SimulatorRun:
        with private_folder() as folder:
            source, target = folder / "X.npz", folder / "Y.npz"
            np.savez(source, spikes=spikes)
            module = [str(self._interpreter), "-m", "deploy.backends.simulators", self.name]
            files = [str(path) for path in (Path(graph_path).resolve(), source, target)]
            command = [*module, *files, "--record", ",".join(record), "--threads", str(self.threads)]
            with worker(self.name, command, folder, environment_of(folder)) as running:
                running.wait(self.time_limit)
            return read_recording(target)


def find_interpreter() -> Path:
    """Return the Python of the simulators' environment.

    Raises:
        MissingToolError: it is neither where the environment variable says nor beside the project.
    """
    return python_of("simulators'", INTERPRETER_VARIABLE, ".venv-interop", "make interop-setup")


def _bytes_per_sample(graph: nir.NIRGraph, steps: int, record: Sequence[str]) -> int:
    """Return the size of one sample's input, output (float32) and recorded spikes (bool)."""
    neurons = neuron_shapes(graph)
    values = 4 * (math.prod(input_shape(graph)) + math.prod(output_shape(graph)))
    return max(1, steps * (values + sum(math.prod(neurons[name]) for name in record)))
