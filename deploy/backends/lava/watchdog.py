"""Ends a Lava run that can no longer finish: Lava itself waits for ever for a process that died."""

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

INTERVAL = 0.2
"""Seconds between two looks at the processes."""


class Mailbox:
    """The parent's end of the pipe through which one of Lava's processes tells its exception.

    Lava asks whether something came and then reads it: of two threads that do so at once, as Lava and the watchdog, one
    would wait for ever for a message that the other has read. Here it is read once, and stays.
    """

    def __init__(self, connection: Any) -> None:
        self._connection, self._reading = connection, threading.Lock()
        self._messages: list[Any] = []

    def poll(self) -> bool:
        """Whether a message has come."""
        with self._reading:
            if not self._messages and not self._connection.closed and self._connection.poll():
                self._messages.append(self._connection.recv())
        return bool(self._messages)

    def recv(self) -> Any:
        """The message, after ``poll`` has said that there is one."""
        return self._messages[0]

    def close(self) -> None:
        """Close the pipe."""
        with self._reading:
            self._connection.close()


@dataclass(frozen=True)
class Actor:
    """A Lava process: its name, and the OS process (Lava's SystemProcess) that runs it."""

    name: str
    process: Any

    def failure(self) -> str | None:
        """Why the process ended, in one line, or None while it runs or when Lava itself has seen it end."""
        if self.process.exception:  # Lava passes on the exceptions of its processes through a pipe
            error, trace = self.process.exception
            traceback.print_exception(RuntimeError(trace))
            return f"{self.name}: {type(error).__name__}: {error}"
        try:
            alive, code = self.process.is_alive(), self.process.exitcode
        except ValueError:  # joined and closed
            return None
        return None if alive else f"{self.name}: the process ended with exit code {code}"


def first_failure(actors: Sequence[Actor]) -> str | None:
    """What went wrong in the first of the processes that failed."""
    return next(filter(None, (actor.failure() for actor in actors)), None)


class Watchdog:
    """Watches Lava's processes and the parent process; when one has ended, reports it and exits.

    The whole OS process exits, because the main thread is blocked inside Lava and cannot be interrupted.

    Args:
        parent: id of the process without which the work is pointless.
        on_failure: called with one line before the exit.
    """

    def __init__(self, parent: int, on_failure: Callable[[str], None]) -> None:
        self._actors: Sequence[Actor] = ()
        self._parent, self._on_failure = parent, on_failure
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextmanager
    def watching(self, actors: Sequence[Actor]) -> Iterator[None]:
        """Within the context, none of Lava's processes may end."""
        self._actors = actors
        yield  # after an error they stay watched: Lava may hang while it is left
        self._actors = ()

    def _watch(self) -> None:
        while (failure := self._orphaned() or first_failure(self._actors)) is None:
            time.sleep(INTERVAL)
        time.sleep(INTERVAL)  # one that ended may have ended because another failed, which is told a little later
        raised = next((actor.failure() for actor in self._actors if actor.process.exception), None)
        self._on_failure(raised or failure)
        end_processes()
        os._exit(1)

    def _orphaned(self) -> str | None:
        return None if os.getppid() == self._parent else "the supervising process is gone"


def end_processes() -> None:
    """Terminate every process that this one started; Python's resource tracker then removes their shared memory."""
    for process in multiprocessing.active_children():
        process.terminate()
