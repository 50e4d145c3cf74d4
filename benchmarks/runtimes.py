"""The committed encoders in every runtime for ONNX models: ``python -m benchmarks.runtimes``; docs/runtimes.md has it.

Times are of the processor, not of a clock, so that what else the machine does counts little. They are ratios to ONNX
Runtime's, measured before and after each runtime; both on one thread, a recording at a time.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from deploy.backends.encoders import Frames
from deploy.backends.onnx_backend import OnnxEncoder
from deploy.backends.runtime_backend import Measured, RuntimeEncoder
from deploy.backends.runtimes import RUNNERS
from deploy.backends.verify import choose_frames
from export.encoder.network import load_network
from export.onnx.form import Form
from export.onnx.to_onnx import export_onnx
from spikinghash.cli import run, wide_console
from spikinghash.files import private_folder
from training.config import DataName
from training.data.frames import load_dataset

NAMES: tuple[DataName, ...] = ("digits", "nmnist")
FORMS = {"as it is": Form(), "--int8": Form(int8=True), "--batch 1 --no-counts": Form(batch=1, counts=False)}
NCNN = {"--for ncnn": Form(runtime="ncnn")}


def processor_seconds(encoder: OnnxEncoder, frames: Frames) -> float:
    """Of one recording on ONNX Runtime, in the mean."""
    spent = [sum(os.times()[:2])]
    for recording in frames:
        encoder.encode(recording[None])
        spent.append(sum(os.times()[:2]))
    return float(np.mean(np.diff(spent)))


def rows(name: str, frames: Frames, runtimes: list[str]) -> Iterator[tuple[str, ...]]:
    """A row per runtime and form of the file."""
    network = load_network(Path("checkpoints") / f"{name}.pt")
    expected = network.executor().encode(frames)
    with private_folder() as folder:
        export_onnx(network, folder / "baseline.onnx")
        baseline = OnnxEncoder(folder / "baseline.onnx", threads=1)
        for runtime in runtimes:
            for label, form in (NCNN if runtime == "ncnn" else FORMS).items():
                if runtime == "iree" and label == "--int8":
                    continue  # minutes of compiling, and the same network
                path = folder / "encoder.onnx"
                export_onnx(network, path, form.int8, form.batch, form.counts, form.runtime)
                before = processor_seconds(baseline, frames)
                runs = [RuntimeEncoder(path, runtime).measured(frames, exact) for exact in (True, False)]
                ratio = runs[0].seconds / ((before + processor_seconds(baseline, frames)) / 2)
                equal = [_equal(each, expected) for each in runs]
                yield (name, runtime, label, *equal, f"{ratio:.1f}", f"{runs[0].loading:.1f}")


def _equal(found: Measured, expected: Frames) -> str:
    return f"{int((found.codes == expected).all(axis=1).sum())}/{len(expected)}"


def main(
    nmnist: Annotated[Path, typer.Option(help="Folder that holds NMNIST/Train.")],
    runtimes: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(RUNNERS),
    samples: Annotated[int, typer.Option(min=2, help="Recordings of each data set.")] = 100,
) -> None:
    """Compare codes, time and start of every runtime that is installed."""
    table = Table("encoder", "runtime", "file", "codes equal", "as it comes", "time", "start (s)")
    for name in NAMES:
        root = nmnist if name == "nmnist" else None
        frames = choose_frames(load_dataset(name, time_steps=4, size=32, root=root), samples)
        for row in rows(name, frames, runtimes.split(",")):
            table.add_row(*row)
            print("| " + " | ".join(row) + " |", flush=True)
    wide_console().print(table)


if __name__ == "__main__":
    run(main)
