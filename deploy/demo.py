"""The whole line on an encoder that comes along: ``spikinghash demo``, or ``make demo``.

What only extras can do (export, the energy report) or a further environment (Lava) is left out where these are missing.
"""

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from deploy.backends import lava_backend
from deploy.backends.encoders import load_encoder
from deploy.backends.run import encode_recordings
from deploy.search.__main__ import build, query
from spikinghash.cli import run
from spikinghash.errors import ComparisonError, MissingToolError
from spikinghash.extras import told_of_extras
from spikinghash.resources import CHECKPOINTS, RECORDINGS

BACKENDS = {"torch": "pt", "events": "onnx", "onnxruntime": "onnx", "nir": "nir", "lava": "nir"}
"""What runs which file."""

console = Console(highlight=False, soft_wrap=True, markup=False)


def main(
    out: Annotated[Path, typer.Option(help="Folder for what the demo writes.")] = Path("demo"),
) -> None:
    """Recordings, export to NIR and ONNX, hash codes on all backends, search, energy report."""
    console.rule("1. Recordings: MNIST images before a simulated event camera")
    recordings = [sorted(folder.glob("*.bin"))[0] for folder in sorted(RECORDINGS.iterdir()) if folder.is_dir()]
    console.print(f"{len(recordings)} recordings that come along, one of each digit: {RECORDINGS}")

    console.rule("2. Export: the integer network as NIR and as ONNX, each run and compared")
    try:
        files = export(out)
    except MissingToolError as error:
        console.print(f"left out, the ONNX model comes along: {error}")
        files = {"onnx": CHECKPOINTS / "digits.onnx"}

    console.rule("3. Hash codes on all runtimes")
    compare_backends(files, recordings)

    console.rule("4. Search: which recordings are like this one?")
    build(RECORDINGS, files["onnx"], out / "index", workers=1)
    query(recordings[7], out / "index", k=4, html=out / "neighbours.html")

    console.rule("5. Energy and latency")
    if "nir" in files:
        from deploy.report.__main__ import main as report

        report(files["nir"], recordings, out=out / "report", form=[out / "encoder-shared.nir"])
    else:
        console.print("left out: it counts the spikes of a NIR graph, which step 2 would have written")
    console.rule("Done")
    pages = [out / "neighbours.html", *([out / "report" / "report.html"] if "nir" in files else [])]
    console.print("open " + " and ".join(map(str, pages)))


def export(out: Path) -> dict[str, Path]:
    """Write the checkpoint in all forms; the files by kind.

    Raises:
        MissingToolError: the extra ``export`` is not installed.
    """
    with told_of_extras():
        from export.encoder.network import load_network
        from export.nir.to_nir import export_nir
        from export.onnx.to_onnx import export_onnx

    files = {"pt": CHECKPOINTS / "digits.pt", "nir": out / "encoder.nir", "onnx": out / "encoder.onnx"}
    network = load_network(files["pt"])
    _, size = export_nir(network, files["nir"])
    export_onnx(network, files["onnx"])
    console.print(f"{files['nir']}: {size.nodes} nodes, {size.neurons:,} neurons, {size.synapses:,} synapses")
    shared = out / "encoder-shared.nir"
    export_nir(network, shared, streams="shared", biases="neurons")
    console.print(f"{shared}: for chips with graded spikes, in fewer operations")
    console.print(f"certificate: {network.certificate}")
    return files


def compare_backends(files: dict[str, Path], recordings: list[Path]) -> None:
    """Print the codes of all backends that can run here side by side.

    Raises:
        ComparisonError: two backends give different codes.
    """
    codes = {}
    for backend, kind in BACKENDS.items():
        if kind not in files or not _is_there(backend):
            continue
        begin = time.perf_counter()
        codes[backend] = encode_recordings(load_encoder(files[kind], backend), recordings)
        console.print(f"{backend}: {len(recordings)} recordings in {time.perf_counter() - begin:.1f} s")
    table = Table("recording", *codes)
    for row, path in enumerate(recordings):
        table.add_row(f"{path.parent.name}/{path.name}", *(code[row].tobytes().hex() for code in codes.values()))
    console.print(table)
    (first, expected), *others = codes.items()
    for backend, code in others:
        if not np.array_equal(code, expected):
            raise ComparisonError(f"{backend} gives other codes than {first}")
    console.print(f"all {len(codes)} give the same codes, bit for bit")


def _is_there(backend: str) -> bool:
    """Whether ``backend`` can run here; it is told if not."""
    if backend == "lava":
        try:
            lava_backend.find_interpreter()
        except MissingToolError as error:
            console.print(f"lava is left out: {error}")
            return False
    return True


if __name__ == "__main__":
    run(main)
