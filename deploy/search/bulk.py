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
from training.data.recordings import SensorSize, recording_frames

CHUNK = 64
"""Recordings that are encoded as one batch and committed at once."""
_AHEAD = 4
_PATIENCE = 5.0  # seconds until a worker that was told to end is killed


@dataclass(frozen=True)
class Outcome:
    """What became of a recording: a code and a thumbnail, or an error."""

    path: Path
    error: str = ""
    """One line; empty if there is none."""
    code: bytes = b""
    """Packed, K/8 bytes; empty if there is an error, or no code was asked for."""
    thumbnail: bytes = b""
    """As ``deploy.search.thumbnails`` makes it; empty if there is an error."""


class ChunkEncoder:
    """All stages for one chunk of files."""

    def __init__(
        self, encoder: Path, sensor: SensorSize | None = None, threads: int = 1, thumbnails_only: bool = False
    ) -> None:
        """Load ``encoder`` for ``threads`` threads; ``sensor`` is as for ``load_recording``."""
        self._encoder, self._sensor = load_hasher(encoder, threads=threads), sensor
        self._thumbnails_only = thumbnails_only

    def __call__(self, paths: Sequence[Path]) -> list[Outcome]:
        """Codes and thumbnails, or errors, of ``paths``, in their order."""
        frames, errors = [], {}
        for path in paths:
            try:
                frames.append(recording_frames(path, self._encoder.time_steps, self._encoder.size, self._sensor))
            except SpikinghashError as error:
                errors[path] = str(error)
            except Exception as error:  # one file in 10^6 that breaks a reader must not end the run
                errors[path] = f"{path}: cannot be read: {type(error).__name__}: {' '.join(str(error).split())}"
        made = iter(self._made(np.stack(frames)) if frames else [])
        return [Outcome(path, errors[path]) if path in errors else Outcome(path, "", *next(made)) for path in paths]

    def _made(self, frames: Frames) -> list[tuple[bytes, bytes]]:
        """Codes and thumbnails."""
        thumbnails = [one.tobytes() for one in make_thumbnails(frames)]
        codes = (
            [b""] * len(frames) if self._thumbnails_only else [one.tobytes() for one in self._encoder.encode(frames)]
        )
        return list(zip(codes, thumbnails, strict=True))


def encode_files(
    paths: Sequence[Path],
    encoder: Path,
    workers: int,
    sensor: SensorSize | None = None,
    chunk: int = CHUNK,
    thumbnails_only: bool = False,
) -> Iterator[list[Outcome]]:
    """Encode ``paths`` and yield the outcomes chunk by chunk, in order.

    Args:
        workers: worker processes, of one thread each; with 1, or one chunk only, the work is done in this process, on
            as many threads.
        sensor: of recordings that do not tell theirs.
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
        stage = ChunkEncoder(encoder, sensor, workers, thumbnails_only)
        yield from map(stage, chunks)
        return
    with _started(min(workers, len(chunks)), encoder, sensor, thumbnails_only) as connections:
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
    workers: int, encoder: Path, sensor: SensorSize | None, thumbnails_only: bool = False
) -> Iterator[list[Connection]]:
    """Worker processes, one connection to each; they end when it does, so also if this process is killed."""
    context = multiprocessing.get_context("spawn")  # a fork would inherit the locks of running threads
    connections, processes = [], []
    try:
        for _ in range(workers):
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(there, encoder, sensor, thumbnails_only), daemon=True)
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


def _work(connection: Connection, encoder: Path, sensor: SensorSize | None, thumbnails_only: bool = False) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends its workers
    try:
        stage = ChunkEncoder(encoder, sensor, thumbnails_only=thumbnails_only)
        while True:
            connection.send(stage(connection.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is done, or gone
    except SpikinghashError as error:
        connection.send(error)
