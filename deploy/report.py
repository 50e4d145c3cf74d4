"""``python -m deploy.report``: what a hash code and its ANN twin cost on each platform, in energy and in time.

Writes ``report.html`` (one self-contained page), ``report.json`` and ``report.csv`` (the same figures) and prints a
table. Equal inputs give equal bytes.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import jinja2
import typer
from rich.console import Console
from rich.table import Table

from deploy.ann_twin import AnnTwin, Sizes, ann_twin
from deploy.energy.wording import band, si, span, two_figures
from deploy.report_data import energy_text, report_data
from deploy.report_plots import layers_plot, parts_of, totals_plot
from export.counts import NetworkCounts
from hardware_profiles.loader import load_profiles
from spikinghash.cli import run
from spikinghash.errors import GraphError, RecordingError
from spikinghash.files import atomic_path

DEFAULT_RECORDINGS = range(0, 5000, 250)
"""Digits that are traced when no recording is named: two of each class."""
_WIDE, _NARROW = 9.6, 4.1
"""Widths of the plots in inches, for a desktop and for a phone."""


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
) -> None:
    """Report energy and latency per hash code, with bands, on every platform."""
    loaded = load_profiles(profiles)
    traced = _counts(encoder, recordings or [], counts)
    twins, notes = _twins(encoder)
    data = report_data(traced, twins, loaded, notes)
    write_report(data, traced, out)
    console = Console()
    console.print(_table(data))
    for remark in _remarks(data):
        console.print(remark, highlight=False)
    for sentence in data["answer"]:
        console.print(f"- {sentence}", highlight=False)
    console.print(f"wrote {out / 'report.html'}, report.json, report.csv and counts.json", highlight=False)


def _counts(encoder: Path | None, recordings: Sequence[Path], counts: Path | None) -> NetworkCounts:
    """Read counts of an earlier run, or trace recordings now."""
    if counts is not None:
        if recordings:
            raise GraphError("--counts and --recordings both given: counts already are of certain recordings; give one")
        read = NetworkCounts.from_json(_text(counts), str(counts))
        if encoder is not None:
            read.require_network(encoder, str(counts))
        return read
    if encoder is None:
        raise GraphError("no network: give an encoder (encoder.nir, from export.to_nir) or --counts counts.json")
    return _trace(encoder, recordings)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise GraphError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise GraphError(f"{path}: is no text file: give a counts.json") from None


def _trace(encoder: Path, recordings: Sequence[Path]) -> NetworkCounts:
    import numpy as np

    from export.counting import trace_counts
    from export.nir_file import read_encoder
    from training.data.digits import simulate
    from training.data.frames import events_to_frames
    from training.data.recordings import NMNIST_SENSOR, read_recording

    _, metadata = read_encoder(encoder)
    files = list(_recording_files(recordings))
    names = [str(path) for path in files] or [f"digit {index}" for index in DEFAULT_RECORDINGS]
    events = [read_recording(path) for path in files] or list(simulate(DEFAULT_RECORDINGS))
    frames = [
        events_to_frames(each, NMNIST_SENSOR, metadata.time_steps, metadata.size, name)
        for each, name in zip(events, names, strict=True)
    ]
    window = float(np.mean([int(each["t"][-1]) - int(each["t"][0]) for each in events]))
    return trace_counts(encoder, np.stack(frames), window)


def _recording_files(recordings: Sequence[Path]) -> Iterator[Path]:
    for path in recordings:
        found = sorted(path.rglob("*.bin")) if path.is_dir() else [path]
        if not found:
            raise RecordingError(f"{path}: holds no recording (*.bin)")
        yield from found


def _twins(encoder: Path | None) -> tuple[list[AnnTwin], list[str]]:
    """The ANN twins of the encoder, or a note that says why there are none."""
    if encoder is None:
        return [], ["No ANN twin: the sizes of the encoder are in its file, and only counts were given."]
    from export.nir_file import read_encoder

    _, metadata = read_encoder(encoder)
    sizes = getattr(metadata, "encoder", None)
    if sizes is None:
        return [], ["No ANN twin: the encoder's file does not state its sizes. Export it again."]
    config = Sizes.from_values(sizes, str(encoder))
    return [ann_twin(config, frames) for frames in dict.fromkeys((1, config.time_steps))], []


def write_report(data: dict[str, Any], counts: NetworkCounts, out: Path) -> None:
    """Write page, figures and counts into the folder ``out``, each file whole or not at all."""
    files = {
        "report.json": json.dumps(data, indent=1, ensure_ascii=False) + "\n",
        "report.csv": csv_text(data),
        "report.html": page(data),
        "counts.json": counts.to_json(),
    }
    for name, text in files.items():
        with atomic_path(out / name) as path:
            path.write_text(text)


_COLUMNS = (
    *("platform", "network", "basis", "row", "name", "count_low", "count", "count_high", "unit", "price_low", "price"),
    *("price_high", "price_unit", "kind", "sources", "energy_low_j", "energy_j", "energy_high_j", "recordings_p5_j"),
    *("recordings_p95_j", "unpriced"),
)


def csv_text(data: dict[str, Any]) -> str:
    """Every bill of the report, one line per term and one per total (a lower bound where terms are unpriced)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for platform in [*data["platforms"], {**data["paper_style"], "id": "paper_style"}]:
        for row in platform["scenarios"]:
            writer.writerows(_csv_rows(platform["id"], row))
    return buffer.getvalue()


def _csv_rows(platform: str, row: dict[str, Any]) -> Iterator[list[Any]]:
    head = [platform, row["network"], row["basis"]]
    blank = [None] * 3
    for term in row["terms"]:
        yield [
            *head, "term", term["name"], *(term["count"] or blank), term["unit"], *(term["price"] or blank),
            term["price_unit"], term["kind"], " ".join(term["sources"]), *(term["energy_j"] or blank), None, None, None,
        ]  # fmt: skip
    kind = "total" if row["complete"] else "lower bound"
    unpriced = "; ".join(row["unpriced"])
    yield [
        *head, kind, None, *blank, None, *blank, None, row["grade"], None, *row["energy_j"],
        *row["recordings_p5_p95_j"], unpriced,
    ]  # fmt: skip


def page(data: dict[str, Any]) -> str:
    """The report as one HTML page that needs nothing from outside."""
    groups = [(item["name"], item["scenarios"]) for item in data["platforms"] if item["scenarios"]]
    groups.append(("Paper style: no memory, no neuron updates", data["paper_style"]["scenarios"]))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "si": si,
        "two": two_figures,
        "band": band,
        "span": span,
        "energy": energy_text,
        "parts": parts_of,
    }
    environment.globals |= {"totals": _totals_plots(groups), "layer_plots": _layer_plots(data)}
    return environment.get_template("report_template.html").render(data) + "\n"


def _totals_plots(groups: Sequence[tuple[str, Sequence[dict[str, Any]]]]) -> dict[str, str]:
    return {
        "wide": totals_plot(groups, _WIDE, labels_above=False, salt="totals-wide"),
        "narrow": totals_plot(groups, _NARROW, labels_above=True, salt="totals-narrow"),
    }


def _layer_plots(data: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Plots of the first scenario of every platform that has one."""
    return {
        item["id"]: {
            "wide": layers_plot(item["scenarios"][0], _WIDE, labels_above=False, salt=f"{item['id']}-wide"),
            "narrow": layers_plot(item["scenarios"][0], _NARROW, labels_above=True, salt=f"{item['id']}-narrow"),
        }
        for item in data["platforms"]
        if item["scenarios"]
    }


def _table(data: dict[str, Any]) -> Table:
    table = Table(title=f"Energy per code, {data['network']['recordings']} recordings")
    for heading in ("platform", "network", "basis", "nominal", "band of prices", "grade"):
        table.add_column(heading, no_wrap=heading != "basis", justify="right" if heading == "nominal" else "left")
    for platform in [*data["platforms"], {**data["paper_style"], "id": "paper"}]:
        for row in platform["scenarios"]:
            nominal = ("" if row["complete"] else "≥ ") + si(row["energy_j"][1], "J")
            table.add_row(
                platform["id"], row["network"], row["basis"], nominal, band(row["energy_j"], "J"), row["grade"]
            )
        table.add_section()
    return table


def _remarks(data: dict[str, Any]) -> Iterator[str]:
    """Why figures are lower bounds or missing."""
    for platform in data["platforms"]:
        unpriced = dict.fromkeys(name for row in platform["scenarios"] for name in row["unpriced"])
        if unpriced:
            yield f"{platform['id']}: lower bound, unpriced: {', '.join(unpriced)}"
        for refusal in platform["refusals"]:
            yield f"{platform['id']}: no figure for {refusal}"


if __name__ == "__main__":
    run(main)
