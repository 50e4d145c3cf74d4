"""Index recordings and find the nearest: ``python -m deploy.search build|add|query|eval|serve|check``."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from deploy.backends.encoders import load_hasher
from deploy.live.coded import live_windows
from deploy.live.coder import Coder
from deploy.live.feed import Feed
from deploy.live.opening import SOURCE_HELP, Format, open_source
from deploy.search.building import Engine, Report, add_sources
from deploy.search.bulk import CHUNK, encode_files
from deploy.search.checking import faults, repair
from deploy.search.evaluation import Queries, evaluate_index
from deploy.search.files import find_sources, passed_over
from deploy.search.instances import evaluate_views
from deploy.search.manifest import Manifest
from deploy.search.ranking import Find
from deploy.search.searcher import Answer, Searcher
from deploy.search.store import Kind, encoder_path, open_index, open_or_create, writing
from spikinghash.cli import MOST_WORKERS, SKIPPED, run
from spikinghash.errors import SearchError
from spikinghash.progress import track, working
from spikinghash.resources import CHECKPOINTS, named
from training.data.events import parse_sensor
from training.data.reader import Reader
from training.data.windows import in_seconds, span_text
from training.window_options import CropOption, Hop, Sensor, Sort, Stream, Window, chosen_reader, tell_once

Index = Annotated[Path, typer.Option("--index", help="Folder of the index.")]
Workers = Annotated[
    int, typer.Option(min=1, max=MOST_WORKERS, help="Processes that read and encode; each holds an encoder.")
]
EngineOption = Annotated[Engine, typer.Option(help="local, or ray: Ray Data, one encoder per actor, Parquet out.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
INDEX = Path("idx")
WORKERS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build(
    recordings: Annotated[Path, typer.Argument(help="Folder; each recording is of its folder's class.", metavar="DIR")],
    encoder: Annotated[Path, typer.Option(help="Encoder: .onnx, .nir, .pt, digits or nmnist; the index keeps a copy.")],
    index: Index = INDEX,
    kind: Annotated[Kind, typer.Option(help="How codes are searched; milvus-* need --milvus.")] = "flat",
    milvus: Annotated[str | None, typer.Option(help="http://HOST:PORT, or a file *.db for Milvus Lite.")] = None,
    sensor: Sensor = None,
    window: Window = None,
    hop: Hop = None,
    crop: CropOption = None,
    stream: Stream = None,
    sort: Sort = False,
    workers: Workers = WORKERS,
    engine: EngineOption = "local",
) -> None:
    """Encode the recordings below a folder into an index; an interrupted build goes on where it was."""
    sources = list(find_sources(recordings))
    _tell_passed_over(recordings)
    encoder = named(encoder, CHECKPOINTS, ".onnx")
    loaded = load_hasher(encoder)
    reader = chosen_reader(loaded.data, sensor, window, hop, stream=stream, sort=sort, crop=crop)
    with writing(index):
        manifest = open_or_create(index, encoder, loaded.bits, kind, milvus, reader)
        report = add_sources(index, manifest, sources, workers=workers, engine=engine)
    _tell(index, manifest, report)


def add(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings or folders.", metavar="RECORDING...")],
    index: Index = INDEX,
    label: Annotated[str | None, typer.Option(help="Class of all of them; by default the folder's name.")] = None,
    workers: Workers = WORKERS,
    engine: EngineOption = "local",
) -> None:
    """Add recordings to an index."""
    manifest = Manifest(index)
    sources = list(chain.from_iterable(find_sources(place, label) for place in recordings))
    with writing(index):
        report = add_sources(index, manifest, sources, workers=workers, engine=engine)
    _tell(index, manifest, report)


def query(
    recording: Annotated[Path, typer.Argument(help="Recording to search for.", metavar="RECORDING")],
    index: Index = INDEX,
    k: Annotated[int | None, typer.Option("-k", min=1, help="Neighbours; default 10, all with --radius.")] = None,
    radius: Annotated[int | None, typer.Option(min=0, help="Only those within this Hamming distance.")] = None,
    find: Annotated[
        Find, typer.Option(help="class: nearest codes first; recording: by thumbnail among them.")
    ] = "class",
    at: Annotated[float | None, typer.Option(help="Second of a long recording; default: its middle.")] = None,
    sensor: Sensor = None,
    stream: Stream = None,
    sort: Sort = False,
    html: Annotated[Path | None, typer.Option(help="Page to write, with the events animated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the recordings that are nearest to one."""
    size = None if sensor is None else parse_sensor(sensor)
    with working("searching"):
        searcher = Searcher(index, sensor=size, stream=stream, sort=sort)
        answer = searcher.query(recording, k, radius, find=find, at=at)
    tell_once((recording, remark) for remark in answer.remarks)
    if html is not None:
        from deploy.search.page import write_html

        write_html(html, searcher.both(recording, k, radius, at=at))
    print(_as_json(answer) if as_json else _as_text(answer))


def evaluate(
    index: Index = INDEX,
    queries: Annotated[Path | None, typer.Option(help="Folder of queries; by default each item is one.")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Only this many queries, drawn at random.")] = None,
    views: Annotated[
        int | None, typer.Option(min=1, help="Also ask for this many recordings by views of them.")
    ] = None,
    workers: Workers = WORKERS,
    as_json: AsJson = False,
) -> None:
    """Print retrieval figures of an index: tie-aware mAP against the labels.

    Without --queries each recording asks for all others; windows of its own file are not searched.

    With --views also how many recordings it finds again, by themselves and by copies: 2 pixels aside, a tenth of the
    events missing, 5 ms of jitter.
    """
    manifest = Manifest(index)
    codes, _ = manifest.codes()
    labels = manifest.labels()
    errors: list[str] = []
    if queries is None:
        files = np.unique(manifest.files(), return_inverse=True)[1]
        asked = Queries(codes, labels, np.arange(len(codes)), files)
    else:
        asked, errors = _encode_queries(queries, encoder_path(index, manifest.facts), workers, manifest.facts.reader)
    figures = asdict(evaluate_index(open_index(index, manifest), codes, labels, _sampled(asked, sample)))
    if views is not None:
        found, unread = evaluate_views(Searcher(index, threads=1), views)
        figures |= asdict(found)
        errors += _told(unread)
    if as_json:
        print(json.dumps(figures, indent=1))
    else:
        print("\n".join(_figure_lines(figures)))
    _end(errors)


def serve(
    index: Index = INDEX,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8000,
    max_upload: Annotated[int, typer.Option(min=1, help="Largest upload, MiB.")] = 16,
    sensor: Sensor = None,
    stream: Stream = None,
    sort: Sort = False,
    live: Annotated[str | None, typer.Option(help=f"A stream to show: {SOURCE_HELP}", metavar="SOURCE")] = None,
    window: Window = None,
    hop: Hop = None,
    suffix: Format = None,
) -> None:
    """Serve a web page: drop a recording, see its neighbours; or watch a live stream, with --live."""
    from deploy.search.serve import serve as serve_page

    size = None if sensor is None else parse_sensor(sensor)
    with working("opening the index"):
        searcher = Searcher(index, threads=1, sensor=size, stream=stream, sort=sort)
    if live is None:
        if window is not None or hop is not None or suffix is not None:
            raise SearchError("--window, --hop and --format are of a stream; give it too: --live SOURCE")
        serve_page(searcher, host, port, max_upload * 2**20)
        return
    coder = Coder(searcher.encoder, searcher)
    windows = live_windows(coder, window, hop)
    with Feed(live, open_source(live, suffix, searcher.reader.sensor), windows, coder) as feed:
        try:
            serve_page(searcher, host, port, max_upload * 2**20, feed)
        finally:
            for line in feed.told():
                print(line, file=sys.stderr)


def check(
    index: Annotated[Path, typer.Argument(help="Folder of the index.", metavar="IDX")] = INDEX,
    mend: Annotated[bool, typer.Option("--repair", help="Make it whole again from what is intact.")] = False,
) -> None:
    """Look at everything that an index holds: is it what was written?"""
    manifest = Manifest(index)
    with working("looking at all parts"):
        found = list(faults(index, manifest))
    for fault in found:
        print(fault)
    if mend:
        with writing(index):
            lost = repair(index, manifest)
        again = f"; {lost} recordings are to be encoded again, by the same build or add as before" if lost else ""
        print(f"{index}: made whole, {len(manifest)} codes{again}")
    elif found:
        raise SearchError(f"{index}: {len(found)} faults: --repair mends what can be mended")
    else:
        print(f"{index}: whole, {len(manifest)} codes")


def _encode_queries(folder: Path, encoder: Path, workers: int, reader: Reader) -> tuple[Queries, list[str]]:
    sources = list(find_sources(folder))
    chunks = encode_files([source.path for source in sources], encoder, workers, reader)
    outcomes = list(chain.from_iterable(track(chunks, "encoding queries", -(-len(sources) // CHUNK))))
    errors = [outcome.error for outcome in outcomes if outcome.error]
    _told(errors)
    source_of = {source.path: source for source in sources}
    good = [(source_of[outcome.path], outcome) for outcome in outcomes if not outcome.error]
    if not good:
        raise SearchError(f"{folder}: none of its {len(sources)} recordings can be used as a query")
    codes = np.stack([np.frombuffer(outcome.code, np.uint8) for _, outcome in good])
    return Queries(codes, [source.label for source, _ in good]), errors


def _tell_passed_over(folder: Path) -> None:
    """Say which files of a folder are no recordings, by their suffixes."""
    others = Counter(path.suffix or path.name for path in passed_over(folder))
    if others:
        counted = ", ".join(f"{suffix} ({count})" for suffix, count in sorted(others.items()))
        print(f"{folder}: {others.total()} files are no recordings, and passed over: {counted}", file=sys.stderr)


def _told(errors: list[str]) -> list[str]:
    for error in errors:
        print(f"skipped: {error}", file=sys.stderr)
    return errors


def _sampled(queries: Queries, sample: int | None) -> Queries:
    if sample is None or sample >= len(queries.codes):
        return queries
    chosen = np.sort(np.random.default_rng(0).choice(len(queries.codes), sample, replace=False))
    own = None if queries.own is None else queries.own[chosen]
    return Queries(queries.codes[chosen], [queries.labels[number] for number in chosen], own, queries.files)


def _figure_lines(figures: dict[str, Any]) -> Iterator[str]:
    """A figure a line, then the classes, and which of them are left out."""
    classes, left_out = figures.get("by_class", {}), figures.get("left_out", {})
    for name, value in figures.items():
        if not isinstance(value, dict):
            yield f"{name:24}{value:.4g}"
    for name, own in classes.items():
        counts = f"{own['queries']:,} queries, {own['items']:,} items"
        yield f"class {name:18}mAP {own['mean_average_precision']:.4g}, {counts}"
    for name, count in left_out.items():
        yield f"left out: {count:,} queries of class {name}, of which the index has no (other) recording"


def _tell(index: Path, manifest: Manifest, report: Report) -> None:
    renewed = f"{report.renewed} encoded again since their files changed, " if report.renewed else ""
    drawn = f" ({report.thumbnails} without a thumbnail, which they have now)" if report.thumbnails else ""
    print(f"{index}: {report.added} added, {renewed}{report.known} there before{drawn}, {len(manifest)} codes in all")
    tell_once(report.remarks)
    _end(report.errors)


def _end(errors: list[str]) -> None:
    if errors:
        print(f"{len(errors)} skipped", file=sys.stderr)
        raise typer.Exit(SKIPPED)


def _as_text(answer: Answer) -> str:
    lines = [f"{answer.code}  {answer.name}", answer.choice, "distance  difference        id  label         recording"]
    for hit in answer.hits:
        difference = "-" if hit.difference is None else hit.difference
        where = f"{hit.path}{span_text(hit.window)}"
        lines.append(f"{hit.distance:8}  {difference:>10}  {hit.id:8}  {hit.label:12}  {where}")
    return "\n".join(lines)


def _as_json(answer: Answer) -> str:
    shown = "id", "distance", "difference", "label", "path"
    hits = [{name: getattr(hit, name) for name in shown} | in_seconds(hit.window) for hit in answer.hits]
    content = {"query": answer.name, "code": answer.code, "choice": answer.choice, "hits": hits}
    return json.dumps(content, indent=1, default=str)


main: dict[str, Callable[..., None]] = {
    "build": build, "add": add, "query": query, "eval": evaluate, "serve": serve, "check": check,
}  # fmt: skip

if __name__ == "__main__":
    run(main)
