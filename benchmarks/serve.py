"""The search server under load: ``python -m benchmarks.serve --index IDX RECORDING...``.

Clients post recordings as fast as they are answered. With ``--against CHECKOUT`` the server of another checkout takes
turns with this one's. Beside them stands what the encoder alone does on as many threads as the server has. CPU
time tells what a request costs on a machine that does other work besides.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import numpy as np
import typer

from benchmarks.pipeline import cpu_seconds, resident
from deploy.backends.encoders import load_encoder
from deploy.search.manifest import Manifest
from deploy.search.serve import CONCURRENT_QUERIES
from deploy.search.store import encoder_path
from spikinghash.cli import run
from training.data.recordings import load_recording

ROOT = Path(__file__).resolve().parents[1]
JUNK = (
    b"no request\r\n\r\n",
    b"POST /query?name=a.bin HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n",
    b"POST /query?name=a.exe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n12345",
    b"POST /query?name=a.bin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n1234567",
    b"POST /query?name=a.bin HTTP/1.1\r\nHost: elsewhere.example\r\nContent-Length: 0\r\n\r\n",
)
"""Requests that are to be refused: malformed, of another suffix, no recording, of another site."""


@dataclass(frozen=True)
class Load:
    """What came of a number of requests."""

    seconds: float
    """From the first request to the last answer."""
    taken: list[float]
    """Seconds that each of them took."""
    statuses: list[int]
    """Of the answers; 0 where there was none."""

    def __str__(self) -> str:
        counts = ", ".join(f"{self.statuses.count(status)} x {status}" for status in sorted(set(self.statuses)))
        middle, late = np.percentile(self.taken, [50, 99])
        return f"{len(self.taken) / self.seconds:7.1f}/s   p50 {middle:6.3f} s   p99 {late:6.3f} s   {counts}"


def post(recording: Path) -> bytes:
    """The request for a recording's neighbours, films included."""
    content = recording.read_bytes()
    head = [
        f"POST /query?films=true&name={recording.name} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + content


async def ask(port: int, request: bytes) -> int:
    """Status of the answer to ``request``, 0 if there is none."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        writer.write(request)
        answer = await reader.read(-1)
        writer.close()
        return int(answer.split(maxsplit=2)[1]) if answer else 0
    except OSError:
        return 0


async def load(port: int, requests: Sequence[bytes], clients: int) -> Load:
    """Send ``requests`` from so many clients at once."""
    left = iter(requests)
    taken, statuses = [], []

    async def client() -> None:
        for request in left:
            begin = time.perf_counter()
            statuses.append(await ask(port, request))
            taken.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return Load(time.perf_counter() - begin, taken, statuses)


@contextmanager
def serving(checkout: Path, index: Path) -> Iterator[tuple[int, int]]:
    """Port and process id of the server of ``checkout``."""
    command = [sys.executable, "-m", "deploy.search", "serve", "--index", str(index.resolve()), "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    with subprocess.Popen(command, cwd=checkout, env=environment, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = urlsplit(process.stdout.readline().split()[-1]).port
        assert port is not None
        try:
            yield port, process.pid
        finally:
            process.terminate()


def encoder_alone(index: Path, recordings: Sequence[Path], times: int) -> str:
    """Recordings a second and CPU time of the encoder, one at a time on each of as many threads as the server has."""
    facts = Manifest(index).facts
    encoder = load_encoder(encoder_path(index, facts), threads=1)
    frames = [load_recording(path, facts.sensor).frames(encoder.time_steps, encoder.size)[None] for path in recordings]
    with ThreadPoolExecutor(CONCURRENT_QUERIES) as pool:
        list(pool.map(encoder.encode, frames))
        begin, spent = time.perf_counter(), time.process_time()
        list(pool.map(encoder.encode, islice(cycle(frames), times)))
        rate = times / (time.perf_counter() - begin)
        return f"{rate:7.1f}/s   CPU {1e3 * (time.process_time() - spent) / times:5.1f} ms"


def main(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings to send.", metavar="RECORDING...")],
    index: Annotated[Path, typer.Option("--index", help="Folder of the index.")],
    against: Annotated[Path | None, typer.Option(help="Another checkout, whose server takes turns.")] = None,
    clients: Annotated[int, typer.Option(min=1, help="Clients at once.")] = 32,
    requests: Annotated[int, typer.Option(min=1, help="Requests of a turn.")] = 500,
    junk: Annotated[float, typer.Option(min=0, max=1, help="Share of requests that are to be refused.")] = 0.0,
    turns: Annotated[int, typer.Option(min=1, help="Turns of each server.")] = 3,
) -> None:
    """Load the search server and print what it answers, how fast, and the memory that it holds."""
    good = list(islice(cycle([post(path) for path in recordings]), requests))
    chance = np.random.default_rng(0)
    sent = [JUNK[chance.integers(len(JUNK))] if chance.random() < junk else request for request in good]
    checkouts = {"this": ROOT} | ({"other": against.resolve()} if against else {})
    with ExitStack() as stack:
        servers = {name: stack.enter_context(serving(place, index)) for name, place in checkouts.items()}
        for turn in range(turns + 1):
            for name, (port, process) in servers.items():
                before = cpu_seconds(process)
                done = asyncio.run(load(port, sent if turn else sent[: 4 * clients], clients))
                spent = f"CPU {1e3 * (cpu_seconds(process) - before) / len(done.taken):5.1f} ms"
                held = f"{resident(process) / 2**20:.0f} MiB"
                print(f"{name:6} {turn or 'warm-up':>7} {done}   {spent}   {held}", flush=True)
            print(f"encoder alone   {encoder_alone(index, recordings[:20], 100)}", flush=True)


if __name__ == "__main__":
    run(main)
