"""Hash codes or classes of recordings, on any backend: ``python -m deploy.run ENCODER RECORDING... [--backend B]``.

With ``--input`` any NIR graph runs on arrays of spikes instead.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from deploy.backends.encoder import Executor
from deploy.backends.encoders import Codes, Encoder, RunNumbers, load_encoder
from export.nir.tools import Tool
from spikinghash.cli import MOST_WORKERS, SKIPPED
from spikinghash.errors import RecordingError, SpikinghashError
from spikinghash.progress import track
from spikinghash.resources import CHECKPOINTS, named
from training.data.facts import unlike
from training.data.reader import INPUTS, Reader, binned
from training.data.recordings import Recording
from training.data.sampling import recording_files
from training.data.windows import in_seconds, span_text
from training.window_options import CropOption, Hop, Sensor, Sort, Stream, Window, chosen_reader, tell_once

if TYPE_CHECKING:
    from deploy.backends.graph_run import GraphRun

BATCH = 64
"""Recordings encoded at once; bounds the memory."""


EncoderFile = Annotated[
    Path, typer.Argument(help="Encoder: .pt, .onnx or .nir; any .nir with --input.", metavar="ENCODER")
]
Recordings = Annotated[
    list[Path] | None, typer.Argument(help=f"Files ({', '.join(INPUTS)}), or folders of them.", metavar="RECORDING...")
]


Backend = Annotated[
    str | None, typer.Option(help="events, numpy, torch, onnxruntime, nir, lava, or a foreign runtime.")
]


@dataclass(frozen=True)
class Coded:
    """A recording, or a window of one, and its code."""

    file: Path
    window: tuple[int, int] | None
    """Start and end in microseconds since the file's first event; ``None``: all of it."""
    code: Codes
    """Packed, (K/8,); of a classification head the spikes of each class, (K,)."""


def read_frames(paths: Sequence[Path], encoder: Encoder, reader: Reader | None = None) -> NDArray[np.uint8]:
    """Frames (B, T, 2, H, W) of recordings in any format, or of their windows, as ``encoder`` takes them.

    Raises:
        RecordingError: a recording cannot be used.
    """
    reader = reader or Reader.of(encoder.data)
    return np.concatenate([binned(reader.read(path), encoder.time_steps, encoder.size)[1] for path in paths])


def encode_recordings(encoder: Encoder, paths: Sequence[Path], reader: Reader | None = None) -> Codes:
    """Packed codes (B, K/8), or spikes per class (B, K), of recordings or their windows; see ``code_recordings``."""
    return np.stack([one.code for one in code_recordings(encoder, paths, reader or Reader.of(encoder.data))])


def code_recordings(
    encoder: Encoder, paths: Sequence[Path], reader: Reader, skipped: list[RecordingError] | None = None
) -> list[Coded]:
    """Codes of recordings in any format, or of their windows, in order.

    What was left out of files, and which of them are unlike those trained on, is told on standard error.

    Args:
        skipped: takes the errors of recordings that cannot be used, which are then left out.

    Raises:
        RecordingError: a recording cannot be used, and there is no ``skipped``; or none can.
    """
    coded: list[Coded] = []
    remarks: list[tuple[Path, str]] = []
    parts: list[tuple[Path, Recording]] = []
    frames: list[NDArray[np.uint8]] = []

    def encode() -> None:
        codes = [code for batch in _batches(np.concatenate(frames)) for code in encoder.encode(batch)]
        coded.extend(Coded(path, part.window, code) for (path, part), code in zip(parts, codes, strict=True))
        parts.clear()
        frames.clear()

    for path in track(paths, "encoding", len(paths)):
        try:
            whole = reader.whole(path)
            kept, made = binned(reader.cut(whole), encoder.time_steps, encoder.size)
        except RecordingError as error:
            if skipped is None:
                raise
            skipped.append(error)
            continue
        remarks += [(path, remark) for remark in (*whole.notes, *unlike(encoder.data, kept, made))]
        parts += [(path, part) for part in kept]
        frames.append(made)
        if len(parts) >= BATCH:
            encode()
    if parts:
        encode()
    tell_once(remarks)
    if skipped and not coded:
        raise skipped[0]
    return coded


def _batches(frames: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return np.split(frames, range(BATCH, len(frames), BATCH))


def main(
    encoder: EncoderFile,
    recordings: Recordings = None,
    backend: Backend = None,
    numbers: Annotated[
        RunNumbers, typer.Option(help="The integer network; of a .pt, the float one; of a .nir, Loihi's fixed point.")
    ] = "integer",
    executor: Annotated[
        Executor | None, typer.Option(help="Of lava: OS processes, or all in one. Default: by number of samples.")
    ] = None,
    threads: Annotated[
        int, typer.Option(min=0, max=MOST_WORKERS, help="Of events and onnxruntime (by default all cores), nest (one).")
    ] = 0,
    source: Annotated[
        Path | None, typer.Option("--input", help=".npz with spikes (samples, T, ...) for any NIR graph.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help=".npz for the outputs, with --input.")] = None,
    trace: Annotated[
        bool, typer.Option(help="With --input: spikes and synaptic operations of every population too.")
    ] = False,
    dt: Annotated[
        float | None, typer.Option(help="With --input: seconds per step, in place of what the graph's metadata say.")
    ] = None,
    tool: Annotated[
        Tool | None, typer.Option("--from", help="With --input: the tool that wrote the graph, to take its numbers so.")
    ] = None,
    sensor: Sensor = None,
    window: Window = None,
    hop: Hop = None,
    crop: CropOption = None,
    stream: Stream = None,
    sort: Sort = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Encode recordings, or run a NIR graph on spikes."""
    if (source is None) == (not recordings):
        raise SpikinghashError("give either recordings or --input X.npz")
    if source is not None:
        done = _run_graph(encoder, source, backend or "nir", dt, trace, numbers, executor, threads, tool)
        _tell(done, output, as_json)
        return
    if output is not None or trace or dt is not None or tool is not None:
        raise SpikinghashError("--output, --trace, --dt and --from are for --input; codes go to standard output")
    loaded = load_encoder(named(encoder, CHECKPOINTS, ".onnx"), backend, numbers, threads, executor, warming=True)
    reader = chosen_reader(loaded.data, sensor, window, hop, stream=stream, sort=sort, crop=crop)
    _run_encoder(loaded, list(recording_files(recordings or [])), reader, as_json)


def _run_encoder(encoder: Encoder, recordings: list[Path], reader: Reader, as_json: bool) -> None:
    """Print the answer of each recording; those that cannot be used are told, and make the exit code 3."""
    skipped: list[RecordingError] = []
    _tell_answers(encoder, code_recordings(encoder, recordings, reader, skipped), as_json)
    for error in skipped:
        print(f"skipped: {error}", file=sys.stderr)
    if skipped:
        raise typer.Exit(SKIPPED)


def _run_graph(*arguments: Any) -> "GraphRun":
    """``run_on_file``, imported with NIR's libraries where it is needed."""
    from deploy.backends.graph_run import run_on_file

    return run_on_file(*arguments)


def _tell_answers(encoder: Encoder, coded: list[Coded], as_json: bool) -> None:
    """Print the code of each recording or window, with its start and end in seconds, or its class."""
    if as_json:
        rows = [{"file": str(one.file), **_answer(encoder, one.code), **in_seconds(one.window)} for one in coded]
        print(json.dumps(rows, indent=1))
        return
    kind = "class" if encoder.classes else "code"
    for one in coded:
        print(f"{_answer(encoder, one.code)[kind]}  {one.file}{span_text(one.window)}")


def _answer(encoder: Encoder, answer: Codes) -> dict[str, Any]:
    """What is said of one recording; its class is that whose neuron spikes most often, of several the first."""
    if not encoder.classes:
        return {"code": answer.tobytes().hex(), "bits": encoder.bits}
    counts = answer.tolist()
    return {"class": encoder.classes[int(answer.argmax())], "counts": dict(zip(encoder.classes, counts, strict=True))}


def _tell(done: "GraphRun", output: Path | None, as_json: bool) -> None:
    """Print what a graph did, and remarks on standard error; write its outputs where they are wanted."""
    for remark in done.remarks:
        print(remark, file=sys.stderr)
    if output is not None:
        done.save(output)
    print(json.dumps(done.as_dict()) if as_json else f"{done}" + (f"\nwrote {output}" if output else ""))
