"""What the forms of a lowered graph cost beside the encoder itself: ``python -m benchmarks.lowering CKPT...``.

Prints the tables of docs/lowering.md. Lava's time is that of the in-process executor for another recording.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.timing import seconds_of_children
from deploy.backends.lava_backend import LavaBackend
from export.encoder.forms import Biases, Streams
from export.encoder.network import load_network
from export.nir.metadata import Dialect, read_encoder
from export.nir.to_nir import export_nir
from export.nir.trace import input_spikes
from export.synaptic.counting import trace_counts
from export.synaptic.counts import LayerCounts
from spikinghash.cli import run
from training.checkpoint import load_checkpoint
from training.data.configured import load_data

WINDOW = 3e5
"""Of a recording in microseconds; counts do not depend on it."""
COLUMNS = "dialect streams biases operations,_M x_natural graded,_M active_updates,_M neurons Lava,_CPU_s"
HEAD = f"| {COLUMNS.replace(' ', ' | ').replace('_', ' ')} |\n|{'---|' * len(COLUMNS.split())}"


@dataclass(frozen=True)
class Form:
    """How a graph is lowered."""

    dialect: Dialect = "native"
    streams: Streams = "copied"
    biases: Biases = "line"


FORMS = (
    Form(),
    Form(biases="neurons"),
    Form(streams="shared"),
    Form(streams="shared", biases="neurons"),
    Form("portable"),
)


def measure(checkpoint: Path, form: Form, frames: NDArray[np.uint8], lava: int, folder: Path) -> str:
    """A row of the table: means over the recordings ``frames``."""
    path = folder / "encoder.nir"
    _, size = export_nir(load_network(checkpoint), path, form.dialect, False, form.streams, form.biases)
    counts = trace_counts(path, frames, WINDOW)
    assert counts.natural is not None
    operations = _millions(counts.layers, "synops")
    ratio = 1e6 * operations / counts.natural.synops.mean()
    graded, updates = (_millions(counts.layers, what) for what in ("integer_synops", "active_updates"))
    seconds = f"{_lava_seconds(path, frames, lava):.2f}" if lava and form.dialect == "native" else ""
    figures = f"{operations:.2f} | {ratio:.2f} | {graded:.2f} | {updates:.2f} | {size.neurons:,} | {seconds}"
    return f"| {form.dialect} | {form.streams} | {form.biases} | {figures} |"


def _millions(layers: tuple[LayerCounts, ...], what: str) -> float:
    return sum(float(np.mean(getattr(layer, what))) for layer in layers if getattr(layer, what) is not None) / 1e6


def _lava_seconds(path: Path, frames: NDArray[np.uint8], more: int) -> float:
    """CPU seconds per recording: what ``more`` of them add to the time of one."""
    spikes, times = input_spikes(frames, read_encoder(path)[1]), []
    for number in (1, 1 + more):
        start = seconds_of_children()
        LavaBackend(executor="local").run(path, np.resize(spikes, (number, *spikes.shape[1:])), [])
        times.append(seconds_of_children() - start)
    return (times[1] - times[0]) / more


def main(
    checkpoints: Annotated[list[Path], typer.Argument(metavar="CKPT...")],
    samples: Annotated[int, typer.Option(help="Test recordings that are counted.", min=1)] = 8,
    lava: Annotated[int, typer.Option(help="Recordings that Lava is timed on; 0 leaves it out.", min=0)] = 16,
) -> None:
    """Export every checkpoint in every form, count its recordings and time Lava."""
    for checkpoint in checkpoints:
        data, sets = load_data(load_checkpoint(checkpoint).config)
        frames = data.frames[sets.test[:: len(sets.test) // samples][:samples]]
        print(f"\n{checkpoint}\n\n{HEAD}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            for form in FORMS:
                print(measure(checkpoint, form, frames, lava, Path(folder)), flush=True)


if __name__ == "__main__":
    run(main)
