"""Event files to codes and thumbnails, in bulk: read, bin, batch, encode.

The stages run one after the other in a worker, and there is a worker per core: a process with an encoder of its own on
one thread, since ONNX Runtime on more threads spends more CPU time on the same codes (docs/scale.md). Workers get lists
of paths and send back codes; at most ``_AHEAD`` chunks per worker are under way or wait for their turn, so that memory
does not grow with the number of files.
"""

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import cast

import numpy as np

from deploy.backends.encoders import Frames, load_hasher
from deploy.search.thumbnails import make_thumbnails
from spikinghash.errors import BackendError, SpikinghashError
from training.data.facts import unlike
from training.data.reader import Reader, binned

CHUNK = 64
"""Recordings that are encoded as one batch and committed at once."""
_AHEAD = 4
_PATIENCE = 5.0  # seconds until a worker that was told to end is killed


@dataclass(frozen=True)
class Outcome:
    """What became of a recording, or of a window of one: a code and a thumbnail, or an error."""

    path: Path
    error: str = ""
    """One line; empty if there is none."""
    code: bytes = b""
    """Packed, K/8 bytes; empty if there is an error, or no code was asked for."""
    thumbnail: bytes = b""
    """As ``deploy.search.thumbnails`` makes it; empty if there is an error."""
    start: int = 0
    """Of the window, in microseconds since the file's first event."""
    end: int = 0
    """0: the outcome is of all of the file."""
    remarks: tuple[str, ...] = ()
    """Why the code may mean nothing; said with the first window of a file."""

    @property
    def window(self) -> tuple[int, int]:
        """Start and end."""
        return self.start, self.end


class ChunkEncoder:
    """All stages for one chunk of files."""

    def __init__(
        self, encoder: Path, reader: Reader | None = None, threads: int = 1, thumbnails_only: bool = False
    ) -> None:
        """Load ``encoder`` for ``threads`` threads; files are read with ``reader``, by default as for its training."""
        self._encoder = load_hasher(encoder, threads=threads)
        self._reader = reader or Reader.of(self._encoder.data)
        self._thumbnails_only = thumbnails_only

    def __call__(self, paths: Sequence[Path]) -> list[Outcome]:
        """Codes and thumbnails, or errors, of ``paths``, in their order; of a file that is cut, of all its windows."""
        found = [self._read(path) for path in paths]
        frames = [each.frames for each in found if isinstance(each, _Rows)]
        made = iter(self._made(np.concatenate(frames)) if frames else [])
        outcomes = []
        for path, rows in zip(paths, found, strict=True):
            if isinstance(rows, str):
                outcomes.append(Outcome(path, rows))
                continue
            for number, window in enumerate(rows.windows):
                outcomes.append(Outcome(path, "", *next(made), *window, () if number else rows.remarks))
        return outcomes

    def _read(self, path: Path) -> "_Rows | str":
        """The windows of a file, or why it cannot be used."""
        try:
            parts, frames = binned(self._reader.read(path), self._encoder.time_steps, self._encoder.size)
            windows = [part.window or (0, 0) for part in parts]
            return _Rows(frames, windows, tuple(unlike(self._encoder.data, parts, frames)))
        except SpikinghashError as error:
            return str(error)
        except Exception as error:  # one file in 10^6 that breaks a reader must not end the run
            return f"{path}: cannot be read: {type(error).__name__}: {' '.join(str(error).split())}"

    def _made(self, frames: Frames) -> list[tuple[bytes, bytes]]:
        """Codes and thumbnails."""
        made = []
        for batch in np.split(frames, range(CHUNK, len(frames), CHUNK)):
            thumbnails = [one.tobytes() for one in make_thumbnails(batch)]
            codes = [b""] * len(batch) if self._thumbnails_only else map(bytes, self._encoder.encode(batch))
            made += list(zip(codes, thumbnails, strict=True))
        return made


@dataclass(frozen=True)
class _Rows:
    """The windows of a file, without their events."""

    frames: Frames
    windows: list[tuple[int, int]]
    remarks: tuple[str, ...]


def encode_files(
    paths: Sequence[Path],
    encoder: Path,
    workers: int,
    reader: Reader | None = None,
    chunk: int = CHUNK,
    thumbnails_only: bool = False,
) -> Iterator[list[Outcome]]:
    """Encode ``paths`` and yield the outcomes chunk by chunk, in order.

    Args:
        workers: worker processes, of one thread each; with 1, or one chunk only, the work is done in this process, on
            as many threads.
        reader: how files are read and cut; by default as for the encoder's training.
        chunk: recordings per chunk.
        thumbnails_only: make no codes; the encoder tells the size of the frames.

    Raises:
        SpikinghashError: the encoder cannot be used.
        BackendError: a worker died.
    """
    chunks = [paths[start : start + chunk] for start in range(0, len(paths), chunk)]
    if not chunks:
        return
    if min(workers, len(chunks)) == 1:
        stage = ChunkEncoder(encoder, reader, workers, thumbnails_only)
        yield from map(stage, chunks)
        return
    with _started(min(workers, len(chunks)), encoder, reader, thumbnails_only) as connections:
        yield from _in_order(connections, chunks)


def _in_order(connections: list[Connection], chunks: list[Sequence[Path]]) -> Iterator[list[Outcome]]:
    """Hand ``chunks`` to whoever is idle, and yield the answers in the order of ``chunks``."""
    idle, busy = list(connections), {}
    done: dict[int, list[Outcome]] = {}
    issued = turn = 0
    while turn < len(chunks):
        while idle and issued < min(len(chunks), turn + _AHEAD * len(connections)):
            connection = idle.pop()
            with suppress(BrokenPipeError):  # the worker has died: what it answers tells why
                connection.send(chunks[issued])
            busy[connection] = issued
            issued += 1
        for ready in wait(list(busy)):
            connection = cast(Connection, ready)
            number = busy.pop(connection)
            done[number] = _answer(connection, chunks[number])
            idle.append(connection)
        while turn in done:
            yield done.pop(turn)
            turn += 1


def _answer(connection: Connection, chunk: Sequence[Path]) -> list[Outcome]:
    try:
        answer = connection.recv()
    except (EOFError, OSError):
        raise BackendError(
            f"a worker process died while it encoded {chunk[0]} to {chunk[-1]}: out of memory? Use fewer --workers; "
            "what is encoded is kept"
        ) from None
    if isinstance(answer, SpikinghashError):
        raise answer
    return answer


@contextmanager
def _started(
    workers: int, encoder: Path, reader: Reader | None, thumbnails_only: bool = False
) -> Iterator[list[Connection]]:
    """Worker processes, one connection to each; they end when it does, so also if this process is killed."""
    context = multiprocessing.get_context("spawn")  # a fork would inherit the locks of running threads
    connections, processes = [], []
    try:
        for _ in range(workers):
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(there, encoder, reader, thumbnails_only), daemon=True)
            process.start()
            there.close()
            connections.append(here)
            processes.append(process)
        yield connections
    finally:
        for connection in connections:
            connection.close()
        for process in processes:
            process.terminate()  # a worker holds nothing that it could leave half done
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()


def _work(connection: Connection, encoder: Path, reader: Reader | None, thumbnails_only: bool = False) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends its workers
    try:
        stage = ChunkEncoder(encoder, reader, thumbnails_only=thumbnails_only)
        while True:
            connection.send(stage(connection.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is done, or gone
    except SpikinghashError as error:
        connection.send(error)
