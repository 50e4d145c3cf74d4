"""The Lava simulator as a backend: a supervised worker in Lava's own environment, files in and files out."""

import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from spikinghash.errors import BackendError, GraphError, MissingToolError, SpikinghashError

ROOT = Path(__file__).resolve().parents[2]
INTERPRETER_VARIABLE = "SPIKINGHASH_LAVA_PYTHON"
SHARED_MEMORY = Path("/dev/shm")

CHUNK_STEPS = 4096
"""Time steps that one worker runs: bounds its memory and what a failure costs."""
RECORDED_CHUNK_STEPS = 512
"""The same where spikes are recorded, a byte per neuron and step."""
GRACE_SECONDS = 5.0
"""How long a process group may take to end after SIGTERM."""

Progress = Callable[[int, int], None]
Arrays = dict[str, npt.NDArray[Any]]

_ERRORS: dict[str, type[SpikinghashError]] = {
    error.__name__: error for error in (BackendError, GraphError, MissingToolError)
}


@dataclass
class LavaBackend:
    """Runs NIR graphs on Lava's multi-process CPU simulator, floating point.

    Attributes:
        placement: ``merged`` runs all populations in a few Lava processes; ``layered`` gives each its own (slow).
        on_progress: called with (steps done, steps in all) while a graph runs.
        start_seconds, step_seconds: a worker that runs n steps must end within ``start_seconds + n * step_seconds``.
        silent_seconds: a worker that tells no progress for so long is taken to hang.
    """

    placement: Literal["merged", "layered"] = "merged"
    on_progress: Progress | None = None
    start_seconds: float = 300.0
    step_seconds: float = 2.0
    silent_seconds: float = 300.0

    def run(
        self, graph_path: Path, spikes: npt.NDArray[Any], record: Sequence[str] = ()
    ) -> tuple[npt.NDArray[np.float32], Arrays]:
        """Run every sample from reset.

        Args:
            graph_path: a NIR file with one Input and one Output and no cycle.
            spikes: (samples, steps, *input shape).
            record: names of Neuron and Delay nodes whose spikes are wanted.

        Returns:
            Outputs, float32 (samples, steps, *output shape), and by recorded node its spikes, uint8 (samples, steps,
            *shape), in the graph's own time steps.

        Raises:
            GraphError: the graph cannot run on Lava, or does not fit the input.
            MissingToolError: there is no Lava environment, or too few open files are allowed.
            BackendError: the worker failed twice.
        """
        if not Path(graph_path).is_file():
            raise GraphError(f"{graph_path}: no such file")
        if spikes.ndim < 2 or 0 in spikes.shape[:2]:
            raise GraphError(f"input has shape {spikes.shape}: give (samples, steps, ...), at least one of each")
        interpreter, record = find_interpreter(), tuple(dict.fromkeys(record))
        size = max(1, (RECORDED_CHUNK_STEPS if record else CHUNK_STEPS) // spikes.shape[1])
        results = []
        for first in range(0, len(spikes), size):
            run = _Run(self, interpreter, Path(graph_path), spikes[first : first + size], record)
            results.append(_twice(run, self._progress(first, len(run.spikes), spikes)))
        outputs, *recorded = (np.concatenate([result[key] for result in results]) for key in results[0])
        return outputs, dict(zip(record, recorded, strict=True))

    def _progress(self, first: int, samples: int, spikes: npt.NDArray[Any]) -> Progress:
        """Progress over all chunks from the steps of one, whose last steps are Lava's latency and do not count."""
        steps = spikes.shape[1]

        def tell(step: int, _: int) -> None:
            if self.on_progress is not None:
                self.on_progress(first * steps + min(step, samples * steps), len(spikes) * steps)

        return tell


def find_interpreter() -> Path:
    """The Python of Lava's environment: ``SPIKINGHASH_LAVA_PYTHON``, or ``.venv-lava`` in the project's folder.

    Raises:
        MissingToolError: it does not exist.
    """
    named = os.environ.get(INTERPRETER_VARIABLE)
    path = Path(named) if named else ROOT / ".venv-lava" / "bin" / "python"
    if not os.access(path, os.X_OK):
        raise MissingToolError(f"no Lava environment at {path}: run `make setup`, or set {INTERPRETER_VARIABLE}")
    return path


@dataclass(frozen=True)
class _Run:
    """One chunk of samples in one worker."""

    backend: LavaBackend
    interpreter: Path
    graph: Path
    spikes: npt.NDArray[Any]
    record: tuple[str, ...]

    def __call__(self, progress: Progress) -> Arrays:
        try:
            with tempfile.TemporaryDirectory(prefix="snh-lava-", ignore_cleanup_errors=True) as name:
                return self._run_in(Path(name), progress)
        except OSError as error:
            raise BackendError(f"Lava: the job could not be run: {error}") from error

    def _run_in(self, job: Path, progress: Progress) -> Arrays:
        prefix = f"snh{secrets.token_hex(2)}_"
        self._write(job, prefix)
        with self._worker(job, prefix) as worker:
            self._supervise(worker, job / "worker.log", progress)
        with np.load(job / "output.npz") as arrays:
            return {key: arrays[key] for key in ("outputs", *(f"spikes_{node}" for node in self.record))}

    def _write(self, job: Path, prefix: str) -> None:
        shutil.copyfile(self.graph, job / "graph.nir")
        np.savez(job / "input.npz", spikes=np.asarray(self.spikes, np.float32))
        settings = {"record": self.record, "placement": self.backend.placement, "shared_memory": prefix}
        (job / "job.json").write_text(json.dumps(settings))

    @contextmanager
    def _worker(self, job: Path, prefix: str) -> Iterator["subprocess.Popen[str]"]:
        """A worker in a process group of its own, of which nothing is left afterwards."""
        command = [str(self.interpreter), "-m", "deploy.lava.worker", str(job)]
        with (job / "worker.log").open("w") as log:
            worker = subprocess.Popen(
                command,
                cwd=job,
                env=_environment(job),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            yield worker
        finally:
            _end_group(worker)
            for segment in SHARED_MEMORY.glob(f"{prefix}*"):
                segment.unlink(missing_ok=True)

    def _supervise(self, worker: "subprocess.Popen[str]", log: Path, progress: Progress) -> None:
        """Follow the worker's lines until it is done.

        Raises:
            SpikinghashError: what the worker reported, or how it ended.
        """
        limit = self.backend.start_seconds + self.backend.step_seconds * self.spikes.shape[0] * self.spikes.shape[1]
        lines = _Lines(worker)
        while (line := lines.next(limit, self.backend.silent_seconds)) is not None:
            message = json.loads(line)
            if "error" in message:
                raise _ERRORS.get(message["kind"], BackendError)(f"Lava: {message['error']}")
            if "done" in message:
                return
            progress(message["step"], message["steps"])
        raise BackendError(f"Lava: the worker ended with exit code {worker.wait()}: {_last_line(log)}")


class _Lines:
    """The lines of a worker, read by a thread, since neither a dead nor a hanging worker closes its output."""

    def __init__(self, worker: "subprocess.Popen[str]") -> None:
        self._worker, self._begin = worker, time.monotonic()
        self._queue: queue.Queue[str] = queue.Queue()
        assert worker.stdout is not None
        threading.Thread(target=self._read, args=(worker.stdout,), daemon=True).start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            if line.endswith("\n"):  # a killed worker may leave half a line
                self._queue.put(line)

    def next(self, limit: float, silent: float) -> str | None:
        """The next line, or None when the worker has ended.

        Raises:
            BackendError: the worker took longer than ``limit`` seconds in all or ``silent`` seconds for this line.
        """
        asked = time.monotonic()
        while True:
            ended = self._worker.poll() is not None
            try:
                return self._queue.get(timeout=0.2)
            except queue.Empty:
                if ended:
                    return None
            now = time.monotonic()
            if now - asked > silent:
                raise BackendError(f"Lava: no progress for {silent:.0f} s: the simulation hangs")
            if now - self._begin > limit:
                raise BackendError(f"Lava: not done after {limit:.0f} s, the limit for this many steps")


def _twice(run: _Run, progress: Progress) -> Arrays:
    """The result of a chunk, which gets a second chance: a simulation of many processes may fail by accident."""
    try:
        return run(progress)
    except BackendError:
        return run(progress)


def _environment(job: Path) -> dict[str, str]:
    """One BLAS thread per process, since Lava's parallelism is its processes; temporary files in the job's folder."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": str(ROOT), "TMPDIR": str(job)}


def _end_group(worker: "subprocess.Popen[str]") -> None:
    """End all processes of the worker's group: SIGTERM first, so that Python's resource tracker can clean up."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, number)
        _wait_until_ended(worker, time.monotonic() + GRACE_SECONDS)
    worker.wait()
    if worker.stdout is not None:
        worker.stdout.close()


def _wait_until_ended(worker: "subprocess.Popen[str]", deadline: float) -> None:
    while _is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.02)


def _is_running(worker: "subprocess.Popen[str]") -> bool:
    """Whether any process of the worker's group still runs; orphans that wait to be reaped do not count."""
    worker.poll()  # reaps the leader, which would otherwise stay in the group
    return any(group == worker.pid and state != "Z" for state, group in map(_state_and_group, _stat_files()))


def _stat_files() -> Iterator[Path]:
    return Path("/proc").glob("[0-9]*/stat")


def _state_and_group(stat: Path) -> tuple[str, int]:
    """State and process group of a process, from proc(5); the command's name may itself hold brackets."""
    try:
        state, _, group, *_ = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return "Z", 0  # ended since it was listed
    return state, int(group)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it wrote nothing"
