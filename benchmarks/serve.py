"""The search server under load: ``python -m benchmarks.serve --index IDX RECORDING...``.

Clients post recordings as fast as they are answered, on connections that they keep where the server does. With
``--against CHECKOUT`` the server of another checkout takes turns with this one's. Beside them stands what the encoder
alone does on as many threads as the server has, and the share of it that the server answers. CPU time tells what a
request costs on a machine that does other work besides.
"""

import asyncio
import os
import re
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
ALONE = 2000
"""Codes that the encoder makes alone, before each turn."""


@dataclass(frozen=True)
class Load:
    """What came of a number of requests."""

    seconds: float
    """From the first request to the last answer."""
    taken: list[float]
    """Seconds that each of them took."""
    statuses: list[int]
    """Of the answers; 0 where there was none."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.taken) / self.seconds

    def __str__(self) -> str:
        counts = ", ".join(f"{self.statuses.count(status)} x {status}" for status in sorted(set(self.statuses)))
        middle, late = np.percentile(self.taken, [50, 99])
        return f"{self.rate:7.1f}/s   p50 {middle:6.3f} s   p99 {late:6.3f} s   {counts}"


def post(recording: Path) -> bytes:
    """The request for a recording's neighbours, films included."""
    content = recording.read_bytes()
    head = [
        f"POST /query?films=true&name={recording.name} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + content


class Client:
    """Asks on one connection, and on another when the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """Status of the answer to ``request``, 0 if there is none."""
        try:
            self._open = reader, writer = self._open or await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = re.search(rb"\r\ncontent-length: *(\d+)", head)
            await (reader.readexactly(int(length[1])) if length else reader.read(-1))
            if not length or head.startswith(b"http/1.0") or b"\r\nconnection: close" in head:
                self.close()
            return int(head.split(maxsplit=2)[1])
        except (OSError, EOFError):
            self.close()
            return 0

    def close(self) -> None:
        """Close the connection."""
        if self._open:
            self._open[1].close()
        self._open = None


async def load(port: int, requests: Sequence[bytes], clients: int) -> Load:
    """Send ``requests`` from so many clients at once."""
    left = iter(requests)
    taken, statuses = [], []

    async def send() -> None:
        client = Client(port)
        for request in left:
            begin = time.perf_counter()
            statuses.append(await client.ask(request))
            taken.append(time.perf_counter() - begin)
        client.close()

    begin = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(clients)))
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


def encoder_alone(index: Path, recordings: Sequence[Path], times: int) -> tuple[float, float]:
    """Codes a second and CPU seconds of one, one at a time on each of as many threads as the server has."""
    facts = Manifest(index).facts
    encoder = load_encoder(encoder_path(index, facts), threads=1)
    frames = [load_recording(path, facts.sensor).frames(encoder.time_steps, encoder.size)[None] for path in recordings]
    with ThreadPoolExecutor(CONCURRENT_QUERIES) as pool:
        list(pool.map(encoder.encode, frames))
        begin, spent = time.perf_counter(), time.process_time()
        list(pool.map(encoder.encode, islice(cycle(frames), times)))
        return times / (time.perf_counter() - begin), (time.process_time() - spent) / times


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
            codes, seconds = encoder_alone(index, recordings[:20], ALONE)
            print(f"encoder alone   {codes:7.1f}/s   CPU {1e3 * seconds:5.2f} ms", flush=True)
            for name, (port, process) in servers.items():
                before = cpu_seconds(process)
                done = asyncio.run(load(port, sent if turn else sent[: 4 * clients], clients))
                spent = f"CPU {1e3 * (cpu_seconds(process) - before) / len(done.taken):5.1f} ms"
                held = f"{resident(process) / 2**20:.0f} MiB"
                share = f"{done.rate / codes:.1%} of the encoder alone"
                print(f"{name:6} {turn or 'warm-up':>7} {done}   {spent}   {held}   {share}", flush=True)


if __name__ == "__main__":
    run(main)
