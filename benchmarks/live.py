"""``python -m benchmarks.live``: ``spikinghash stream`` fed over UDP on loopback, at a steady rate.

One process sends events with times as AEStream does, another runs the command. Printed are windows encoded and dropped,
latency, the largest memory, and whether each code is that of the same events encoded as a recording.
"""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from deploy.backends.encoders import Encoder, load_encoder
from spikinghash.cli import run
from spikinghash.errors import ComparisonError
from training.data.binning import events_to_frames
from training.data.events import EVENT_DTYPE, Events

WIDTH, HEIGHT = 346, 260
PER_DATAGRAM = 32
"""As AEStream 0.6.4 sends events with times."""
_BURST = 64
"""Datagrams between two looks at the clock."""


def events_of(seconds: int, rate: int) -> Events:
    """A bar that moves to and fro over noise: ``rate`` events a second, evenly spaced."""
    generator = np.random.default_rng(0)
    count = seconds * rate // PER_DATAGRAM * PER_DATAGRAM
    events = np.zeros(count, EVENT_DTYPE)
    events["t"] = np.arange(count) * 1_000_000 // rate
    bar = (np.abs((events["t"] // 1000) % 2000 - 1000) * (WIDTH - 9) // 1000).astype(np.int64)
    noise = generator.random(count) < 0.1
    x = np.where(noise, generator.integers(0, WIDTH, count), bar + generator.integers(0, 8, count))
    events["x"], events["y"], events["p"] = x, generator.integers(0, HEIGHT, count), generator.random(count) < 0.5
    return events


def packed(events: Events) -> bytes:
    """Words of AEStream."""
    words = np.empty((len(events), 2), "<u4")
    x, y, p = (events[name].astype(np.uint32) for name in "xyp")
    words[:, 0], words[:, 1] = x << 16 | p << 15 | y, events["t"]
    return words.tobytes()


def send(content: bytes, rate: int, port: int) -> None:
    """Send packed events at a pace of ``rate`` a second."""
    size = 8 * PER_DATAGRAM
    began = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        for number, start in enumerate(range(0, len(content), size)):
            if number % _BURST == 0:
                ahead = start / 8 / rate - (time.monotonic() - began)
                time.sleep(max(0.0, ahead))
            with contextlib.suppress(ConnectionRefusedError):  # told at the end by what the command says
                sender.send(content[start : start + size])


def expected(events: Events, rate: int, encoder: Encoder, start: int, window: int) -> str:
    """Code of the window of ``window`` microseconds that begins at ``start``."""
    first, after = start * rate // 1_000_000, (start + window) * rate // 1_000_000
    frames = events_to_frames(events[first:after], (WIDTH, HEIGHT, 2), encoder.time_steps, encoder.size)
    return encoder.encode(frames[None])[0].tobytes().hex()


def main(
    encoder: Annotated[Path, typer.Option(help="Encoder.")] = Path("checkpoints/digits.onnx"),
    rate: Annotated[int, typer.Option(min=1000, help="Events per second.")] = 1_000_000,
    seconds: Annotated[int, typer.Option(min=1, help="How long.")] = 60,
    window: Annotated[int, typer.Option(min=1, help="Milliseconds.")] = 100,
) -> None:
    """Measure a stream over loopback; exit code 1 if a code differs though all events of its window came."""
    events = events_of(seconds, rate)
    content = packed(events)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "deploy.live", f"udp://127.0.0.1:{port}", "--encoder", str(encoder), "--json"]
    command += ["--window", str(window), "--sensor", f"{WIDTH}x{HEIGHT}", "--silence", "5"]
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(command, stdout=output, stderr=-1, text=True) as process,
    ):
        while f":{port:04X} " not in Path("/proc/net/udp").read_text():
            time.sleep(0.1)
        send(content, rate, port)
        status = Path(f"/proc/{process.pid}/status").read_text()
        _, said = process.communicate()
        output.seek(0)
        rows = [json.loads(line) for line in output]
    peak = next(line.split(":")[1].strip() for line in status.splitlines() if line.startswith("VmHWM"))
    whole, loaded = window * rate // 1000, load_encoder(encoder)
    complete = [row for row in rows if row["events"] == whole]
    differ = [
        r for r in complete if r["code"] != expected(events, rate, loaded, round(1e6 * r["start"]), 1000 * window)
    ]
    latencies = np.array([row["latency_ms"] for row in rows])
    came = sum(row["events"] for row in rows)
    print(f"{len(events):,} events sent, {came:,} in {len(rows)} windows encoded; {len(complete)} windows complete")
    print(f"latency: median {np.median(latencies):.1f} ms, 99 % below {np.quantile(latencies, 0.99):.1f} ms")
    print(f"largest memory {peak}; {said.strip() or 'nothing dropped'}")
    if differ:
        raise ComparisonError(f"{len(differ)} of {len(complete)} codes differ from those of recordings")
    print(f"{len(complete)} codes are those of recordings, {len({row['code'] for row in complete})} distinct")


if __name__ == "__main__":
    run(main)
