"""Measure encoders on this machine: ``python -m deploy.hosts ENCODER... --out hosts.json [--meter meter.csv]``.

Each encoder in the runtime that users get by default and in ONNX Runtime, and the conventional networks of its report
in ONNX Runtime, take turns on one thread and on the same recordings. Energy is that of RAPL or NVML where a counter can
be read. With ``--earlier`` the log of an external meter is added to runs that were measured before.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deploy.report.hosts.contenders import IDLE, measure_encoders
from deploy.report.hosts.measure import Plan
from deploy.report.hosts.meter import add_meter, read_meter
from deploy.report.hosts.results import Hosts, Run, read_hosts
from spikinghash.cli import run, wide_console
from spikinghash.errors import ConfigError, SpikinghashError
from spikinghash.files import atomic_path
from spikinghash.seal import sealed_json

LONGEST = 86_400
"""Seconds."""
MOST_ROUNDS = 1000


def main(
    encoders: Annotated[list[Path] | None, typer.Argument(help="Encoders: .onnx or .pt.", metavar="ENCODER...")] = None,
    out: Annotated[Path, typer.Option(help="File for the results.")] = Path("hosts.json"),
    meter: Annotated[
        Path | None, typer.Option(help="CSV log of a power meter (time_s, power_w) that ran all the while.")
    ] = None,
    earlier: Annotated[Path | None, typer.Option(help="Results of an earlier run, to add --meter to.")] = None,
    recordings: Annotated[
        list[Path] | None, typer.Option(help="Recordings, or folders of them. Default: the digits that come along.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=MOST_ROUNDS, help="Turns of each network.")] = Plan.rounds,
    seconds: Annotated[float, typer.Option(help="That all turns of a network take at least.")] = Plan.seconds,
    idle: Annotated[float, typer.Option(help="Seconds of idling before the runs, for the idle power.")] = IDLE,
) -> None:
    """Measure time and energy of encoders and of their twins on the machine at hand."""
    if bool(encoders) == bool(earlier):
        raise SpikinghashError("give either encoders to measure or --earlier hosts.json with --meter")
    if earlier is not None and meter is None:
        raise SpikinghashError(f"--earlier {earlier}: nothing to add: give --meter too")
    for name, value in (("seconds", seconds), ("idle", idle)):
        if not 0 < value <= LONGEST:
            raise ConfigError(f"--{name} {value:g}: use more than 0, at most {LONGEST:,}")
    with atomic_path(out) as path:  # a place that cannot be written is told before the measurement
        plan = Plan(rounds, seconds)
        hosts = read_hosts(earlier) if earlier else measure_encoders(encoders or [], plan, idle, recordings or [])
        if meter is not None:
            hosts = add_meter(hosts, read_meter(meter))
        path.write_text(sealed_json(hosts.to_json()))
    console = wide_console()
    console.print(_table(hosts))
    for line in (*hosts.notes, *_of_energy(hosts.runs)):
        console.print(line)
    console.print(f"wrote {out}")


def _table(hosts: Hosts) -> Table:
    table = Table(title=f"{hosts.machine.text}; one thread, milliseconds of a code", title_justify="left")
    columns = ("encoder", "network", "runtime", "batch", "CPU least", "median", "clock", "p95", "mJ", "above idle")
    for heading in columns:
        table.add_column(heading, justify="left" if heading in columns[:3] else "right")
    for each in hosts.runs:
        times = (each.cpu.least, each.cpu.median, each.wall.median, each.wall.p95)
        joules = (each.energy.joules_per_code, each.energy.dynamic_joules_per_code)
        table.add_row(
            *(each.encoder, each.kind, each.text, str(each.batch)),
            *(f"{1e3 * value:.3g}" for value in times),
            *("unknown" if value is None else f"{1e3 * value:.3g}" for value in joules),
        )
    return table


def _of_energy(runs: Sequence[Run]) -> list[str]:
    """Where joules come from, or why there are none."""
    told = [each.energy.reason or f"joules of {each.energy.covers}, by {each.energy.source}" for each in runs]
    return list(dict.fromkeys(told))


if __name__ == "__main__":
    run(main)
