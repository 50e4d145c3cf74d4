"""Measure encoders on this machine: ``python -m deploy.hosts ENCODER... --out hosts.json [--meter meter.csv]``.

Latency with batches of 1 and 64, warm; energy through RAPL or NVML where a counter can be read. With ``--earlier`` the
log of an external meter is added to runs that were measured before.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from deploy.backends.encoders import load_encoder
from deploy.report.hosts.machine import describe_machine
from deploy.report.hosts.measure import Plan, measure, measure_idle, open_counters
from deploy.report.hosts.meter import add_meter, read_meter
from deploy.report.hosts.results import Hosts, read_hosts
from spikinghash.cli import run, wide_console
from spikinghash.errors import ConfigError, SpikinghashError
from spikinghash.files import atomic_path
from spikinghash.progress import track
from spikinghash.resources import CHECKPOINTS, RECORDINGS, named
from spikinghash.seal import sealed_json
from training.data.recordings import load_recording

BATCHES = (1, 64)
LONGEST = 86_400
"""Seconds, and repetitions."""


def main(
    encoders: Annotated[
        list[Path] | None, typer.Argument(help="Encoders: .onnx, .pt or .nir.", metavar="ENCODER...")
    ] = None,
    out: Annotated[Path, typer.Option(help="File for the results.")] = Path("hosts.json"),
    meter: Annotated[
        Path | None, typer.Option(help="CSV log of a power meter (time_s, power_w) that ran all the while.")
    ] = None,
    earlier: Annotated[Path | None, typer.Option(help="Results of an earlier run, to add --meter to.")] = None,
    repetitions: Annotated[int, typer.Option(help="Timed calls at least.")] = 50,
    seconds: Annotated[float, typer.Option(help="Time that the timed calls fill at least.")] = 2.0,
    idle: Annotated[float, typer.Option(help="Seconds of idling before the runs, for the idle power.")] = 5.0,
) -> None:
    """Measure latency and energy of encoders on the machine at hand."""
    if bool(encoders) == bool(earlier):
        raise SpikinghashError("give either encoders to measure or --earlier hosts.json with --meter")
    if earlier is not None and meter is None:
        raise SpikinghashError(f"--earlier {earlier}: nothing to add: give --meter too")
    for name, value in (("repetitions", repetitions), ("seconds", seconds), ("idle", idle)):
        if not 0 < value <= LONGEST:
            raise ConfigError(f"--{name} {value:g}: use more than 0, at most {LONGEST:,}")
    with atomic_path(out) as path:  # a place that cannot be written is told before the measurement
        paths = [named(each, CHECKPOINTS, ".onnx") for each in encoders or []]
        hosts = read_hosts(earlier) if earlier else _measure(paths, Plan(repetitions, seconds), idle)
        if meter is not None:
            hosts = add_meter(hosts, read_meter(meter))
        path.write_text(sealed_json(hosts.to_json()))
    console = wide_console()
    console.print(_table(hosts))
    for reason in dict.fromkeys(each.energy.reason for each in hosts.runs if each.energy.reason):
        console.print(reason)
    console.print(f"wrote {out}")


def _measure(paths: list[Path], plan: Plan, idle_seconds: float) -> Hosts:
    frames = {path: _frames(path) for path in paths}
    counters, reasons = open_counters()
    idle = measure_idle(counters, idle_seconds)
    jobs = [(path, batch) for path in paths for batch in BATCHES]
    runs = tuple(
        measure(path, frames[path][:batch], plan, counters, reasons, idle)
        for path, batch in track(jobs, "measuring", len(jobs))
    )
    return Hosts(machine=describe_machine(), idle=idle.window, runs=runs)


def _frames(path: Path) -> NDArray[np.uint8]:
    """A batch of the digits that come along (B, T, 2, H, W), each several times, in the encoder's size."""
    encoder, files = load_encoder(path), sorted(RECORDINGS.glob("*/*.bin"))
    frames = np.stack([load_recording(file).frames(encoder.time_steps, encoder.size) for file in files])
    return frames[np.arange(max(BATCHES)) % len(files)]


def _table(hosts: Hosts) -> Table:
    machine = hosts.machine
    shared = ", virtual" if machine.virtual else ""
    table = Table(title=f"{machine.cpu}, {machine.cores} cores{shared}")
    for heading in ("encoder", "runtime", "device", "batch", "calls", "p50 ms", "p95 ms", "ms/code", "mJ/code", "by"):
        table.add_column(heading, justify="left" if heading in ("encoder", "runtime", "device", "by") else "right")
    for each in hosts.runs:
        joules = each.energy.joules_per_code
        table.add_row(
            *(each.encoder, each.runtime, each.device, str(each.batch), str(each.repetitions)),
            *(f"{1e3 * value:.3g}" for value in (each.seconds.p50, each.seconds.p95, each.per_code_s)),
            "unknown" if joules is None else f"{1e3 * joules:.3g}",
            each.energy.source or "",
        )
    return table


if __name__ == "__main__":
    run(main)
