"""Figures of a checkpoint on held-out recordings: ``python -m export.evaluate CKPT``.

Retrieval figures of codes, top-1 accuracy of a classification head.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from export.encoder.executor import GraphExecutor
from export.encoder.network import build_network
from spikinghash.cli import run
from spikinghash.files import atomic_path
from spikinghash.seal import sealed_row
from training.checkpoint import Checkpoint, load_checkpoint
from training.classes import Classify, accuracy, chosen, float_classifier
from training.code_figures import CodeFigures, code_figures
from training.codes import Encode, encode_all, float_encoder, retrieval_figures
from training.config import Config
from training.data.configured import load_data
from training.data.frames import Dataset
from training.data.splits import Split
from training.data.views import frame_views
from training.retrieval import RetrievalFigures


def graph_encoder(executor: GraphExecutor) -> Encode:
    """A graph's executor as a function from frames to bits."""
    return lambda frames: torch.from_numpy(np.unpackbits(executor.encode(frames.numpy()), axis=1))


def graph_classifier(executor: GraphExecutor) -> Classify:
    """A graph's executor with a classification head as a function from frames to classes."""
    return lambda frames: chosen(executor.encode(frames.numpy()))


def held_out(checkpoint: Checkpoint, root: Path | None = None) -> tuple[Dataset, Split]:
    """The data set of ``checkpoint``, split anew, without what it was only trained on.

    Args:
        checkpoint: as loaded.
        root: folder of the data set, where it is not made here; the recordings need not be those of the training.
    """
    config = checkpoint.config
    data = config.data.model_copy(update={"also": ()} if root is None else {"also": (), "root": root})
    return load_data(config.model_copy(update={"data": data}))


def held_out_figures(checkpoint: Checkpoint, dataset: Dataset, sets: Split) -> dict[str, RetrievalFigures]:
    """Figures of the float and of the integer network: test queries against the database."""
    model = checkpoint.model()
    encoders = {
        "float": float_encoder(model, torch.device("cpu")),
        "integer": graph_encoder(build_network(model).executor()),
    }
    return {name: retrieval_figures(encode, dataset, sets.test, sets.database) for name, encode in encoders.items()}


def held_out_accuracies(checkpoint: Checkpoint, dataset: Dataset, sets: Split) -> dict[str, float]:
    """Top-1 accuracy of a classification head on the test recordings, as trained and as deployed."""
    model = checkpoint.model()
    classifiers = {
        "float": float_classifier(model, torch.device("cpu")),
        "integer": graph_classifier(build_network(model).executor()),
    }
    return {name: accuracy(classify, dataset, sets.test) for name, classify in classifiers.items()}


def held_out_codes(checkpoint: Checkpoint, dataset: Dataset, sets: Split) -> CodeFigures:
    """What the codes of the integer network tell apart: test queries and database, and a copy of each test query."""
    encode = graph_encoder(build_network(checkpoint.model()).executor())
    views = frame_views(dataset.frames[sets.test], np.random.default_rng(0))
    copies = replace(dataset, frames=views, labels=dataset.labels[sets.test])
    return code_figures(
        encode_all(encode, dataset, np.concatenate([sets.test, sets.database])),
        encode_all(encode, copies, np.arange(len(views))),
        np.arange(len(views)),
    )


def codes_table(figures: CodeFigures) -> Table:
    """What the codes tell apart."""
    recall_at = [f"instance recall@{k}" for k in figures.instance_recall]
    table = Table("recordings", "distinct codes", "entropy, bits", "effective dimensions", *recall_at)
    values = (figures.entropy, figures.effective_dimensions)
    recalls = (f"{value:.4f}" for value in figures.instance_recall.values())
    table.add_row(f"{figures.recordings:,}", f"{figures.distinct:,}", *(f"{value:.2f}" for value in values), *recalls)
    return table


def figures_table(rows: dict[str, RetrievalFigures]) -> Table:
    """One row of figures per network.

    mAP@k is that of the deep-hashing repositories, which divide by the hits among the first k.
    """
    table = Table(
        "network", "mAP (tie-aware)", "mAP@100 (by hits)", "mAP@1000 (by hits)", "precision r<=2", "empty r<=2"
    )
    for name, figures in rows.items():
        at = figures.mean_average_precision_at
        values = (figures.mean_average_precision, at[100], at[1000], figures.precision_within_2, figures.empty_within_2)
        table.add_row(name, *(f"{value:.4f}" for value in values))
    return table


def accuracies_table(rows: Mapping[str, float], recordings: int) -> Table:
    """One row per network."""
    table = Table("network", "top-1 accuracy", "test recordings")
    for name, share in rows.items():
        table.add_row(name, f"{share:.4f}", f"{recordings:,}")
    return table


def result_rows(checkpoint: Path, config: Config, rows: Mapping[str, float]) -> list[dict[str, Any]]:
    """The figures in the form of docs/results.json, each row with the SHA-256 of the checkpoint that it belongs to.

    Args:
        rows: by the network's numbers its mAP; its top-1 accuracy where it has a classification head.
    """
    figure = "top1" if config.encoder.head == "classes" else "map"
    about = {
        "dataset": config.data.name,
        "bits": config.encoder.bits,
        "checkpoints": [hashlib.sha256(checkpoint.read_bytes()).hexdigest()],
        "encoder": config.encoder.model_dump(mode="json"),
    }
    return [
        {
            "name": f"Spikinghash, {name}",
            "kind": f"spikinghash_{name}",
            figure: [each],
            **about,
        }
        for name, each in rows.items()
    ]


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint to evaluate.", metavar="CKPT")],
    data: Annotated[Path | None, typer.Option(help="Folder of the data set, where it is not made here.")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file of the figures, for deploy.report --results.")] = None,
) -> None:
    """Print the retrieval figures of a checkpoint on held-out queries, as trained and as deployed.

    And what its codes tell apart, with the share of copies (2 pixels aside, a tenth of the pixels missing) that find
    the recording that they are copies of. Of a classification head: top-1 accuracy on the test recordings.
    """
    loaded = load_checkpoint(checkpoint)
    dataset, sets = held_out(loaded, data)
    console = Console()
    if loaded.config.encoder.head == "classes":
        rows = held_out_accuracies(loaded, dataset, sets)
        console.print(accuracies_table(rows, len(sets.test)))
    else:
        figures = held_out_figures(loaded, dataset, sets)
        rows = {name: each.mean_average_precision for name, each in figures.items()}
        console.print(figures_table(figures))
        console.print(codes_table(held_out_codes(loaded, dataset, sets)))
    if out is not None:
        with atomic_path(out) as path:
            sealed = [*map(sealed_row, result_rows(checkpoint, loaded.config, rows))]
            path.write_text(json.dumps(sealed, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
