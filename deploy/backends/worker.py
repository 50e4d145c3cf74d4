"""A worker in another Python, in a process group of its own: followed while it works, nothing left of it afterwards."""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from spikinghash.environments import home
from spikinghash.errors import BackendError, GraphError, MissingToolError, SpikinghashError

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("spikinghash", "training", "export", "deploy")
GRACE_SECONDS = 5.0
"""How long a process group may take to end after SIGTERM."""

_ERRORS: dict[str, type[SpikinghashError]] = {
    error.__name__: error for error in (BackendError, GraphError, MissingToolError)
}


def python_of(name: str, variable: str, folder: str, remedy: str) -> Path:
    """The Python of the environment that the variable names, or of ``folder`` where the project's environments are.

    Raises:
        MissingToolError: it does not exist; the command ``remedy`` makes it.
    """
    chosen = os.environ.get(variable)
    path = Path(chosen) if chosen else home() / folder / "bin" / "python"
    if not os.access(path, os.X_OK):
        raise MissingToolError(f"no {name} environment at {path}: run `{remedy}`, or set {variable}")
    return path.absolute()  # not resolved: the link is what makes it a virtual environment


def own_packages(folder: Path) -> str:
    """What to put on the PYTHONPATH of another Python, so that it imports this project and nothing that lies beside it.

    Where the project is installed, whatever else is installed for this Python lies there: links in ``folder`` leave it
    out.
    """
    place = folder / "packages"
    if not place.exists():
        place.mkdir()
        for package in _PACKAGES:
            (place / package).symlink_to(ROOT / package)
    return str(place)


def environment_of(folder: Path) -> dict[str, str]:
    """The environment variables of another Python that imports this project through ``own_packages(folder)``."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
    return own | {"PYTHONPATH": own_packages(folder)}


@contextmanager
def worker(name: str, command: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator["Worker"]:
    """Start ``command`` in ``folder``; end all processes of its group when the context is left.

    Messages begin with ``name``. Standard error goes to ``worker.log`` in the folder.
    """
    log = folder / "worker.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        yield Worker(name, process, log)
    finally:
        _end_group(process)


class Worker:
    """A running worker."""

    def __init__(self, name: str, process: "subprocess.Popen[str]", log: Path) -> None:
        self._name, self._process, self._log, self._begin = name, process, log, time.monotonic()
        self._lines: queue.Queue[str] = queue.Queue()

    def wait(self, limit: float) -> None:
        """Wait for a worker that tells no progress; what it prints is dropped.

        Raises:
            BackendError: it took more than ``limit`` seconds, or failed; the message is its last line.
        """
        try:
            self._process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise BackendError(f"{self._name}: no result after {limit:g} s; run fewer samples") from None
        code = self._process.returncode
        if code < 0:
            name = signal.Signals(-code).name
            raise BackendError(f"{self._name}: ended by signal {name}; run fewer samples if memory ran out")
        if code:
            reason = self._last_line() or f"{self._name}: ended with exit code {code} and no message"
            raise BackendError(reason.removeprefix("error: "))

    def follow(self, limit: float, silent: float, on_step: Callable[[int], None]) -> None:
        """Follow the lines of a worker, JSON objects, until it is done.

        Args:
            limit: seconds that it may take in all.
            silent: seconds that it may take from line to line.
            on_step: called with the steps done.

        Raises:
            SpikinghashError: what the worker reported, or how it ended.
        """
        # Read by a thread, since neither a dead nor a hanging worker closes its output.
        threading.Thread(target=self._read, daemon=True).start()
        while (line := self._next(limit, silent)) is not None:
            message = json.loads(line)
            if "error" in message:
                raise _ERRORS.get(message["kind"], BackendError)(f"{self._name}: {message['error']}")
            if "done" in message:
                return
            on_step(message["step"])
        how = f"exit code {self._process.wait()}: {self._last_line() or 'it wrote nothing'}"
        raise BackendError(f"{self._name}: the worker ended with {how}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):  # a killed worker may leave half a line
                self._lines.put(line)

    def _next(self, limit: float, silent: float) -> str | None:
        """The next line, or None when the worker has ended."""
        asked = time.monotonic()
        while True:
            ended = self._process.poll() is not None
            try:
                return self._lines.get(timeout=0.2)
            except queue.Empty:
                if ended:
                    return None
            now = time.monotonic()
            if now - asked > silent:
                raise BackendError(f"{self._name}: no progress for {silent:.0f} s: the simulation hangs")
            if now - self._begin > limit:
                raise BackendError(f"{self._name}: not done after {limit:.0f} s, the limit for this many steps")

    def _last_line(self) -> str:
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else ""


def _end_group(worker: "subprocess.Popen[str]") -> None:
    """End all processes of the worker's group: SIGTERM first, so that Python's resource tracker can clean up."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, number)
        deadline = time.monotonic() + GRACE_SECONDS
        while _is_running(worker) and time.monotonic() < deadline:
            time.sleep(0.02)
    worker.wait()
    if worker.stdout is not None:
        worker.stdout.close()


def _is_running(worker: "subprocess.Popen[str]") -> bool:
    """Whether any process of the worker's group still runs; orphans that wait to be reaped do not count."""
    worker.poll()  # reaps the leader, which would otherwise stay in the group
    stats = Path("/proc").glob("[0-9]*/stat")
    return any(group == worker.pid and state != "Z" for state, group in map(_state_and_group, stats))


def _state_and_group(stat: Path) -> tuple[str, int]:
    """State and process group of a process, from proc(5); the command's name may itself hold brackets."""
    try:
        state, _, group, *_ = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return "Z", 0  # ended since it was listed
    return state, int(group)
