"""Figures of a checkpoint on held-out recordings: ``python -m export.evaluate CKPT``.

Retrieval figures of codes, top-1 accuracy of a classification head.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.table import Table

from export.encoder.executor import GraphExecutor
from export.encoder.network import build_network
from spikinghash.cli import wide_console
from spikinghash.files import atomic_path, file_sha256
from spikinghash.progress import working
from spikinghash.resources import CHECKPOINTS, named
from spikinghash.seal import sealed_row
from training.augment import frame_shift
from training.checkpoint import Checkpoint, load_checkpoint
from training.classes import Classify, accuracy, chosen, float_classifier
from training.code_figures import CodeFigures, code_figures
from training.codes import Encode, encode_all, float_encoder, retrieval_figures
from training.config import Config, DataName
from training.data import nmnist
from training.data.binning import Crop
from training.data.configured import load_data
from training.data.events import SensorSize, parse_sensor
from training.data.frames import Dataset
from training.data.splits import Split
from training.data.views import frame_views, shifted
from training.data.windows import Windows
from training.retrieval import RetrievalFigures
from training.retrieval import evaluate as evaluate_codes
from training.tells import count_rows
from training.window_options import CropOption, Hop, Sensor, Sort, Stream, Window, chosen_crop, chosen_windows


def graph_encoder(executor: GraphExecutor) -> Encode:
    """A graph's executor as a function from frames to bits."""
    return lambda frames: torch.from_numpy(np.unpackbits(executor.encode(frames.numpy()), axis=1))


def graph_classifier(executor: GraphExecutor) -> Classify:
    """A graph's executor with a classification head as a function from frames to classes."""
    return lambda frames: chosen(executor.encode(frames.numpy()))


def held_out(
    checkpoint: Checkpoint,
    root: Path | None = None,
    windows: Windows | None = None,
    sensor: SensorSize | None = None,
    *,
    stream: str | None = None,
    sort: bool = False,
    crop: Crop | None = None,
) -> tuple[Dataset, Split]:
    """The data set of ``checkpoint``, split anew, without what it was only trained on.

    Args:
        checkpoint: as loaded.
        root: folder of the data set, where it is not made here; the recordings need not be those of the training, nor
            of its data set: N-MNIST, or any folder CLASS/FILE.
        windows: cut otherwise than in the training.
        sensor: of files that do not tell it; by default that of the training.
        stream: of files with several streams of events; by default that of the training.
        sort: put events in order of time however late they are.
        crop: which square of the sensor is the frame; by default that of the training.
    """
    config = checkpoint.config
    changed: dict[str, Any] = {"also": ()} if root is None else {"also": (), "root": root}
    if root is not None:
        changed["name"] = data_name(config.data.name, root)
    known = checkpoint.data.sensor if checkpoint.data is not None else None
    if sensor is not None or config.data.sensor is None:
        changed["sensor"] = known if sensor is None else sensor[:2]
    changed |= {"stream": stream or config.data.stream, "sort": sort or config.data.sort}
    changed["crop"] = crop or config.data.crop
    if windows is not None:
        changed |= {"window_ms": windows.length / 1000, "hop_ms": windows.hop / 1000}
    return load_data(config.model_copy(update={"data": config.data.model_copy(update=changed)}))


def data_name(trained: DataName, root: Path) -> DataName:
    """What the folder ``root`` is for a network that was trained on the data set ``trained``: that, or another."""
    if trained not in ("digits", "reversal", "nmnist"):
        return trained
    return "nmnist" if nmnist.holds_recordings(root) or not root.is_dir() else "folder"


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


def classes_table(dataset: Dataset, sets: Split, figures: RetrievalFigures) -> Table:
    """Recordings and windows of each class in the database and among the test queries, and its mAP."""
    table = Table("class", "database", "test queries", "mAP, integer")
    for label in np.unique(dataset.labels[np.concatenate([sets.database, sets.test])]).tolist():
        parts = (part[dataset.labels[part] == label] for part in (sets.database, sets.test))
        found = figures.by_class.get(label)
        rows = (count_rows(dataset, part) for part in parts)
        table.add_row(dataset.name(label), *rows, "" if found is None else f"{found:.4f}")
    return table


def split_lines(dataset: Dataset, sets: Split, figures: RetrievalFigures) -> Iterator[str]:
    """What the figures are of, how good chance is, and what was left out."""
    yield (
        f"{count_rows(dataset, sets.test)} ask, {count_rows(dataset, sets.database)} are searched; "
        f"mAP of chance {figures.chance:.4f}"
    )
    if figures.left_out:
        names = ", ".join(dataset.names(np.array(figures.left_out)))
        yield f"left out of all figures: queries of {names}, which the database lacks"


def shifted_figures(
    checkpoint: Checkpoint, dataset: Dataset, sets: Split, shifts: Sequence[int]
) -> dict[int, tuple[int, float]]:
    """By pixels of the sensor: pixels of the frame, and the integer network's mAP of test queries so far aside.

    The mean over queries moved left, right, up and down; what leaves the frame is lost.
    """
    encode = graph_encoder(build_network(checkpoint.model()).executor())
    database, labels = encode_all(encode, dataset, sets.database), dataset.labels
    figures = {}
    for shift in (0, *shifts):
        pixels = frame_shift(shift, dataset.sensor, dataset.frames.shape[-1], dataset.crop)
        found = []
        for axis, sign in product((-2, -1), (1, -1) if pixels else (1,)):
            moved = replace(dataset, frames=shifted(dataset.frames[sets.test], sign * pixels, axis))
            codes = encode_all(encode, moved, np.arange(len(sets.test)))
            found.append(evaluate_codes(codes, labels[sets.test], database, labels[sets.database], ()))
        figures[shift] = pixels, float(np.mean([each.mean_average_precision for each in found]))
    return figures


def shifts_table(figures: dict[int, tuple[int, float]]) -> Table:
    """One row per shift."""
    table = Table("queries aside by", "in the frame", "mAP, integer")
    for shift, (pixels, found) in figures.items():
        table.add_row(f"{shift} px", f"{pixels} px", f"{found:.4f}")
    return table


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


def result_rows(checkpoint: Path, config: Config, rows: Mapping[str, float], dataset: str = "") -> list[dict[str, Any]]:
    """The figures in the form of docs/results.json, each row with the SHA-256 of the checkpoint that it belongs to.

    Args:
        rows: by the network's numbers its mAP; its top-1 accuracy where it has a classification head.
    """
    figure = "top1" if config.encoder.head == "classes" else "map"
    about = {
        "dataset": dataset or config.data.name,
        "bits": config.encoder.bits,
        "checkpoints": [file_sha256(checkpoint)],
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
    sensor: Sensor = None,
    window: Window = None,
    hop: Hop = None,
    crop: CropOption = None,
    stream: Stream = None,
    sort: Sort = False,
    shifts: Annotated[list[int] | None, typer.Option(help="Also with queries so many pixels aside, each.")] = None,
) -> None:
    """Print the retrieval figures of a checkpoint on held-out queries, as trained and as deployed.

    And what its codes tell apart, with the share of copies (2 pixels aside, a tenth of the pixels missing) that find
    the recording that they are copies of. Of a classification head: top-1 accuracy on the test recordings.
    """
    checkpoint = named(checkpoint, CHECKPOINTS, ".pt")
    loaded = load_checkpoint(checkpoint)
    size = None if sensor is None else parse_sensor(sensor)
    windows, crop = chosen_windows(loaded.data, window, hop), chosen_crop(loaded.data, crop)
    dataset, sets = held_out(loaded, data, windows, size, stream=stream, sort=sort, crop=crop)
    console = wide_console()
    if loaded.config.encoder.head == "classes":
        with working("encoding the data set"):
            rows = held_out_accuracies(loaded, dataset, sets)
        console.print(accuracies_table(rows, len(sets.test)))
    else:
        with working("encoding the data set"):
            figures = held_out_figures(loaded, dataset, sets)
            told = held_out_codes(loaded, dataset, sets)
        rows = {name: each.mean_average_precision for name, each in figures.items()}
        console.print(figures_table(figures))
        console.print(classes_table(dataset, sets, figures["integer"]))
        print("\n".join(split_lines(dataset, sets, figures["integer"])))
        console.print(codes_table(told))
        if shifts:
            with working("encoding queries moved aside"):
                moved = shifted_figures(loaded, dataset, sets, shifts)
            console.print(shifts_table(moved))
    if out is not None:
        with atomic_path(out) as path:
            name = loaded.config.data.name if data is None else data_name(loaded.config.data.name, data)
            sealed = [*map(sealed_row, result_rows(checkpoint, loaded.config, rows, name))]
            path.write_text(json.dumps(sealed, indent=1) + "\n")
