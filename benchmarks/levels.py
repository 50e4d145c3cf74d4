"""mAP against synaptic operations over wavelet levels and fusion groups: ``python -m benchmarks.levels``.

A spike through a WaveMixer of L levels reaches 8^L neurons of each channel of its group. What that buys is measured
here: every variant is trained for the same few epochs, exported as its integer network, and counted on test recordings.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from matplotlib.figure import Figure

from benchmarks.results.plan import SCHEDULES
from export.encoder.evaluate import graph_encoder
from export.encoder.network import build_network
from export.nir.to_nir import export_nir
from export.synaptic.counting import trace_counts
from spikinghash.cli import run
from spikinghash.files import atomic_path
from training.checkpoint import load_checkpoint
from training.codes import retrieval_figures
from training.config import Config, EncoderConfig, TrainConfig
from training.data.configured import load_data
from training.train import LAST, train

WINDOW = 3e5
"""Of a recording in microseconds; counts do not depend on it."""


@dataclass(frozen=True)
class Variant:
    """Levels of the first two stages, and channels that a fusion mixes."""

    levels: tuple[int, int]
    channels_per_group: int

    @property
    def label(self) -> str:
        """For files and the figure."""
        return f"L{self.levels[0]}-{self.levels[1]} C{self.channels_per_group}"


VARIANTS = [
    Variant((0, 0), 4),
    Variant((1, 0), 4),
    Variant((1, 1), 4),
    Variant((2, 0), 4),
    Variant((2, 1), 2),
    Variant((2, 1), 4),
    Variant((2, 1), 8),
]
"""More levels than these leave the attention of the third stage on maps that the exporter cannot lower."""


def measure(variant: Variant, out: Path, epochs: int, samples: int) -> dict[str, object]:
    """Train ``variant``, export it, count: its test mAP and mean synaptic operations per recording."""
    encoder = EncoderConfig(levels=(*variant.levels, 0, 0), channels_per_group=variant.channels_per_group)
    _, rate = SCHEDULES["spikinghash"]
    config = Config(encoder=encoder, train=TrainConfig(epochs=epochs, learning_rate=rate))
    folder = out / variant.label.replace(" ", "-")
    train(config, folder, torch.device("cpu"))
    network = build_network(load_checkpoint(folder / LAST).model())
    dataset, sets = load_data(config)
    figures = retrieval_figures(graph_encoder(network.executor()), dataset, sets.test, sets.database)
    graph = folder / "encoder.nir"
    export_nir(network, graph)
    counts = trace_counts(graph, dataset.frames[sets.test[:: len(sets.test) // samples][:samples]], WINDOW)
    operations = {layer.name: float(np.sum(layer.synops)) / samples for layer in counts.layers}
    return {
        **asdict(variant),
        "map": figures.mean_average_precision,
        "synaptic_operations": sum(operations.values()),
        "epochs": epochs,
        "samples": samples,
    }


def draw(records: list[dict[str, object]], path: Path) -> None:
    """Draw mAP over synaptic operations, a point per variant, as PNG."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for record in records:
        operations, score = float(record["synaptic_operations"]) / 1e6, float(record["map"])  # type: ignore[arg-type]
        axis.plot(operations, score, "o", color="tab:blue")
        label = f"levels {record['levels']}, {record['channels_per_group']} channels"
        axis.annotate(label, (operations, score), (0, 6), textcoords="offset points", ha="center", fontsize=8)
    axis.margins(0.15)
    axis.set_xlabel("synaptic operations per recording, millions")
    axis.set_ylabel("mAP of the integer network")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def main(
    out: Annotated[
        Path, typer.Option(help="Folder for what is trained; variants done there are not done again.")
    ] = Path("runs/levels"),
    docs: Annotated[Path, typer.Option(help="Folder for levels.png and levels.json.")] = Path("docs"),
    epochs: Annotated[int, typer.Option(help="Epochs of each variant.", min=1)] = 8,
    samples: Annotated[int, typer.Option(help="Recordings that are counted.", min=1)] = 20,
) -> None:
    """Measure every variant and draw the curve."""
    records = []
    for variant in VARIANTS:
        done = out / f"{variant.label.replace(' ', '-')}.json"
        if not done.exists():
            record = measure(variant, out, epochs, samples)
            with atomic_path(done) as temporary:
                temporary.write_text(json.dumps(record) + "\n")
        records.append(json.loads(done.read_text()))
        print(f"{variant.label}: mAP {records[-1]['map']:.4f}, {records[-1]['synaptic_operations']:.3g} operations")

    with atomic_path(docs / "levels.json") as temporary:
        temporary.write_text(json.dumps(records, indent=1) + "\n")
    draw(records, docs / "levels.png")


if __name__ == "__main__":
    run(main)
