"""Hash codes of a stream of events while it comes: ``python -m deploy.live SOURCE --encoder ENCODER --window MS``."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from deploy.live.coded import Coded, coded, live_windows, told
from deploy.live.coder import load_coder
from deploy.live.opening import SOURCE_HELP, Format, open_source
from deploy.live.pump import PENDING, Pump
from spikinghash.cli import SKIPPED, run
from spikinghash.resources import CHECKPOINTS, named
from training.data.events import parse_sensor
from training.window_options import Hop, Sensor, Window

SILENCE = 10.0
"""Seconds."""


def main(
    source: Annotated[str, typer.Argument(help=SOURCE_HELP, metavar="SOURCE")],
    encoder: Annotated[Path | None, typer.Option(help="Encoder: .onnx, .nir or .pt; default: that of --index.")] = None,
    index: Annotated[Path | None, typer.Option(help="Index: also print the nearest recording.")] = None,
    window: Window = None,
    hop: Hop = None,
    sensor: Sensor = None,
    suffix: Format = None,
    silence: Annotated[
        float, typer.Option(min=0, help="Seconds without events that end the stream; 0: it never ends by itself.")
    ] = SILENCE,
    pending: Annotated[int, typer.Option(min=1, help="Windows that may wait before others are dropped.")] = PENDING,
    threads: Annotated[int, typer.Option(min=0, help="Of the encoder; 0: all cores.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON per window.")] = False,
) -> None:
    """Print a code, and the nearest recording, for each window of a stream, as soon as the window has ended."""
    coder = load_coder(None if encoder is None else named(encoder, CHECKPOINTS, ".onnx"), index, threads)
    windows = live_windows(coder, window, hop)
    shown: Callable[[Coded], str] = Coded.as_json if as_json else str
    opened = open_source(source, suffix, coder.reader.sensor if sensor is None else parse_sensor(sensor))
    with opened, Pump(opened, windows, pending=pending, silence=silence) as pump:
        try:
            for each in coded(iter(pump), coder):
                print(shown(each), flush=True)
        finally:
            for line in told(pump, opened):
                print(line, file=sys.stderr)
    if pump.dropped:
        raise typer.Exit(SKIPPED)


if __name__ == "__main__":
    run(main)
