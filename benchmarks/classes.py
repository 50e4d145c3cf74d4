"""Networks with a classification head, trained and tested: ``python -m benchmarks.classes``; what is done stays done.

Writes docs/classes.md, docs/classes.json (for deploy.report) and the checkpoints that they are about.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.results.__main__ import processor
from benchmarks.results.jobs import with_training
from benchmarks.results.plan import AUGMENTATION, DATASETS, NAMES, DatasetName, NmnistFolder, data_config
from export.encoder.evaluate import held_out_accuracies
from spikinghash.cli import run
from spikinghash.files import atomic_path, file_sha256
from spikinghash.seal import sealed_row
from training import publish
from training.baselines.fit import fit, load_fitting, save_weights, value_classifier
from training.baselines.losses import TwinClassLoss
from training.baselines.twin import AnnTwin
from training.checkpoint import load_checkpoint
from training.classes import accuracy
from training.config import Config, SparsityConfig, TrainConfig
from training.data.configured import load_data
from training.data.frames import Dataset
from training.data.splits import Split
from training.train import LAST, train

EPOCHS, RATE = 3, 1e-3
GRIDS_EPOCHS, GRIDS_RATE = 2, 5e-4
TWINS = {"ann_twin_1": (8, 2e-3), "ann_twin_t": (2, 1e-3)}
"""Epochs and largest learning rates; the twin on T frames starts from that on one."""
CLASSES = 10
HEAD = """# Classes

Written by `python -m benchmarks.classes` on {date}; {hardware}, one core per training.

Top-1 accuracy on the test recordings, on which no choice was made: a network with a classification head
(`encoder.head = "classes"`) in the place of the hash layer. The class is that of the neuron that spikes most often in
the window, of several the first, on every backend alike. One seed.

The spiking networks start from the committed checkpoints (sparse, T 4, whose hash layer is left out) and learn {epochs}
epochs more in floating point, then {grids} on the grids of the integer network; nothing is pruned in these, so that
they need not be as sparse as their start. The ANN twins of the same sizes and head learn {twin} epochs from nothing on
one frame, and {more} more on T frames. All see the same augmentation and training sets, in N-MNIST the
digits that show no query's image too: figures to check a pipeline with, not a contest of equal trainings.
"""


def main(
    out: Annotated[Path, typer.Option(help="Folder for what is trained.")] = Path("runs/classes"),
    nmnist: NmnistFolder = None,
    start: Annotated[Path, typer.Option(help="Folder of the checkpoints to start from, DATASET.pt.")] = Path(
        "checkpoints"
    ),
    checkpoints: Annotated[Path, typer.Option(help="Folder for the published checkpoints.")] = Path(
        "checkpoints/classes"
    ),
    docs: Annotated[Path, typer.Option(help="Folder for classes.md and classes.json.")] = Path("docs"),
) -> None:
    """Train what is missing, then write page and rows of all that is there."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    checkpoints.mkdir(parents=True, exist_ok=True)
    for dataset in DATASETS if nmnist else DATASETS[:1]:
        result = out / f"{dataset}.json"
        if not result.exists():
            rows = run_dataset(dataset, out, nmnist, start / f"{dataset}.pt", checkpoints / f"{dataset}.pt")
            with atomic_path(result) as temporary:
                temporary.write_text(json.dumps(rows))
    rows = [row for path in sorted(out.glob("*.json")) for row in json.loads(path.read_text())]
    texts = {"classes.md": markdown(rows), "classes.json": json.dumps([*map(sealed_row, rows)], indent=1) + "\n"}
    for name, text in texts.items():
        with atomic_path(docs / name) as temporary:
            temporary.write_text(text)


def run_dataset(
    dataset: DatasetName, out: Path, nmnist: Path | None, start: Path, published: Path
) -> list[dict[str, Any]]:
    """Train and test the networks of one data set; rows in the form of docs/results.json."""
    config = _config(dataset, nmnist, start)
    folder, grids = out / dataset, out / f"{dataset}-grids"
    train(config, folder, torch.device("cpu"))
    settings = {"quantise": True, "start": folder / LAST, "epochs": GRIDS_EPOCHS, "learning_rate": GRIDS_RATE}
    train(with_training(config, **settings), grids, torch.device("cpu"))
    publish.main(grids / LAST, published)
    data, sets = load_data(config)
    figures: dict[str, float] = {
        "spikinghash_float": held_out_accuracies(load_checkpoint(folder / LAST), data, sets)["float"]
    }
    figures["spikinghash_integer"] = held_out_accuracies(load_checkpoint(published), data, sets)["integer"]
    for kind in TWINS:
        figures[kind] = accuracy(value_classifier(_twin(kind, dataset, out, config, data, sets)), data, sets.test)
    digest = file_sha256(published)
    return [_row(kind, dataset, figure, config, digest, len(sets.test)) for kind, figure in figures.items()]


def _twin(kind: str, dataset: str, out: Path, config: Config, data: Dataset, sets: Split) -> AnnTwin:
    """A trained twin, from its file where there is one."""
    torch.manual_seed(0)
    twin, done = (
        AnnTwin(config.encoder, 1 if kind == "ann_twin_1" else config.encoder.time_steps),
        f"{dataset}-{kind}.pt",
    )
    if (out / done).exists():
        load_fitting(twin, out / done)
        return twin.eval()
    if kind == "ann_twin_t":
        load_fitting(twin, out / f"{dataset}-ann_twin_1.pt")
    epochs, rate = TWINS[kind]
    fit(twin, TwinClassLoss(), data, sets, with_training(config, epochs=epochs, learning_rate=rate).train)
    save_weights(twin, out / done)
    return twin


def _config(dataset: DatasetName, nmnist: Path | None, start: Path) -> Config:
    encoder = load_checkpoint(start).config.encoder.model_copy(update={"head": "classes", "bits": CLASSES})
    settings = TrainConfig(epochs=EPOCHS, learning_rate=RATE, start=start, **AUGMENTATION)
    return Config(data=data_config(dataset, nmnist), encoder=encoder, train=settings, sparsity=SparsityConfig())


def _row(kind: str, dataset: str, figure: float, config: Config, digest: str, recordings: int) -> dict[str, Any]:
    return {
        "name": NAMES[kind],
        "kind": kind,
        "dataset": dataset,
        "bits": CLASSES,
        "top1": [figure],
        "checkpoints": [digest] if kind == "spikinghash_integer" else [],
        "recordings": recordings,
        "encoder": config.encoder.model_dump(mode="json"),
    }


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The page docs/classes.md."""
    recipe = {"epochs": EPOCHS, "grids": GRIDS_EPOCHS, "twin": TWINS["ann_twin_1"][0], "more": TWINS["ann_twin_t"][0]}
    date = datetime.date.today().isoformat()
    lines = [HEAD.format(date=date, hardware=processor(), **recipe), "| network | data set | top-1 | recordings |"]
    lines.append("|---|---|---|---|")
    lines += [f"| {r['name']} | {r['dataset']} | {r['top1'][0]:.4f} | {r['recordings']} |" for r in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
