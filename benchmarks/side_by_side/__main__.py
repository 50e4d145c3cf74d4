"""What a recording costs in all that encodes here: ``python -m benchmarks.side_by_side --nmnist DIR``.

Of the four committed encoders. Each takes turns with its twins in one process, on one thread and then on two; a figure
is the least of its calls. Peak memory and cold start are those of a process of its own that loads nothing else, and so
is `events` with Numba held to AVX2. OpenVINO and simulators run in the environment of the foreign simulators, on their
own processor's clock, a recording at a time. Weights of the twins are those that they begin with: time does not depend
on them, since no kernel leaves a zero out.

Writes docs/speed.json, and the tables in docs/speed.md between the comments that name this command.
"""

import datetime
import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.encode import BATCHES, read_files, recorded_frames
from benchmarks.side_by_side.held import held_to_avx2
from benchmarks.side_by_side.page import written
from benchmarks.side_by_side.portable import openvino_ms, portable_ms
from benchmarks.side_by_side.rows import rows_of, start_cold, take_turns, threads_gain
from deploy.report.hosts.machine import describe_machine
from export.encoder.network import load_network
from spikinghash.cli import run, wide_console
from spikinghash.errors import ConfigError
from spikinghash.files import atomic_path, file_sha256, private_folder
from spikinghash.seal import sealed_json

ENCODERS = ("nmnist", "digits", "dense/nmnist", "dense/digits")
CHECKPOINTS = Path("checkpoints")


def compared(name: str, recordings: list[bytes], seconds: float) -> dict[str, Any]:
    """All figures of one encoder."""
    checkpoint = CHECKPOINTS / f"{name}.pt"
    network, begin = load_network(checkpoint), datetime.datetime.now()
    frames = recorded_frames(network.config, recordings)
    with private_folder() as folder:
        np.save(folder / "frames.npy", frames)
        rows = rows_of(checkpoint, network, frames, folder)
        take_turns(rows, network, frames, seconds)
        start_cold(rows, folder / "frames.npy")
        model = rows[0].path
        found = {
            "name": name,
            "checkpoint_sha256": file_sha256(checkpoint),
            "rows": [row.measured() for row in rows],
            "avx2_ms": held_to_avx2(model, folder / "frames.npy", seconds),
            "openvino_ms": openvino_ms(model, frames),
            "threads": threads_gain(rows[0], frames, 2 * seconds),
        }
        if name == ENCODERS[0]:
            found["portable"] = portable_ms(network, frames, folder)
    return found | {"load": round(os.getloadavg()[0], 1), "took_s": (datetime.datetime.now() - begin).seconds}


def main(
    nmnist: Annotated[Path, typer.Option(help="Folder of N-MNIST .bin files.")],
    encoders: Annotated[str, typer.Option(help="Comma-separated; nothing is written unless it is all.")] = ",".join(
        ENCODERS
    ),
    seconds: Annotated[float, typer.Option(min=0.01, help="Measuring time of each, per column.")] = 1.0,
    out: Annotated[Path, typer.Option(help="Page and figures, without suffix.")] = Path("docs/speed"),
) -> None:
    """Measure, print, and write the tables."""
    chosen = encoders.split(",")
    if unknown := sorted({*chosen} - {*ENCODERS}):
        raise ConfigError(f"--encoders {unknown[0]}: use {', '.join(ENCODERS)}")
    files = {True: read_files(nmnist, BATCHES[-1]), False: read_files(None, BATCHES[-1])}
    if len(files[True]) < BATCHES[-1]:
        raise ConfigError(f"--nmnist {nmnist}: holds {len(files[True])} .bin files, {BATCHES[-1]} are needed")
    torch.set_num_threads(1)
    found = []
    for name in chosen:
        found.append(compared(name, files["nmnist" in name], seconds))
        wide_console().print(found[-1])
    if chosen == list(ENCODERS):
        write(found, out)


def write(found: list[dict[str, Any]], out: Path) -> None:
    """Write the figures, and the page with its tables made anew."""
    measured = {
        "date": datetime.date.today().isoformat(),
        "machine": describe_machine().text,
        "recordings": BATCHES[-1],
        "versions": {name: version(name) for name in ("onnxruntime", "numba", "numpy", "torch")},
        "encoders": found,
    }
    page = out.with_suffix(".md")
    texts = {".json": sealed_json(json.dumps(measured, indent=1)), ".md": written(page.read_text(), measured)}
    for suffix, text in texts.items():
        with atomic_path(out.with_suffix(suffix)) as path:
            path.write_text(text)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run(main)
