"""Recordings into an index folder: what is not encoded yet is encoded, committed chunk by chunk, and indexed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from deploy.search.bulk import CHUNK, Outcome, encode_files
from deploy.search.files import RecordingFile
from deploy.search.manifest import Manifest
from deploy.search.store import encoder_path, open_index, save_index
from spikinghash.progress import shown
from training.data.reader import Reader

Engine = Literal["local", "ray"]


@dataclass
class Report:
    """What a build or an addition did."""

    added: int = 0
    """Recordings, or windows of them, that have a code now and had none."""
    renewed: int = 0
    """Recordings whose files have changed since they were encoded, and that have a new code now."""
    known: int = 0
    """Recordings that were encoded already."""
    thumbnails: int = 0
    """Those of them that got a thumbnail, which they had not when they were encoded."""
    errors: list[str] = field(default_factory=list)
    """One line per recording that was skipped."""
    remarks: list[tuple[Path, str]] = field(default_factory=list)
    """Files whose codes may mean nothing, and why."""


def add_sources(
    folder: Path,
    manifest: Manifest,
    sources: Sequence[RecordingFile],
    *,
    workers: int = 1,
    engine: Engine = "local",
    chunk: int = CHUNK,
) -> Report:
    """Encode ``sources`` into the index ``folder``, and bring its index up to date.

    Recordings that were encoded before there were thumbnails get theirs, and keep their codes.

    May be interrupted or killed at any moment, and then be called again: ids and codes are those of a call that was
    left alone. A recording whose file has changed is encoded again; if it can no longer be, it keeps its code.

    Args:
        folder: the index; ``manifest`` is its own, open.
        workers: worker processes, or actors.
        chunk: recordings committed at once, by the engine ``local``.

    Raises:
        SpikinghashError: the encoder or the index cannot be used. Recordings that cannot are in the report.
    """
    encoder = encoder_path(folder, manifest.facts)
    manifest.hold_thumbnails()
    missing, bare, reader = manifest.missing(sources), manifest.without_thumbnail(sources), manifest.facts.reader
    report, retired = Report(known=len(sources) - len(missing)), len(manifest.retired())
    paths = [source.path for source in missing]
    if engine == "ray":
        outcomes = _encode_with_ray(folder, len(manifest) + retired, paths, encoder, workers, reader)
    else:
        outcomes = encode_files(paths, encoder, workers, reader, chunk)
    for made in _tracked("encode", missing, outcomes, report):
        rows = ((source, outcome.code, outcome.thumbnail) for source, outcome in made)
        manifest.add(rows, [outcome.window for _, outcome in made])
        report.added += len(made)
    report.renewed = len(manifest.retired()) - retired
    report.added = max(0, report.added - report.renewed)  # a changed file may have other windows than before
    outcomes = encode_files([source.path for source in bare], encoder, workers, reader, chunk, thumbnails_only=True)
    for made in _tracked("thumbnails", bare, outcomes, report):
        drawn = ((source, outcome.thumbnail) for source, outcome in made)
        manifest.add_thumbnails(drawn, [outcome.window for _, outcome in made])
        report.thumbnails += len(made)
    save_index(folder, open_index(folder, manifest))
    return report


def _encode_with_ray(
    folder: Path, known: int, paths: list[Path], encoder: Path, workers: int, reader: Reader
) -> Iterator[list[Outcome]]:
    from deploy.search.ray_engine import encode_with_ray

    return encode_with_ray(paths, encoder, folder / "parquet" / f"{known:012d}", workers, reader)


def _tracked(
    what: str, sources: Sequence[RecordingFile], outcomes: Iterator[list[Outcome]], report: Report
) -> Iterator[list[tuple[RecordingFile, Outcome]]]:
    """The good ``outcomes`` of ``sources``, which come in the same order, chunk by chunk; the others are reported."""
    source_of = {source.path: source for source in sources}
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with shown(*columns) as progress:
        task = progress.add_task(what, total=len(sources))
        for chunk in outcomes:
            yield [(source_of[outcome.path], outcome) for outcome in chunk if not outcome.error]
            for outcome in chunk:
                if outcome.error:
                    report.errors.append(outcome.error)
                    progress.console.print(f"skipped: {outcome.error}", markup=False)
                report.remarks += [(outcome.path, remark) for remark in outcome.remarks]
            progress.advance(task, len({outcome.path for outcome in chunk}))
