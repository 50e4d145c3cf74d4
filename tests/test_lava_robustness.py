"""Lava runs that go wrong, each provoked for real: one line says why, nothing runs on, nothing is in /dev/shm."""

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from deploy.backends import lava_backend as backend_module
from deploy.backends.lava_backend import INTERPRETER_VARIABLE, LavaBackend, find_interpreter
from deploy.backends.worker import ROOT
from export.nir.interpreter import Interpreter
from export.nir.read import read_graph
from spikinghash.errors import BackendError, MissingToolError, SpikinghashError
from tests.lava_jobs import graph_of, lif

try:
    LAVA_PYTHON = find_interpreter()
except MissingToolError:
    pytest.skip("no Lava environment", allow_module_level=True)

Array = np.ndarray[Any, np.dtype[Any]]
SIZE = 2000
"""Neurons: channels of 16 kB and more."""


class Jobs:
    """Watches what runs in the job folders below one folder, and the shared memory that belongs to them."""

    def __init__(self, base: Path) -> None:
        self.base, self.prefixes = base, set[str]()

    def look(self) -> None:
        """Remember the jobs that run now."""
        for job in self.base.glob("*/job.json"):
            self.prefixes.add(json.loads(job.read_text())["shared_memory"])

    def processes(self) -> dict[int, int]:
        """The running processes of all jobs and their parents; their current directory is the job's folder."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if str(self.base) in os.readlink(entry / "cwd"):
                    state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                    found |= {} if state == "Z" else {int(entry.name): int(parent)}
            except OSError:
                continue
        return found

    def worker(self) -> int | None:
        """The worker of the running job, if it still runs."""
        return next((pid for pid, parent in self.processes().items() if parent == os.getpid()), None)

    def kill_simulation(self) -> None:
        """Kill a Lava process of the running job, or the worker where it has none."""
        self.look()
        leader = self.worker()
        children = [pid for pid, parent in self.processes().items() if parent == leader]
        with suppress(OSError):  # what was told before the last one died
            lava = [pid for pid in children if "resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_text()]
            for pid in [*lava, leader][:1]:
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)

    def segments(self) -> list[Path]:
        """Shared memory of the jobs seen so far."""
        return [path for prefix in self.prefixes for path in Path("/dev/shm").glob(f"{prefix}*")]

    def assert_nothing_left(self, patience: float = 0) -> None:
        deadline = time.monotonic() + patience
        while (self.processes() or self.segments()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert (self.processes(), self.segments()) == ({}, [])


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """``tmp_path`` must exist before the folder for temporary files is another."""
    with tempfile.TemporaryDirectory(prefix="t") as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Jobs(Path(name))


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "graph.nir"
    nir.write(path, graph_of({"n": lif(SIZE)}, "x>n n>y", (SIZE,), (SIZE,)))
    return path


def spikes(samples: int = 2, steps: int = 4) -> Array:
    return (np.random.default_rng(1).random((samples, steps, SIZE)) < 0.5).astype(np.float32)


def python_with(folder: Path, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the backend's Python a shell script that ends with ``start``."""
    script = folder / "python"
    script.write_text(f"#!/bin/sh\n{start}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv(INTERPRETER_VARIABLE, str(script))


def patched(folder: Path, patch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker run the Python statements ``patch`` before anything else."""
    start = "sys.argv = sys.argv[2:]; runpy.run_module('deploy.backends.lava.worker', None, '__main__')"
    code = f"import sys, os, runpy; {patch}; {start}"
    python_with(folder, f'exec "{LAVA_PYTHON}" -c "{code}" "$@"', monkeypatch)


def assert_one_line(error: SpikinghashError) -> None:
    assert "\n" not in str(error)
    assert "Traceback" not in str(error)


IN_MODEL = "from deploy.backends.lava.processes.recorder import PyRecorder as R"
EXECUTORS = pytest.mark.parametrize("executor", ["processes", "local"])


@EXECUTORS
@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ("R.run_spk = lambda self: 1 / 0", "recorder node_y: ZeroDivisionError: division by zero"),
        (
            "from deploy.backends.lava.processes.frame_source import PyFrameSource as R; import numpy; "
            "R.run_spk = lambda self: self.s_out.send(numpy.ones(3))",
            "input x: .*3",
        ),
    ],
    ids=["exception", "wrong shape"],
)
def test_a_model_that_fails(
    executor: Any, patch: str, message: str, jobs: Jobs, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patched(tmp_path, f"{IN_MODEL}; {patch}", monkeypatch)
    with pytest.raises(BackendError, match=message) as caught:
        LavaBackend(executor=executor).run(graph, spikes())
    assert_one_line(caught.value)
    jobs.assert_nothing_left()


@EXECUTORS
def test_a_killed_worker_or_process(executor: Any, jobs: Jobs, graph: Path) -> None:
    """Killed as soon as it tells progress, also at the second attempt."""
    backend = LavaBackend(executor=executor, on_progress=lambda *_: jobs.kill_simulation())
    with pytest.raises(BackendError, match="ended with exit code -9") as caught:
        backend.run(graph, spikes(samples=400))
    assert_one_line(caught.value)
    assert jobs.prefixes
    jobs.assert_nothing_left()


@EXECUTORS
def test_a_killed_worker_is_tried_once_more(executor: Any, jobs: Jobs, graph: Path) -> None:
    frames, killed = spikes(samples=400), list[int]()
    expected, _ = LavaBackend(executor=executor).run(graph, frames)

    def kill_first(*_: int) -> None:
        if not killed:
            jobs.look()
            killed.append(jobs.worker() or 0)
            assert killed[0], "the worker had ended before it could be killed"
            os.kill(killed[0], signal.SIGKILL)

    outputs, _ = LavaBackend(on_progress=kill_first, executor=executor).run(graph, frames)
    assert killed
    np.testing.assert_array_equal(outputs, expected)
    jobs.assert_nothing_left()


@EXECUTORS
def test_a_model_that_cannot_be_built(
    executor: Any, jobs: Jobs, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patched(tmp_path, f"{IN_MODEL}; R.__init__ = lambda self, _: 1 / 0", monkeypatch)
    with pytest.raises(BackendError, match="ZeroDivisionError: division by zero") as caught:
        LavaBackend(executor=executor).run(graph, spikes())
    assert_one_line(caught.value)
    jobs.assert_nothing_left()


@pytest.mark.parametrize(
    ("executor", "limits", "message"),
    [
        ("processes", {"silent_seconds": 2.0}, "no progress for 2 s"),
        ("local", {"silent_seconds": 2.0}, "no progress for 2 s"),
        ("local", {"start_seconds": 2.0, "step_seconds": 0.0}, "not done after 2 s"),
    ],
)
def test_a_simulation_that_hangs(
    executor: Any,
    limits: dict[str, Any],
    message: str,
    jobs: Jobs,
    graph: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patched(tmp_path, f"import time; {IN_MODEL}; R.run_spk = lambda self: time.sleep(1000)", monkeypatch)
    with pytest.raises(BackendError, match=message) as caught:
        LavaBackend(executor=executor, **limits).run(graph, spikes())
    assert_one_line(caught.value)
    jobs.assert_nothing_left()


def test_a_python_without_lava(jobs: Jobs, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's own Python, of another version and with numpy and nir, but without Lava."""
    monkeypatch.setenv(INTERPRETER_VARIABLE, sys.executable)
    message = r"cannot run it: .*lava.*Lava needs Python 3\.10: run `spikinghash setup-lava`"
    with pytest.raises(MissingToolError, match=message) as caught:
        LavaBackend().run(graph, spikes())
    assert_one_line(caught.value)
    jobs.assert_nothing_left()


def test_no_python_at_all(graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERPRETER_VARIABLE, str(tmp_path / "absent"))
    absent = r"no Lava environment at .*absent: run `spikinghash setup-lava`"
    with pytest.raises(MissingToolError, match=absent) as caught:
        LavaBackend().run(graph, spikes())
    assert_one_line(caught.value)


def test_too_few_descriptors_allowed(jobs: Jobs, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python_with(tmp_path, f'ulimit -n 60; exec "{LAVA_PYTHON}" "$@"', monkeypatch)
    with pytest.raises(MissingToolError, match=r"Lava needs \d+ open files, the limit is 60: raise it with") as caught:
        LavaBackend(executor="processes").run(graph, spikes())
    assert_one_line(caught.value)
    jobs.assert_nothing_left()
    LavaBackend(executor="local").run(graph, spikes())


def test_no_descriptors_left_in_the_supervisor(jobs: Jobs, graph: Path) -> None:
    limits, held = resource.getrlimit(resource.RLIMIT_NOFILE), []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits[0]), limits[1]))
        while True:
            try:
                held.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        os.close(held.pop())
        with pytest.raises(BackendError, match="Too many open files") as caught:
            LavaBackend().run(graph, spikes())
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert_one_line(caught.value)
    jobs.assert_nothing_left()


def can_mount() -> bool:
    """Whether this user may have a file system of its own for shared memory."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/dev/shm"]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not can_mount(), reason="no user namespaces")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("size=64k", r"Lava needs 1\d\d,\d\d\d bytes of shared memory, /dev/shm has 65,536 left: free some"),
        ("size=64m,nr_inodes=3", "No space left on device"),
    ],
    ids=["bytes", "files"],
)
def test_shared_memory_is_full(
    options: str, message: str, jobs: Jobs, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = f"mount -t tmpfs -o {options} tmpfs /dev/shm"
    python_with(tmp_path, f'exec unshare -rm sh -c \'{mount}; exec "$0" "$@"\' "{LAVA_PYTHON}" "$@"', monkeypatch)
    with pytest.raises(SpikinghashError, match=message) as caught:
        LavaBackend(executor="processes").run(graph, spikes())
    assert_one_line(caught.value)
    jobs.assert_nothing_left()
    LavaBackend(executor="local").run(graph, spikes())


def test_files_may_not_grow(jobs: Jobs, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared memory is a file, too: segments beyond the limit cannot be made, nor can the frames be written."""
    python_with(tmp_path, f'ulimit -f 8; exec "{LAVA_PYTHON}" "$@"', monkeypatch)
    with pytest.raises(
        BackendError, match=r"is the disk of temporary files full|File too large|ended with exit code"
    ) as caught:
        LavaBackend(executor="processes").run(graph, spikes())
    assert_one_line(caught.value)
    jobs.assert_nothing_left()


@EXECUTORS
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed supervisor"])
def test_an_ended_supervisor(executor: str, sent: int, jobs: Jobs, graph: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "spikes.npy", spikes(samples=400))
    code = (
        "import numpy, sys; from deploy.backends.lava_backend import LavaBackend; "
        "LavaBackend(on_progress=lambda *_: print(flush=True), executor=sys.argv[3])"
        ".run(sys.argv[1], numpy.load(sys.argv[2]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(jobs.base)}
    command = [sys.executable, "-c", code, str(graph), str(tmp_path / "spikes.npy"), executor]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        supervisor.stdout.readline()  # the simulation runs
        jobs.look()
        assert jobs.processes()
        supervisor.send_signal(sent)
        supervisor.communicate(timeout=30)
    assert jobs.prefixes
    jobs.assert_nothing_left(patience=15)


# --- finished chunks --------------------------------------------------------------------------------------------------

FAILS_AT_THIRD = (
    "from deploy.backends.lava import job; run = job._Run.chunk; "
    "job._Run.chunk = lambda self, spikes, first: 1 / 0 if first == 4 else run(self, spikes, first)"
)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    monkeypatch.setattr(backend_module, "CHUNK_STEPS", 8)
    return tmp_path / "cache" / "spikinghash" / "lava"


def test_finished_samples_are_kept_and_the_next_run_goes_on_from_them(
    kept: Path, jobs: Jobs, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = spikes(samples=7)
    expected, _ = Interpreter(read_graph(graph)).run(frames)
    patched(tmp_path, FAILS_AT_THIRD, monkeypatch)
    message = "ZeroDivisionError: division by zero; 4 of 7 samples are done and kept: run the same again to go on$"
    with pytest.raises(BackendError, match=message):
        LavaBackend().run(graph, frames)
    (folder,) = kept.glob("*")
    assert sorted(path.name for path in folder.iterdir()) == ["0.npz", "2.npz"]
    monkeypatch.delenv(INTERPRETER_VARIABLE)
    told: list[int] = []
    patched(tmp_path, FAILS_AT_THIRD, monkeypatch)
    with pytest.raises(BackendError, match="kept"):  # other frames, other results
        LavaBackend().run(graph, 1 - frames)
    monkeypatch.delenv(INTERPRETER_VARIABLE)
    resumed, _ = LavaBackend(on_progress=lambda done, _: told.append(done)).run(graph, frames)
    np.testing.assert_array_equal(resumed, expected)
    assert min(told) >= 4 * 4
    assert len(list(kept.glob("*"))) == 1
    jobs.assert_nothing_left()
