"""Hash codes of a stream of events while it comes: ``python -m deploy.live SOURCE --encoder ENCODER --window MS``."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from deploy.live.coder import Coder, Nearest
from deploy.live.pump import Arrived, Pump
from deploy.live.source import Source
from spikinghash.cli import SKIPPED, run
from spikinghash.errors import SpikinghashError
from spikinghash.resources import CHECKPOINTS, named
from training.data.events import SensorSize
from training.data.recordings import NMNIST_SENSOR
from training.window_options import Hop, Sensor, Window, chosen_reader

SILENCE = 10.0
"""Seconds."""
PENDING = 4


@dataclass(frozen=True)
class Coded:
    """A window and what became of it."""

    start: float
    """Seconds."""
    end: float
    events: int
    code: str | None
    """Lower-case hex; ``None`` if its events are too few, or too close in time, to make frames of."""
    latency_ms: float
    """From the arrival of the event that ended the window to its code."""
    nearest: Nearest | None = None

    def __str__(self) -> str:
        near = "" if self.nearest is None else f"  {self.nearest}"
        return f"{self.code or '-':8}  {self.start:.3f}-{self.end:.3f} s  {self.latency_ms:.1f} ms{near}"

    def as_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self) | {"latency_ms": round(self.latency_ms, 3)})


def open_source(source: str, suffix: str | None, sensor: SensorSize | None) -> Source:
    """The source that ``source`` names.

    Raises:
        SpikinghashError: it cannot be used.
    """
    kind, _, place = source.partition("://")
    if source == "camera":
        from deploy.live.sources.camera import Camera

        return Camera()
    if place and kind in ("udp", "dv"):
        host, colon, port = place.rpartition(":")
        if not (host and colon and port.isdecimal() and int(port) < 1 << 16):
            raise SpikinghashError(f"{source}: {kind}://HOST:PORT is needed, as {kind}://127.0.0.1:3333")
        return _over_network(kind, host, int(port), sensor)
    from deploy.live.sources.byte_stream import STANDARD_INPUT, ByteStream

    if suffix is None and source == STANDARD_INPUT:
        raise SpikinghashError("standard input does not tell its format; give it: --format raw, dat or bin")
    ending = f".{suffix}" if suffix else Path(source).suffix.lower()
    return ByteStream(source, ending, sensor or (NMNIST_SENSOR if ending == ".bin" else None))  # as of files


def _over_network(kind: str, host: str, port: int, sensor: SensorSize | None) -> Source:
    if kind == "udp":
        from deploy.live.sources.udp import UdpSource

        return UdpSource(host, port, sensor)
    from deploy.live.sources.dv_network import DvNetwork

    return DvNetwork(host, port)


def coded(windows: Iterator[Arrived], coder: Coder) -> Iterator[Coded]:
    """Encode windows as they end."""
    for arrived in windows:
        found = coder.encode(arrived.window.events, arrived.sensor)
        latency = 1000 * (time.monotonic() - arrived.at)
        code, nearest = (None, None) if found is None else found
        window = arrived.window
        yield Coded(window.start / 1e6, window.end / 1e6, len(window.events), code, latency, nearest)


def told(pump: Pump, source: Source, seconds: float) -> list[str]:
    """What is to be said of a stream: first how many windows were dropped, if any were."""
    said = [
        (pump.dropped, "windows were dropped, since the encoder was slower than the stream: use a longer --hop"),
        (pump.outside, "events lie outside the sensor and were left out"),
        (pump.late, "events came when their window had ended"),
        (pump.left_out, "events of windows that hold too many were left out: use a shorter --window"),
        (pump.restarts, "times the clock was set back, and windows began anew"),
        *((count, f"{what} were left out") for what, count in source.lost.items()),
    ]
    lines = [f"{count:,} {what}" for count, what in said if count]
    return lines + [f"nothing came for {seconds:g} s: the stream has ended"] * pump.silent


def main(
    source: Annotated[
        str,
        typer.Argument(
            help="- or a file (.raw, .dat, .bin), udp://HOST:PORT, dv://HOST:PORT, camera.", metavar="SOURCE"
        ),
    ],
    encoder: Annotated[Path | None, typer.Option(help="Encoder: .onnx, .nir or .pt; default: that of --index.")] = None,
    index: Annotated[Path | None, typer.Option(help="Index: also print the nearest recording.")] = None,
    window: Window = None,
    hop: Hop = None,
    sensor: Sensor = None,
    suffix: Annotated[
        str | None, typer.Option("--format", help="Of standard input, or of a file: raw, dat or bin.")
    ] = None,
    silence: Annotated[
        float, typer.Option(min=0, help="Seconds without events that end the stream; 0: it never ends by itself.")
    ] = SILENCE,
    pending: Annotated[int, typer.Option(min=1, help="Windows that may wait before others are dropped.")] = PENDING,
    threads: Annotated[int, typer.Option(min=0, help="Of the encoder; 0: all cores.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON per window.")] = False,
) -> None:
    """Print a code, and the nearest recording, for each window of a stream, as soon as the window has ended."""
    coder = Coder(None if encoder is None else named(encoder, CHECKPOINTS, ".onnx"), index, threads)
    reader = chosen_reader(coder.data, sensor, window, hop)
    if reader.windows is None:
        raise SpikinghashError("no length of a window: the network was trained on whole recordings; give --window MS")
    if reader.windows.length < coder.time_steps:
        raise SpikinghashError(f"{reader.windows}: {coder.time_steps} time steps need as many microseconds")
    shown: Callable[[Coded], str] = Coded.as_json if as_json else str
    opened = open_source(source, suffix, reader.sensor)
    with opened, Pump(opened, reader.windows, pending=pending, silence=silence) as pump:
        try:
            for each in coded(iter(pump), coder):
                print(shown(each), flush=True)
        finally:
            for line in told(pump, opened, silence):
                print(line, file=sys.stderr)
    if pump.dropped:
        raise typer.Exit(SKIPPED)


if __name__ == "__main__":
    run(main)
