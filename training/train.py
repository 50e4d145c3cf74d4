"""Train an encoder: ``python -m training.train --config FILE --out DIR``."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from spikinghash.cli import run
from spikinghash.errors import CheckpointError, ConfigError
from training.augment import random_shift
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.codes import batches, float_encoder, retrieval_figures
from training.config import Config, load_config
from training.curve import write_curve
from training.data.configured import load_data
from training.data.frames import Dataset
from training.data.splits import Split
from training.loss import HashLoss
from training.model.encoder import Spikinghash

LAST, BEST, METRICS, CURVE = "last.pt", "best.pt", "metrics.jsonl", "curve.png"
WARM_UP = 0.1
"""Share of all steps in which the learning rate rises."""


@dataclass
class Experiment:
    """Everything that one training moves."""

    config: Config
    device: torch.device
    dataset: Dataset
    sets: Split
    model: Spikinghash
    loss: HashLoss
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    history: list[dict[str, float]]

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.history)

    @property
    def steps_per_epoch(self) -> int:
        """A last batch that is not full is left out: its batch statistics would differ."""
        return steps_per_epoch(self.config, self.sets)


def steps_per_epoch(config: Config, sets: Split) -> int:
    """Full batches in the training set."""
    return max(1, len(sets.training) // config.train.batch_size)


def prepare(config: Config, device: torch.device) -> Experiment:
    """A fresh experiment, seeded."""
    settings = config.train
    random.seed(settings.seed)
    np.random.seed(settings.seed)
    torch.manual_seed(settings.seed)
    encoder = config.encoder
    dataset, sets = load_data(config)
    model = Spikinghash(encoder).to(device)
    loss = HashLoss(encoder.votes, settings.soft_weight, settings.balance_weight).to(device)
    parameters = [*model.parameters(), *loss.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, settings.epochs * steps_per_epoch(config, sets), pct_start=WARM_UP
    )
    return Experiment(config, device, dataset, sets, model, loss, optimiser, schedule, [])


def train_epoch(experiment: Experiment, progress: Progress, task: TaskID) -> float:
    """One pass over the training set; returns the mean loss.

    All randomness of an epoch follows from the seed and the epoch's number, so that a resumed training takes the
    same course as one that was never interrupted.
    """
    settings = experiment.config.train
    seed = int(np.random.SeedSequence((settings.seed, experiment.epoch)).generate_state(1)[0])
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(experiment.sets.training), generator=generator).numpy()
    shuffled = experiment.sets.training[order][: experiment.steps_per_epoch * settings.batch_size]
    experiment.model.train()
    total = 0.0
    for batch in batches(shuffled, settings.batch_size):
        frames = torch.from_numpy(experiment.dataset.frames[batch])
        frames = random_shift(frames, settings.max_shift, generator).to(experiment.device)
        labels = torch.from_numpy(experiment.dataset.labels[batch]).to(experiment.device)
        value = experiment.loss(experiment.model(frames), labels)
        experiment.optimiser.zero_grad(set_to_none=True)
        value.backward()
        experiment.optimiser.step()
        experiment.schedule.step()
        total += value.item()
        progress.update(task, advance=1, loss=value.item())
    return total / experiment.steps_per_epoch


def validate(experiment: Experiment) -> float:
    """Tie-aware mAP of the validation queries."""
    encode = float_encoder(experiment.model, experiment.device)
    figures = retrieval_figures(encode, experiment.dataset, experiment.sets.validation, experiment.sets.database)
    return figures.mean_average_precision


def checkpoint_of(experiment: Experiment) -> Checkpoint:
    """The present state, ready to be saved."""
    resume: dict[str, Any] = {
        "loss": experiment.loss.state_dict(),
        "optimiser": experiment.optimiser.state_dict(),
        "schedule": experiment.schedule.state_dict(),
        "history": experiment.history,
    }
    return Checkpoint(
        experiment.config, experiment.model.state_dict(), experiment.epoch, experiment.history[-1], resume
    )


def restore(experiment: Experiment, path: Path) -> None:
    """Continue from the checkpoint ``path``, if there is one.

    Raises:
        ConfigError: it comes from another config.
    """
    if not path.exists():
        return
    saved = load_checkpoint(path)
    if saved.config != experiment.config:
        raise ConfigError(f"{path}: it was trained with another config: use another --out, or delete it to start anew")
    if saved.resume is None:
        raise CheckpointError(f"{path}: a published checkpoint cannot be resumed: use another --out")
    experiment.model.load_state_dict(saved.weights)
    experiment.loss.load_state_dict(saved.resume["loss"])
    experiment.optimiser.load_state_dict(saved.resume["optimiser"])
    experiment.schedule.load_state_dict(saved.resume["schedule"])
    experiment.history.extend(saved.resume["history"])


def train(config: Config, out: Path, device: torch.device) -> Experiment:
    """Train to the last epoch, or go on with what ``out`` holds; checkpoints, metrics and curve are written there."""
    experiment = prepare(config, device)
    restore(experiment, out / LAST)
    best = max((record["validation_map"] for record in experiment.history), default=-1.0)
    columns = (
        TextColumn("epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  validation mAP {task.fields[map]:.3f}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        steps = experiment.steps_per_epoch
        shown: dict[str, Any] = {
            "epoch": f"{experiment.epoch}/{config.train.epochs}",
            "loss": float("nan"),
            "map": best,
        }
        task = progress.add_task("", total=steps * config.train.epochs, completed=steps * experiment.epoch, **shown)
        while experiment.epoch < config.train.epochs:
            loss = train_epoch(experiment, progress, task)
            score = validate(experiment)
            experiment.history.append({"epoch": experiment.epoch + 1, "loss": loss, "validation_map": score})
            progress.update(task, epoch=f"{experiment.epoch}/{config.train.epochs}", map=score)
            best = _keep(experiment, out, score, best)
    return experiment


def _keep(experiment: Experiment, out: Path, score: float, best: float) -> float:
    """Save the epoch's results; returns the best validation score so far."""
    checkpoint = checkpoint_of(experiment)
    if score > best:
        save_checkpoint(
            out / BEST, Checkpoint(checkpoint.config, checkpoint.weights, checkpoint.epoch, checkpoint.metrics)
        )
    save_checkpoint(out / LAST, checkpoint)
    (out / METRICS).write_text("".join(json.dumps(record) + "\n" for record in experiment.history))
    write_curve(out / CURVE, experiment.history)
    return max(score, best)


def main(
    config: Annotated[Path, typer.Option(help="TOML file of the experiment.")],
    out: Annotated[Path, typer.Option(help="Folder for what is written; a run that it holds is resumed.")],
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
) -> None:
    """Train an encoder, or resume an interrupted training."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"--device {device}: this torch sees no CUDA device: use --device cpu")
    experiment = train(load_config(config), out, torch.device(device))
    best = max(experiment.history, key=lambda record: record["validation_map"])
    found = f"best epoch {best['epoch']:.0f}: validation mAP {best['validation_map']:.4f}"
    print(f"{found}; wrote {out / BEST} and {out / CURVE}")


if __name__ == "__main__":
    run(main)
