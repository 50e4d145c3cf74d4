"""``python -m deploy.report``: what a hash code costs on each platform, in energy and in time, and what an ANN costs.

Writes ``report.html`` (one self-contained page), ``report.json`` and ``report.csv`` (the same figures) and prints a
table. Equal inputs give equal bytes. ``--compare A.json B.json`` shows what a change of network did.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.report.compare import compare_reports, comparison_tables, read_report
from deploy.report.data import Inputs, report_data
from deploy.report.inputs import read_counts, read_measured, read_selection, read_sizes
from deploy.report.networks import baselines
from deploy.report.page import page
from deploy.report.tables import csv_text, remarks, terminal_table
from export.synaptic.counts import NetworkCounts
from export.synaptic.populations import read_network
from hardware_profiles.loader import load_profiles
from spikinghash.cli import run, wide_console
from spikinghash.files import atomic_path


def main(
    encoder: Annotated[Path | None, typer.Argument(help="Encoder as NIR file, as export.to_nir writes it.")] = None,
    recordings: Annotated[
        list[Path] | None,
        typer.Option(help="Recording, or folder of recordings, to trace; may be repeated. Default: 20 of the digits."),
    ] = None,
    profiles: Annotated[str, typer.Option(help="all, or ids and paths of profiles, separated by commas.")] = "all",
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("report"),
    counts: Annotated[
        Path | None, typer.Option(help="Counts of an earlier run (counts.json) instead of tracing recordings.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Retrieval figures of trained networks. Default: docs/results.json, if there.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="Data set whose retrieval figures to show.")] = "digits",
    hosts: Annotated[
        Path | None, typer.Option(help="Latencies measured on computers, as deploy.hosts writes them (hosts.json).")
    ] = None,
    codes: Annotated[int, typer.Option(min=1, help="Stored codes of the search that is billed.")] = 1_000_000,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="A.json B.json", help="Compare two report.json instead; writes OUT/comparison.json."),
    ] = None,
) -> None:
    """Report energy and latency per hash code, with bands, on every platform."""
    if compare is not None:
        _compare(*compare, out)
        return
    loaded = load_profiles(profiles)
    sizes = read_sizes(encoder)
    selection, source = read_selection(results, dataset, sizes)
    measured = read_measured(hosts) if hosts else None
    networks = tuple(baselines(sizes.sizes, selection, source)) if sizes.sizes else ()
    traced = read_counts(encoder, recordings or [], counts)
    notes = [sizes.note] if sizes.note else []
    synapses = read_network(encoder) if encoder else None
    inputs = Inputs(traced, loaded, networks, selection, dataset, synapses, sizes.bits, codes, measured, notes)
    data = report_data(inputs)
    write_report(data, traced, out)
    _show(data, out)


def write_report(data: dict[str, Any], counts: NetworkCounts, out: Path) -> None:
    """Write page, figures and counts into the folder ``out``, each file whole or not at all."""
    files = {
        "report.json": _json(data),
        "report.csv": csv_text(data),
        "report.html": page(data),
        "counts.json": counts.to_json(),
    }
    for name, text in files.items():
        with atomic_path(out / name) as path:
            path.write_text(text)


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _show(data: dict[str, Any], out: Path) -> None:
    console = wide_console()
    console.print(terminal_table(data))
    for remark in remarks(data):
        console.print(remark)
    console.print(data["answer"])
    console.print(f"wrote {out / 'report.html'}, report.json, report.csv and counts.json")


def _compare(before: Path, after: Path, out: Path) -> None:
    comparison = compare_reports(read_report(before), read_report(after))
    with atomic_path(out / "comparison.json") as path:
        path.write_text(_json(comparison))
    console = wide_console()
    for table in comparison_tables(comparison):
        console.print(table)
    for note in comparison["notes"]:
        console.print(note)
    console.print(f"wrote {out / 'comparison.json'}")


if __name__ == "__main__":
    run(main)
