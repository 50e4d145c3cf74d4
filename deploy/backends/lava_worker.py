"""A process group of its own for Lava's worker: followed while it works, and nothing left of it afterwards."""

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
from typing import IO

from spikinghash.errors import BackendError, GraphError, MissingToolError, SpikinghashError

SHARED_MEMORY = Path("/dev/shm")
GRACE_SECONDS = 5.0
"""How long a process group may take to end after SIGTERM."""

_ERRORS: dict[str, type[SpikinghashError]] = {
    error.__name__: error for error in (BackendError, GraphError, MissingToolError)
}


@contextmanager
def worker(command: list[str], folder: Path, environment: Mapping[str, str], segments: str) -> Iterator["Worker"]:
    """Start ``command`` in ``folder``; end all processes of its group when the context is left.

    Args:
        command: the program and its arguments.
        folder: its current directory; standard error goes to ``worker.log`` there.
        environment: its environment variables.
        segments: prefix of the names of its shared memory, which is removed at the end.
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
        yield Worker(process, log)
    finally:
        _end_group(process)
        for segment in SHARED_MEMORY.glob(f"{segments}*"):
            segment.unlink(missing_ok=True)


class Worker:
    """A running worker."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process, self._log = process, log

    def follow(self, limit: float, silent: float, on_step: Callable[[int], None]) -> None:
        """Follow the worker's lines until it is done.

        Args:
            limit: seconds that it may take in all.
            silent: seconds that it may take from line to line.
            on_step: called with the steps done.

        Raises:
            SpikinghashError: what the worker reported, or how it ended.
        """
        lines = _Lines(self._process)
        while (line := lines.next(limit, silent)) is not None:
            message = json.loads(line)
            if "error" in message:
                raise _ERRORS.get(message["kind"], BackendError)(f"Lava: {message['error']}")
            if "done" in message:
                return
            on_step(message["step"])
        raise BackendError(f"Lava: the worker ended with exit code {self._process.wait()}: {_last_line(self._log)}")


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
