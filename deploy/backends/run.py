"""Hash codes or classes of recordings, on any backend: ``python -m deploy.run ENCODER RECORDING... [--backend B]``.

With ``--input`` any NIR graph runs on arrays of spikes instead.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from deploy.backends.encoders import Codes, Encoder, RunNumbers, load_encoder
from deploy.backends.lava_backend import Executor
from export.nir.conventions import Tool
from spikinghash.cli import run
from spikinghash.errors import SpikinghashError
from training.data.recordings import SUFFIXES, Recording, load_recording, parse_sensor

if TYPE_CHECKING:
    from deploy.backends.graph_run import GraphRun

BATCH = 64
"""Recordings encoded at once; bounds the memory."""


EncoderFile = Annotated[
    Path, typer.Argument(help="Encoder: .pt, .onnx or .nir; any .nir with --input.", metavar="ENCODER")
]
Recordings = Annotated[
    list[Path] | None, typer.Argument(help=f"Files ({', '.join(SUFFIXES)}).", metavar="RECORDING...")
]
Read = Callable[[Path], Recording]


def read_frames(paths: list[Path], encoder: Encoder, read: Read = load_recording) -> NDArray[np.uint8]:
    """Frames (B, T, 2, H, W) of recordings in any format; what was left out of them is told on standard error.

    Raises:
        RecordingError: a recording cannot be used.
    """
    frames = []
    for path in paths:
        recording = read(path)
        for note in recording.notes:
            print(f"{path}: {note}", file=sys.stderr)
        frames.append(recording.frames(encoder.time_steps, encoder.size))
    return np.stack(frames)


def encode_recordings(encoder: Encoder, paths: list[Path], read: Read = load_recording) -> Codes:
    """Packed codes (B, K/8) of recordings, or spikes per class (B, K)."""
    parts = [
        encoder.encode(read_frames(paths[start : start + BATCH], encoder, read))
        for start in range(0, len(paths), BATCH)
    ]
    return np.concatenate(parts)


def main(
    encoder: EncoderFile,
    recordings: Recordings = None,
    backend: Annotated[str | None, typer.Option(help="events, torch, onnxruntime, nir, lava, or a simulator.")] = None,
    numbers: Annotated[
        RunNumbers, typer.Option(help="The integer network; of a .pt, the float one; of a .nir, Loihi's fixed point.")
    ] = "integer",
    executor: Annotated[
        Executor | None, typer.Option(help="Of lava: OS processes, or all in one. Default: by number of samples.")
    ] = None,
    threads: Annotated[
        int, typer.Option(min=0, help="Of events and onnxruntime (by default all cores), nest (one).")
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
        Tool | None,
        typer.Option("--from", help="With --input: the tool that wrote the graph, to take its numbers as it does."),
    ] = None,
    sensor: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT, for files that do not tell it.")] = None,
    stream: Annotated[str | None, typer.Option(help="Of several streams of events: its number or name.")] = None,
    sort: Annotated[bool, typer.Option(help="Put events in order of time however late they are.")] = False,
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
    assert recordings
    loaded = load_encoder(encoder, backend, numbers, threads, executor)
    size = None if sensor is None else parse_sensor(sensor)
    _tell_answers(loaded, recordings, partial(load_recording, sensor_size=size, stream=stream, sort=sort), as_json)


def _run_graph(*arguments: Any) -> "GraphRun":
    """``run_on_file``, imported with NIR's libraries where it is needed."""
    from deploy.backends.graph_run import run_on_file

    return run_on_file(*arguments)


def _tell_answers(encoder: Encoder, recordings: list[Path], read: Read, as_json: bool) -> None:
    """Print the code of each recording, or its class."""
    answers, kind = encode_recordings(encoder, recordings, read), "class" if encoder.classes else "code"
    rows = [{"file": str(path), **_answer(encoder, answer)} for path, answer in zip(recordings, answers, strict=True)]
    print(json.dumps(rows, indent=1) if as_json else "\n".join(f"{row[kind]}  {row['file']}" for row in rows))


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


if __name__ == "__main__":
    run(main)
