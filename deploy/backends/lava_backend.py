"""The Lava simulator as a backend: a supervised worker in Lava's own environment, files in and files out."""

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deploy.backends.encoder import Executor
from deploy.backends.kept_results import kept_results
from deploy.backends.worker import own_packages, python_of, worker
from spikinghash.arrays import Arrays, Floats, read_archive
from spikinghash.errors import BackendError, GraphError, SpikinghashError, in_one_line
from spikinghash.files import private_folder

INTERPRETER_VARIABLE = "SPIKINGHASH_LAVA_PYTHON"
SHARED_MEMORY = Path("/dev/shm")

CHUNK_STEPS = 2048
"""Time steps that run back to back: bounds the worker's memory and what a failure costs."""
RECORDED_CHUNK_STEPS = 512
"""The same where spikes are recorded, a byte per neuron and step."""
RETURNED_BYTES = 2**20
"""Arrays from this size on go back to the system when they are let go of: glibc, left alone, keeps up to 32 MiB each
for reuse, which is 0.5 GiB of the weights of ``configs/dvs128.toml``."""
LOCAL_SAMPLES = 16
"""Up to so many samples run inside one process by default: it starts faster and needs no shared memory.

``benchmarks.lava`` on an encoder of 320,000 neurons: one recording takes 4.0 s of CPU time in one process and 4.8 s in
many, 48 take 13.4 s and 13.7 s, which only the many spread over the cores. On two cores they make up for their slower
start from about a dozen on.
"""

Progress = Callable[[int, int], None]
LavaNumbers = Literal["float", "fixed"]


@dataclass
class LavaBackend:
    """Runs NIR graphs on Lava's CPU simulator.

    Attributes:
        placement: ``merged`` runs all populations in a few Lava processes; ``layered`` gives each its own (slow).
        on_progress: called with (steps done, steps in all) while a graph runs.
        start_seconds, step_seconds: a worker that runs n steps must end within ``start_seconds + n * step_seconds``.
        silent_seconds: a worker that tells no progress for so long is taken to hang.
        numbers: ``float``, or ``fixed`` for Loihi's fixed point, bit-accurate.
        executor: ``processes`` is Lava's own runtime, an OS process per Lava process; ``local`` runs the same process
            models inside one. By default the number of samples decides. Both give the same values.
    """

    placement: Literal["merged", "layered"] = "merged"
    on_progress: Progress | None = None
    start_seconds: float = 300.0
    step_seconds: float = 2.0
    silent_seconds: float = 300.0
    numbers: LavaNumbers = "float"
    executor: Executor | None = None

    def run(self, graph_path: Path, spikes: NDArray[Any], record: Sequence[str] = ()) -> tuple[Floats, Arrays]:
        """As ``GraphRunner`` says; ``record`` names Neuron and Delay nodes, whose spikes are uint8.

        When a run fails or is interrupted after some chunks of samples, their outputs are kept in the user's cache
        folder, and the same call goes on from there.

        Raises:
            GraphError: the graph cannot run on Lava, or does not fit the input.
            MissingToolError: there is no Lava environment, too few open files are allowed or shared memory is short.
            BackendError: the worker failed twice.
        """
        path = Path(graph_path)
        if not path.is_file():
            raise GraphError(f"{path}: no such file")
        if spikes.ndim < 2 or 0 in spikes.shape[:2]:
            raise GraphError(f"input has shape {spikes.shape}: give (samples, steps, ...), at least one of each")
        run = _Run(self, find_interpreter(), path, np.asarray(spikes, np.float32), tuple(dict.fromkeys(record)))
        try:
            with private_folder() as job:
                return run.outputs(job)
        except OSError as error:
            raise BackendError(f"Lava: the job could not be run: {error}") from error


def find_interpreter() -> Path:
    """The Python of Lava's environment: ``SPIKINGHASH_LAVA_PYTHON``, or the one that was built.

    Raises:
        MissingToolError: it does not exist.
    """
    return python_of("Lava", INTERPRETER_VARIABLE, ".venv-lava", "spikinghash setup-lava")


@dataclass(frozen=True)
class _Run:
    """One call of the backend."""

    backend: LavaBackend
    interpreter: Path
    graph: Path
    spikes: Floats
    record: tuple[str, ...]

    @property
    def chunk(self) -> int:
        """Samples that run back to back."""
        return max(1, (RECORDED_CHUNK_STEPS if self.record else CHUNK_STEPS) // self.spikes.shape[1])

    def outputs(self, job: Path) -> tuple[Floats, Arrays]:
        """What ``LavaBackend.run`` returns, worked out in the empty folder ``job``."""
        with self._kept(job):
            try:
                self._work(job)
            except BackendError:  # a simulation of many processes may fail by accident
                self._work(job)
            results = [self._read(job / "outputs" / f"{first}.npz") for first in range(0, len(self.spikes), self.chunk)]
        outputs, *recorded = (np.concatenate([result[key] for result in results]) for key in results[0])
        return outputs, dict(zip(self.record, recorded, strict=True))

    def _read(self, path: Path) -> Arrays:
        try:
            arrays = read_archive(path)
            return {key: arrays[key] for key in ("outputs", *(f"spikes_{node}" for node in self.record))}
        except (KeyError, ValueError) as error:
            path.unlink()
            raise BackendError(
                f"Lava: a kept result was damaged ({in_one_line(error)}) and is removed: run the same again"
            ) from None

    @contextmanager
    def _kept(self, job: Path) -> Iterator[None]:
        """Begin with what an earlier run left, and leave what is done if this one ends early, however it ends."""
        outputs = job / "outputs"
        if self.chunk >= len(self.spikes):
            outputs.mkdir()
            yield
            return
        backend = self.backend
        settings = (self.record, self.chunk, backend.numbers, backend.placement)
        with kept_results(self.graph, self.spikes, settings) as folder:
            if folder is None:
                outputs.mkdir()
            else:
                outputs.symlink_to(folder)
            try:
                yield
            except SpikinghashError as error:
                done = self._done(outputs)
                if folder is None or not done:
                    raise
                raise type(error)(
                    f"{error}; {done} of {len(self.spikes)} samples are done and kept: run the same again to go on"
                ) from error

    def _done(self, outputs: Path) -> int:
        """Samples before the first that lacks its outputs."""
        first = 0
        while first < len(self.spikes) and (outputs / f"{first}.npz").exists():
            first += self.chunk
        return min(first, len(self.spikes))

    def _work(self, job: Path) -> None:
        """Run all samples that have no outputs yet."""
        first = self._done(job / "outputs")
        if first == len(self.spikes):
            return
        segments = f"snh{secrets.token_hex(2)}_"
        self._write(job, first, segments)
        command = [str(self.interpreter), "-m", "deploy.backends.lava.worker", str(job)]
        steps = (len(self.spikes) - first) * self.spikes.shape[1]
        limit = self.backend.start_seconds + self.backend.step_seconds * steps
        try:
            with worker("Lava", command, job, _environment(job)) as running:
                running.follow(limit, self.backend.silent_seconds, self._tell)
        finally:
            for segment in SHARED_MEMORY.glob(f"{segments}*"):
                segment.unlink(missing_ok=True)

    def _write(self, job: Path, first: int, segments: str) -> None:
        shutil.copyfile(self.graph, job / "graph.nir")
        np.save(job / "input.npy", self.spikes)
        settings = {
            "record": self.record,
            "placement": self.backend.placement,
            "numbers": self.backend.numbers,
            "executor": self.backend.executor or default_executor(len(self.spikes)),
            "first": first,
            "chunk": self.chunk,
            "shared_memory": segments,
        }
        (job / "job.json").write_text(json.dumps(settings))

    def _tell(self, step: int) -> None:
        if self.backend.on_progress is not None:
            self.backend.on_progress(step, len(self.spikes) * self.spikes.shape[1])


def default_executor(samples: int) -> Executor:
    """The faster executor for so many samples, see ``benchmarks.lava``."""
    return "local" if samples <= LOCAL_SAMPLES else "processes"


def _environment(job: Path) -> dict[str, str]:
    """One BLAS thread per process, since Lava's parallelism is its processes; temporary files in the job's folder."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    memory = {"MALLOC_MMAP_THRESHOLD_": str(RETURNED_BYTES)}
    return {**os.environ, **threads, **memory, "PYTHONPATH": own_packages(job), "TMPDIR": str(job)}
