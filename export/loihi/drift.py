"""What the arithmetic does to the spikes: float -> integer -> Loihi, ``python -m export.drift CKPT``.

The float network is the trained one with its batch normalisation folded, in float64; the integer network is the one
that is deployed, and Loihi's arithmetic is that of its neurons, see ``export.loihi.executor``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.table import Column, Table

from export.encoder.evaluate import (
    accuracies_table,
    figures_table,
    graph_classifier,
    graph_encoder,
    held_out,
    held_out_accuracies,
    held_out_figures,
)
from export.encoder.executor import GraphExecutor
from export.encoder.network import build_network
from export.encoder.operations import Lif, Output
from export.loihi.executor import LoihiExecutor
from spikinghash.cli import wide_console
from spikinghash.progress import track, working
from spikinghash.resources import CHECKPOINTS, named
from training.checkpoint import Checkpoint, load_checkpoint
from training.classes import Classify, accuracy
from training.codes import Encode, retrieval_figures
from training.data.frames import Dataset
from training.data.splits import Split
from training.model.encoder import Spikinghash
from training.retrieval import RetrievalFigures

BATCH = 16
"""Recordings traced at once; bounds the memory."""
CODE = "code"
"""Name under which the bits of the codes are listed, after the layers."""
COUNTS = "counts"
"""The same of a classification head: spikes per class in the window."""


@dataclass(frozen=True)
class SpikeDifference:
    """Neuron-steps (one neuron at one time step) at which two networks spike differently."""

    differing: int
    neuron_steps: int
    spikes: int
    """Spikes of the first of the two networks."""

    @property
    def share(self) -> float:
        """Of all neuron-steps."""
        return self.differing / self.neuron_steps

    @property
    def per_spike(self) -> float:
        """Differing neuron-steps per spike; may exceed 1."""
        return self.differing / max(self.spikes, 1)

    def __add__(self, other: "SpikeDifference") -> "SpikeDifference":
        return SpikeDifference(
            self.differing + other.differing, self.neuron_steps + other.neuron_steps, self.spikes + other.spikes
        )


@dataclass(frozen=True)
class LayerDrift:
    """Drift of one population; of the bits of the codes (``code``), or of the spikes per class (``counts``)."""

    layer: str
    integer: SpikeDifference
    """Float against integer network."""
    loihi: SpikeDifference
    """Integer network against Loihi's arithmetic."""

    def __add__(self, other: "LayerDrift") -> "LayerDrift":
        return LayerDrift(self.layer, self.integer + other.integer, self.loihi + other.loihi)


def drift(model: Spikinghash, frames: NDArray[np.uint8]) -> list[LayerDrift]:
    """Compare the three networks on binary frames (B, T, 2, H, W); a layer inherits what drifted before it.

    Raises:
        GraphError: the network does not fit Loihi's registers.
    """
    trained = GraphExecutor(build_network(model, "float").graph, torch.float64)
    deployed = build_network(model)
    executor, loihi = deployed.executor(), LoihiExecutor(deployed.graph)
    layers: dict[str, LayerDrift] = {}
    starts = range(0, len(frames), BATCH)
    for start in track(starts, "drift", len(starts)):
        batch = frames[start : start + BATCH]
        networks = zip(*(_traced(each, batch) for each in (trained, executor, loihi)), strict=True)
        for (layer, a), (_, b), (_, c) in networks:
            found = LayerDrift(layer, _difference(a, b), _difference(b, c))
            layers[layer] = layers[layer] + found if layer in layers else found
    return list(layers.values())


def _traced(executor: GraphExecutor, frames: NDArray[np.uint8]) -> list[tuple[str, NDArray[Any]]]:
    answers, spikes = executor.layers(frames)
    neurons = [(name, spikes[name]) for name, _ in executor.graph.find(Lif)]
    classes = executor.graph.only(Output)[1].classes
    return [*neurons, (COUNTS, answers) if classes else (CODE, np.unpackbits(answers, axis=1))]


def _difference(first: NDArray[Any], second: NDArray[Any]) -> SpikeDifference:
    return SpikeDifference(int((first != second).sum()), first.size, int(first.sum()))


def loihi_encoder(model: Spikinghash) -> Encode:
    """``model`` in Loihi's arithmetic as a function from frames to bits."""
    encode = graph_encoder(LoihiExecutor(build_network(model).graph))
    return lambda frames: torch.cat([encode(batch) for batch in frames.split(BATCH)])


def all_figures(checkpoint: Checkpoint, dataset: Dataset, sets: Split) -> dict[str, RetrievalFigures]:
    """Figures of the float and the integer network and of Loihi's arithmetic: test queries against the database."""
    loihi = retrieval_figures(loihi_encoder(checkpoint.model()), dataset, sets.test, sets.database)
    return held_out_figures(checkpoint, dataset, sets) | {"loihi": loihi}


def loihi_classifier(model: Spikinghash) -> Classify:
    """``model``, with a classification head, in Loihi's arithmetic as a function from frames to classes."""
    classify = graph_classifier(LoihiExecutor(build_network(model).graph))
    return lambda frames: np.concatenate([classify(batch) for batch in frames.split(BATCH)])


def figures(checkpoint: Checkpoint, dataset: Dataset, sets: Split) -> Table:
    """Retrieval figures, or accuracies, of the float and the integer network and of Loihi's arithmetic."""
    if checkpoint.config.encoder.head == "hash":
        return figures_table(all_figures(checkpoint, dataset, sets))
    rows = held_out_accuracies(checkpoint, dataset, sets)
    rows["loihi"] = accuracy(loihi_classifier(checkpoint.model()), dataset, sets.test)
    return accuracies_table(rows, len(sets.test))


def drift_table(layers: list[LayerDrift]) -> Table:
    """One row per layer."""
    table = Table(
        Column("layer", no_wrap=True), "spikes", "float -> integer", "per spike", "integer -> loihi", "per spike"
    )
    for layer in layers:
        first, second = layer.integer, layer.loihi
        shares = (first.share, first.per_spike, second.share, second.per_spike)
        table.add_row(layer.layer, f"{first.spikes:,}", *(f"{share:.2%}" for share in shares))
    return table


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint to examine.", metavar="CKPT")],
    samples: Annotated[int, typer.Option(min=1, help="Test queries to compare on.")] = 32,
    with_figures: Annotated[
        bool, typer.Option("--map", help="Also the figures of all three, mAP or accuracy: encodes the whole data set.")
    ] = False,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set, where it is not made here.")] = None,
) -> None:
    """Print the share of neuron-steps that differ, layer by layer, between float, integer and Loihi's arithmetic."""
    checkpoint = named(checkpoint, CHECKPOINTS, ".pt")
    loaded = load_checkpoint(checkpoint)
    dataset, sets = held_out(loaded, data)
    chosen = np.random.default_rng(0).permutation(sets.test)[:samples]
    console = wide_console()
    console.print(drift_table(drift(loaded.model(), dataset.frames[chosen])))
    if with_figures:
        with working("encoding the whole data set in three arithmetics"):
            table = figures(loaded, dataset, sets)
        console.print(table)
