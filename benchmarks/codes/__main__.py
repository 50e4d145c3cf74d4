"""Hash layers for codes that differ within a class: ``python -m benchmarks.codes``; what is done stays done.

Writes docs/codes.md and docs/codes.json.
"""

import datetime
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.codes.figures import Searched, figures
from benchmarks.codes.layers import codes_of, features_of, trained
from benchmarks.codes.page import markdown
from benchmarks.codes.plan import planned
from benchmarks.results.__main__ import processor
from benchmarks.results.plan import DATASETS, DatasetName, NmnistFolder, data_config
from spikinghash.cli import run
from spikinghash.files import atomic_path
from spikinghash.progress import track
from training.checkpoint import load_checkpoint
from training.config import Config
from training.data.configured import load_data


def main(
    out: Annotated[Path, typer.Option(help="Folder for features and figures; what is there is not made again.")] = Path(
        "runs/codes"
    ),
    nmnist: NmnistFolder = None,
    checkpoints: Annotated[Path, typer.Option(help="Folder of the encoders, DATASET.pt, on grids.")] = Path(
        "checkpoints/dense"
    ),
    docs: Annotated[Path, typer.Option(help="Folder for codes.md and codes.json.")] = Path("docs"),
) -> None:
    """Train what is missing, then write the page of all that is there."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    for dataset in reversed(DATASETS) if nmnist else DATASETS[:1]:
        run_dataset(dataset, out, nmnist, checkpoints / f"{dataset}.pt")
    records = [json.loads(path.read_text()) for path in sorted(out.glob("*-s[0-9].json"))]
    texts = {
        "codes.md": markdown(records, datetime.date.today().isoformat(), processor()),
        "codes.json": json.dumps(records, indent=1) + "\n",
    }
    for name, text in texts.items():
        with atomic_path(docs / name) as path:
            path.write_text(text)


def run_dataset(dataset: DatasetName, out: Path, nmnist: Path | None, encoder: Path) -> None:
    """Train and measure the hash layers of one data set."""
    checkpoint = load_checkpoint(encoder)
    config = Config(data=data_config(dataset, nmnist), encoder=checkpoint.config.encoder)
    data, sets = load_data(config)
    features = features_of(checkpoint, data, sets, out / f"{dataset}.npz")
    searched = Searched.of(data, sets)
    labels = torch.from_numpy(data.labels[sets.training])
    jobs = [job for job in planned(dataset) if not (out / f"{job.key}.json").exists()]
    for job in track(jobs, f"{dataset}: hash layers", len(jobs)):
        model = trained(job, checkpoint, features, labels)
        found = figures(job, searched, codes_of(model, features.plain), codes_of(model, features.copies))
        with atomic_path(out / f"{job.key}.json") as path:
            path.write_text(json.dumps(asdict(job) | {"figures": found}, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
