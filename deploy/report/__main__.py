"""``python -m deploy.report``: what a hash code costs on each platform, in energy and in time, and what an ANN costs.

Writes ``report.html`` (one self-contained page), ``report.json`` and ``report.csv`` (the same figures) and prints the
answer in five lines, then a row per family of platforms. Equal inputs give equal bytes. ``--compare A.json B.json``
shows what a change of network did.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deploy.report.build import build_report
from deploy.report.compare import compare_reports, comparison_tables
from deploy.report.hosts.machine import describe_machine
from deploy.report.hosts.measure import Plan
from deploy.report.hosts.results import Hosts, read_hosts
from deploy.report.inputs import read_inputs
from deploy.report.measured import fitted
from deploy.report.model import Report, read_report
from deploy.report.page import page
from deploy.report.tables import csv_text, everything, summary
from export.synaptic.counts import NetworkCounts
from hardware_profiles.loader import load_profiles
from spikinghash.cli import run, wide_console
from spikinghash.errors import ConfigError
from spikinghash.files import atomic_path
from spikinghash.seal import sealed_json
from training.window_options import Sensor, Sort, Stream, chosen_reader

MeasuredBefore = Annotated[
    Path | None,
    typer.Option(help="What deploy.hosts measured on this machine, for the profile of its processor."),
]
MeasuredNow = Annotated[
    bool, typer.Option("--measure", help="Measure it now: encoder and twins on one thread, half a minute.")
]
Compared = Annotated[
    tuple[Path, Path] | None,
    typer.Option(metavar="A.json B.json", help="Compare two report.json instead; writes OUT/comparison.json."),
]


def main(
    encoder: Annotated[Path | None, typer.Argument(help="Encoder (.nir, .onnx, .pt), or one's name.")] = None,
    recordings: Annotated[
        list[Path] | None,
        typer.Option(help="Recordings or pictures, or folders of them, to trace. Default, of what learned digits: 20."),
    ] = None,
    sensor: Sensor = None,
    stream: Stream = None,
    sort: Sort = False,
    profiles: Annotated[
        str, typer.Option("--profiles", "--platforms", help="all, or ids and paths by commas; two make a sentence.")
    ] = "all",
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("report"),
    form: Annotated[
        list[Path] | None,
        typer.Option(help="The encoder lowered otherwise (export.to_nir --streams shared): the cheaper one is billed."),
    ] = None,
    counts: Annotated[
        Path | None, typer.Option(help="Counts of an earlier run (counts.json) instead of tracing recordings.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Retrieval figures of trained networks. Default: docs/results.json and docs/sparsity.json."),
    ] = None,
    dataset: Annotated[
        str, typer.Option(help="Data set whose retrieval figures to show. Default: what the encoder was trained on.")
    ] = "",
    hosts: MeasuredBefore = None,
    measured: MeasuredNow = False,
    codes: Annotated[int, typer.Option(min=1, help="Stored codes of the search that is billed.")] = 1_000_000,
    full: Annotated[bool, typer.Option("--full", help="Print all bills and refusals.")] = False,
    compare: Compared = None,
) -> None:
    """Report energy and latency per hash code, with bands, on every platform."""
    if compare is not None:
        _compare(*compare, out)
        return
    loaded, found = load_profiles(profiles), _measured(encoder, recordings or [], hosts, measured)
    asked = chosen_reader(None, sensor, stream=stream, sort=sort)
    inputs = read_inputs(encoder, recordings or [], counts, results, dataset, form or [], asked)
    taken = fitted(*found, inputs.weights, inputs.networks, describe_machine()) if found else None
    report = build_report(replace(inputs, profiles=loaded, measurement=taken, codes=codes))
    write_report(report, inputs.counts, out)
    _show(everything(report) if full else summary(report))
    print(f"wrote {out / 'report.html'}, report.json, report.csv and counts.json")


def _measured(
    encoder: Path | None, recordings: Sequence[Path], hosts: Path | None, now: bool
) -> tuple[Hosts, str] | None:
    """What was measured, and how messages name it."""
    if hosts and now:
        raise ConfigError(f"--hosts {hosts} and --measure both given: give one")
    if hosts:
        return read_hosts(hosts), str(hosts)
    if not now:
        return None
    if encoder is None:
        raise ConfigError("--measure: nothing to measure: give an encoder (.onnx or .pt)")
    from deploy.report.hosts.contenders import measure_encoders  # loads the runtimes

    return measure_encoders([encoder], Plan(), recordings=recordings), "--measure"


def write_report(report: Report, counts: NetworkCounts, out: Path) -> None:
    """Write page, figures and counts into the folder ``out``, all files or none."""
    files = {
        "report.json": sealed_json(report.to_json()),
        "report.csv": csv_text(report),
        "report.html": page(report),
        "counts.json": sealed_json(counts.to_json()),
    }
    with ExitStack() as written:
        for name, text in files.items():
            written.enter_context(atomic_path(out / name)).write_text(text)


def _show(parts: Iterable[str | Table]) -> None:
    console = wide_console()
    for part in parts:
        console.print(part, markup=False)


def _compare(before: Path, after: Path, out: Path) -> None:
    comparison = compare_reports(read_report(before), read_report(after), (str(before), str(after)))
    with atomic_path(out / "comparison.json") as path:
        path.write_text(sealed_json(comparison.model_dump_json(indent=1)))
    _show([*comparison_tables(comparison), *comparison.notes, f"wrote {out / 'comparison.json'}"])


if __name__ == "__main__":
    run(main)
