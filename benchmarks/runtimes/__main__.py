"""The committed encoders in every runtime for ONNX models, beside ONNX Runtime: ``python -m benchmarks.runtimes``.

Times are of the processor, not of a clock, so that what else the machine does counts less. They are ratios to ONNX
Runtime's, measured before and after each runtime; both on one thread, a recording at a time.
"""

import datetime
import json
import os
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.results.__main__ import processor
from benchmarks.runtimes.page import Row, page
from deploy.backends.encoders import Frames
from deploy.backends.onnx_backend import OnnxEncoder
from deploy.backends.runtime_backend import Measured, ReferenceEncoder, RuntimeEncoder
from deploy.backends.runtimes import RUNNERS
from deploy.backends.simulator_backend import find_interpreter
from deploy.backends.verify import choose_frames
from export.encoder.network import Network, load_network
from export.onnx.form import ANY, Form
from export.onnx.to_onnx import export_onnx
from spikinghash.cli import run, wide_console
from spikinghash.errors import ComparisonError, ConfigError
from spikinghash.files import atomic_path, file_sha256, private_folder
from spikinghash.seal import sealed_json
from training.config import DataName
from training.data.frames import load_dataset
from training.data.splits import Indices

NAMES: tuple[DataName, ...] = ("digits", "nmnist")
CHECKPOINTS = Path("checkpoints")
REFERENCE = "onnxreference"
RUNTIMES = (*RUNNERS, REFERENCE)
COMMITTED = "as it is"
LEAN = "--batch 1 --no-counts"
FORMS = {COMMITTED: ANY, "--int8": Form(int8=True), LEAN: Form(batch=1, counts=False)}
OF_RUNTIME = {
    "iree": {COMMITTED: ANY, LEAN: FORMS[LEAN]},  # each is compiled anew
    "ncnn": {"--for ncnn": Form(runtime="ncnn")},
    REFERENCE: {COMMITTED: ANY},
}
"""Forms of the file for runtimes that do not take, or do not gain by, those above."""
WITH_A_CHOICE = ("openvino", "mnn", "ncnn")
"""Runtimes that compute in 32 bits only where they are told to."""
PACKAGES = {"iree": "iree-base-compiler"}
"""Of runtimes that do not have their package's name."""


def timed(encoder: OnnxEncoder | ReferenceEncoder, frames: Frames) -> tuple[Frames, float]:
    """Codes, and the seconds of the processor that a recording takes in the mean, after a first one."""
    encoder.encode(frames[:1])
    before = time.process_time()
    codes = np.concatenate([encoder.encode(recording[None]) for recording in frames])
    return codes, (time.process_time() - before) / len(frames)


def measure(runtime: str, path: Path, frames: Frames) -> Measured:
    """With the call of the page."""
    if runtime != REFERENCE:
        return RuntimeEncoder(path, runtime).measured(frames)
    before = time.process_time()
    encoder = ReferenceEncoder(path, runtime)
    loading = time.process_time() - before
    return Measured(*timed(encoder, frames), loading)


def row(runtime: str, path: Path, frames: Frames, expected: Frames, baseline: OnnxEncoder) -> Row:
    """A runtime on one file.

    Raises:
        ComparisonError: it, or ONNX Runtime, gives another code than the network.
    """
    codes, before = timed(baseline, frames)
    require_equal("onnxruntime", codes, expected)
    found = measure(runtime, path, frames)
    _, after = timed(baseline, frames)
    require_equal(runtime, found.codes, expected)
    equal = len(frames) - len(differing(found.codes, expected))
    values = {"recordings": len(frames), "equal": equal, "ratio": round(2 * found.seconds / (before + after), 3)}
    values |= {"start_s": round(found.loading, 3), "load": round(os.getloadavg()[0], 2)}
    if runtime in WITH_A_CHOICE:
        freely = RuntimeEncoder(path, runtime).measured(frames, exact=False)
        values["equal_as_it_comes"] = len(frames) - len(differing(freely.codes, expected))
    return values


def differing(codes: Frames, expected: Frames) -> Indices:
    """Recordings that have another code."""
    return np.flatnonzero((codes != expected).any(axis=1))


def require_equal(runtime: str, codes: Frames, expected: Frames) -> None:
    """Raise a ComparisonError where a runtime gives another code than the network."""
    if len(others := differing(codes, expected)):
        raise ComparisonError(f"{runtime}: {len(others)} of {len(expected)} codes differ, recording {others[0]} first")


def rows(name: str, frames: Frames, runtimes: list[str]) -> Iterator[Row]:
    """A row per runtime and form of the file."""
    checkpoint, committed = (CHECKPOINTS / f"{name}.{kind}" for kind in ("pt", "onnx"))
    network = load_network(checkpoint)
    expected = network.executor().encode(frames)
    about = {"encoder": name, "checkpoint_sha256": file_sha256(checkpoint)}
    baseline = OnnxEncoder(committed, threads=1)
    with private_folder() as folder:
        for runtime in runtimes:
            for label, form in OF_RUNTIME.get(runtime, FORMS).items():
                path = committed if label == COMMITTED else written(network, folder, form)
                found = row(runtime, path, frames, expected, baseline)
                yield about | {"runtime": runtime, "file": label} | found


def written(network: Network, folder: Path, form: Form) -> Path:
    """The model of a form, in ``folder``."""
    path = folder / "encoder.onnx"
    export_onnx(network, path, form.int8, form.batch, form.counts, form.runtime)
    return path


def installed(runtime: str) -> str:
    """The version of a runtime."""
    if runtime == REFERENCE:
        return version("onnx")
    ask = f"from importlib.metadata import version; print(version({PACKAGES.get(runtime, runtime)!r}))"
    return subprocess.check_output([find_interpreter(), "-c", ask], text=True).strip()


def main(
    nmnist: Annotated[Path, typer.Option(help="Folder that holds NMNIST/Train.")],
    runtimes: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(RUNTIMES),
    samples: Annotated[int, typer.Option(min=2, help="Recordings of each data set.")] = 100,
    out: Annotated[Path, typer.Option(help="Page and figures, without suffix.")] = Path("docs/runtimes"),
) -> None:
    """Compare codes, time and start of every runtime, and write the page where none is left out."""
    chosen, console = runtimes.split(","), wide_console()
    table: list[Row] = []
    if unknown := sorted({*chosen} - {*RUNTIMES}):
        raise ConfigError(f"--runtimes {unknown[0]}: use {', '.join(RUNTIMES)}")
    for name in NAMES:
        root = nmnist if name == "nmnist" else None
        frames = choose_frames(load_dataset(name, time_steps=4, size=32, root=root), samples)
        for found in rows(name, frames, chosen):
            table.append(found)
            console.print(found)
    if {*chosen} == {*RUNTIMES}:
        write_page(table, out)


def write_page(table: list[Row], out: Path) -> None:
    """Write the page and the figures behind it."""
    measured = {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "processors": os.cpu_count(),
        "onnxruntime": version("onnxruntime"),
        "versions": {runtime: installed(runtime) for runtime in RUNTIMES},
        "rows": table,
    }
    texts = {".json": sealed_json(json.dumps(measured, indent=1)), ".md": page(measured)}
    for suffix, text in texts.items():
        with atomic_path(out.with_suffix(suffix)) as path:
            path.write_text(text)


if __name__ == "__main__":
    run(main)
