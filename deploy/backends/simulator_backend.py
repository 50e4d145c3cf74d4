"""Norse, snnTorch, SpikingJelly and sc-neurocore as backends for portable NIR files.

The simulators live in an environment of their own; this module starts its interpreter and talks to it through files.
"""

import contextlib
import math
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.backends.simulators.graphs import check_request, input_shape, neuron_shapes, output_shape, read_planned
from deploy.backends.simulators.recording import SimulatorRun, read_recording
from deploy.backends.simulators.runners import RUNNERS
from spikinghash.errors import BackendError, MissingToolError

INTERPRETER_VARIABLE = "SPIKINGHASH_INTEROP_PYTHON"
CHUNK_BYTES = 2**29
"""Input, output and recorded spikes of one simulator process. It holds about three copies, beside 1 GiB of its own."""

_ROOT = Path(__file__).resolve().parents[2]


class SimulatorBackend:
    """One simulator, run as a process per chunk of samples.

    Args:
        name: one of ``norse``, ``snntorch``, ``spikingjelly``, ``sc-neurocore``.
        time_limit: seconds that one process may take.

    Raises:
        BackendError: there is no such simulator.
        MissingToolError: the simulators' environment is absent.
    """

    def __init__(self, name: str, time_limit: float = 1800.0) -> None:
        if name not in RUNNERS:
            raise BackendError(f"no simulator {name!r}; choose one of {', '.join(RUNNERS)}")
        self.name = name
        self.time_limit = time_limit
        self._interpreter = find_interpreter()

    def run(
        self, graph_path: Path, spikes: NDArray[np.float32], record: Sequence[str] = ()
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.bool_]]]:
        """Run a portable NIR file step by step, every sample from rest.

        Args:
            graph_path: the NIR file; the simulator's own importer reads it as it is.
            spikes: float32 (samples, steps, *input shape).
            record: names of spiking nodes whose spikes are wanted.

        Returns:
            Outputs, float32 (samples, steps, *output shape), and per recorded node bool (samples, steps, *node shape).

        Raises:
            GraphError: the file, the input's shape or a recorded name cannot be used.
            BackendError: the simulator refused the graph, failed, or ran out of time.
        """
        graph = read_planned(graph_path)
        check_request(graph, graph_path, spikes, tuple(record))
        size = max(1, CHUNK_BYTES // _bytes_per_sample(graph, spikes.shape[1], record))
        starts = range(0, len(spikes), size)
        chunks = [self._run_chunk(graph_path, spikes[start : start + size], record) for start in starts]
        outputs = np.concatenate([chunk.outputs for chunk in chunks])
        return outputs, {name: np.concatenate([chunk.recorded[name] for chunk in chunks]) for name in record}

    def _run_chunk(self, graph_path: Path, spikes: NDArray[np.float32], record: Sequence[str]) -> SimulatorRun:
        with tempfile.TemporaryDirectory(prefix="spikinghash-") as folder:
            source, target = Path(folder, "X.npz"), Path(folder, "Y.npz")
            np.savez(source, spikes=spikes)
            command = [
                self.name,
                str(Path(graph_path).resolve()),
                str(source),
                str(target),
                "--record",
                ",".join(record),
            ]
            self._start([str(self._interpreter), "-m", "deploy.backends.simulators", *command])
            return read_recording(target)

    def _start(self, command: list[str]) -> None:
        """Run a command in its own process group; end the group when time is up or on any exception here."""
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
        with subprocess.Popen(
            command,
            cwd=_ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                _, complaint = process.communicate(timeout=self.time_limit)
            except subprocess.TimeoutExpired:
                _kill_group(process)
                raise BackendError(f"{self.name}: no result after {self.time_limit:g} s; run fewer samples") from None
            except BaseException:
                _kill_group(process)
                raise
        if process.returncode:
            raise BackendError(_reason(self.name, process.returncode, complaint))


def find_interpreter() -> Path:
    """Return the Python of the simulators' environment.

    Raises:
        MissingToolError: it is neither where the environment variable says nor beside the project.
    """
    chosen = os.environ.get(INTERPRETER_VARIABLE)
    interpreter = Path(chosen) if chosen else _ROOT / ".venv-interop" / "bin" / "python"
    if not os.access(interpreter, os.X_OK):
        raise MissingToolError(
            f"{interpreter}: no Python of the simulators' environment; "
            f"run 'make interop-setup' or set {INTERPRETER_VARIABLE}"
        )
    return interpreter.absolute()  # not resolved: the link is what makes it a virtual environment


def _bytes_per_sample(graph: nir.NIRGraph, steps: int, record: Sequence[str]) -> int:
    """Return the size of one sample's input, output (float32) and recorded spikes (bool)."""
    neurons = neuron_shapes(graph)
    values = 4 * (math.prod(input_shape(graph)) + math.prod(output_shape(graph)))
    return max(1, steps * (values + sum(math.prod(neurons[name]) for name in record)))


def _reason(name: str, code: int, complaint: str) -> str:
    """Return one line: the simulator's own error line, or how its process ended."""
    lines = [line for line in complaint.splitlines() if line.strip()]
    if code < 0:
        return f"{name}: ended by signal {signal.Signals(-code).name}; run fewer samples if memory ran out"
    return lines[-1].removeprefix("error: ") if lines else f"{name}: ended with exit code {code} and no message"


def _kill_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
