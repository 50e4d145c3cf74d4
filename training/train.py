"""Train an encoder: ``python -m training.train --config FILE --out DIR``."""

if __name__ == "__main__":  # before torch is imported, which may be missing
    from spikinghash.cli import run

    run("training.train")


import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from spikinghash.cli import SKIPPED
from spikinghash.errors import CheckpointError, ConfigError, in_one_line
from spikinghash.files import atomic_path
from spikinghash.progress import shown as shown_progress
from spikinghash.resources import CONFIGS, named
from training import tells
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.classes import ClassLoss, accuracy, float_classifier
from training.codes import float_encoder, retrieval_figures
from training.config import Config, TrainConfig, load_config
from training.data.configured import facts_of, load_data
from training.data.facts import DataFacts
from training.data.frames import Dataset
from training.data.splits import Split
from training.figures import write_curve
from training.loss import HashLoss, Within
from training.model.encoder import Spikinghash
from training.quantised import choose_grids, fold, plain_weights, put_on_grids
from training.sparsity.economy import Economy
from training.start import start_from, unfold
from training.steps import Optimiser, Schedule, descend, epoch, one_cycle, steps_per_epoch

LAST, METRICS, CURVE = "last.pt", "metrics.jsonl", "curve.png"
STATES = ("model", "loss", "economy", "optimiser", "schedule")
"""What of an experiment a resumed training takes over."""
UNFOLDED = 160
"""Training recordings, about, from whose statistics a network on grids gets batch normalisations anew."""
VALIDATED = 5
"""Epochs from one search with the validation queries to the next: each encodes the whole database."""


@dataclass
class Experiment:
    """Everything that one training moves."""

    config: Config
    device: torch.device
    dataset: Dataset
    sets: Split
    model: Spikinghash
    loss: HashLoss | ClassLoss
    optimiser: Optimiser
    schedule: Schedule
    economy: Economy
    history: list[dict[str, float]]
    facts: DataFacts

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.history)


def prepare(config: Config, device: torch.device) -> Experiment:
    """A fresh experiment, seeded."""
    settings = config.train
    random.seed(settings.seed)
    np.random.seed(settings.seed)
    torch.manual_seed(settings.seed)
    encoder = config.encoder
    dataset, sets = load_data(config)
    facts = facts_of(config.data, dataset, sets)
    model = Spikinghash(encoder)
    loss = objective(config, dataset)
    saved = None if settings.start is None else start_from(model, loss, settings.start)
    if settings.quantise:
        quantise(model, settings, config.sparsity.weight_bits)
    elif saved is not None and saved.grids is not None:
        unfold(model, torch.from_numpy(dataset.frames[sets.training[:: max(1, len(sets.training) // UNFOLDED)]]))
    loss.to(device)
    model.to(device)
    economy = Economy(config, model, dataset, sets, settings.epochs * steps_per_epoch(settings, sets))
    optimiser, schedule = one_cycle([*model.parameters(), *loss.parameters()], settings, sets)
    return Experiment(config, device, dataset, sets, model, loss, optimiser, schedule, economy, [], facts)


def objective(config: Config, dataset: Dataset) -> HashLoss | ClassLoss:
    """The loss that the config's head asks for.

    Raises:
        ConfigError: a classification head has fewer outputs than the data set has classes.
    """
    settings, encoder = config.train, config.encoder
    if encoder.head == "hash":
        within = Within(settings.class_similarity, settings.instance, settings.decorrelate)
        return HashLoss(encoder.votes, settings.soft_weight, settings.balance_weight, settings.labels, within)
    needed = int(dataset.labels.max()) + 1
    if encoder.bits < needed:
        raise ConfigError(f"encoder.bits is {encoder.bits}, the data set has {needed} classes: use one bit per class")
    return ClassLoss()


def quantise(model: Spikinghash, settings: TrainConfig, weight_bits: int) -> None:
    """Make ``model`` compute on the grids of its deployment.

    Raises:
        ConfigError: there is no trained network to choose the grids from.
    """
    if settings.start is None:
        raise ConfigError("train.quantise is true, but train.start names no checkpoint: train without it first")
    fold(model)
    put_on_grids(model, choose_grids(model), weight_bits)


def train_epoch(experiment: Experiment, progress: Progress, task: TaskID) -> float:
    """One pass over the training set; returns the mean loss.

    All randomness of an epoch follows from the seed and the epoch's number, so that a resumed training takes the
    same course as one that was never interrupted.
    """
    settings, economy = experiment.config.train, experiment.economy
    seed = int(np.random.SeedSequence((settings.seed, experiment.epoch)).generate_state(1)[0])
    generator = torch.Generator().manual_seed(seed)
    experiment.model.train(not settings.quantise)  # folded norms are constants
    values = []
    for frames, labels in epoch(experiment.dataset, experiment.sets, settings, generator, economy.before_step):
        output = experiment.model(frames.to(experiment.device))
        value = experiment.loss(output, labels.to(experiment.device)) + economy.loss(output)
        descend(value, experiment.optimiser, experiment.schedule)
        values.append(value.item())
        progress.update(task, advance=1, loss=values[-1], spent=economy.spent)
    return sum(values) / len(values)


def validate(experiment: Experiment) -> float:
    """Tie-aware mAP of the validation queries, or the accuracy of a classification head."""
    if experiment.config.encoder.head == "classes":
        classify = float_classifier(experiment.model, experiment.device)
        return accuracy(classify, experiment.dataset, experiment.sets.validation)
    encode = float_encoder(experiment.model, experiment.device)
    figures = retrieval_figures(encode, experiment.dataset, experiment.sets.validation, experiment.sets.database)
    return figures.mean_average_precision


def tested(experiment: Experiment) -> str:
    """The figure of the float network on the test queries, in words."""
    dataset, sets = experiment.dataset, experiment.sets
    if experiment.config.encoder.head == "classes":
        classify = float_classifier(experiment.model, experiment.device)
        return f"test accuracy {accuracy(classify, dataset, sets.test):.4f}"
    encode = float_encoder(experiment.model, experiment.device)
    figures = retrieval_figures(encode, dataset, sets.test, sets.database)
    by_class = ", ".join(f"{dataset.name(label)} {value:.2f}" for label, value in figures.by_class.items())
    return f"test mAP {figures.mean_average_precision:.4f} (chance {figures.chance:.4f}; {by_class})"


def score_names(config: Config) -> tuple[str, str]:
    """What ``validate`` gives: its name in metrics and to the reader."""
    if config.encoder.head == "classes":
        return "validation_accuracy", "validation accuracy"
    return "validation_map", "validation mAP"


def checkpoint_of(experiment: Experiment) -> Checkpoint:
    """The present state, ready to be saved."""
    resume: dict[str, Any] = {name: getattr(experiment, name).state_dict() for name in STATES}
    resume["history"] = experiment.history
    model, metrics = experiment.model, dict(experiment.history[-1])
    if isinstance(experiment.loss, HashLoss):
        metrics |= experiment.loss.similarity.learned()
    classes = experiment.facts.classes if experiment.config.encoder.head == "classes" else ()
    about = model.grids, classes, experiment.facts
    return Checkpoint(experiment.config, plain_weights(model), experiment.epoch, metrics, resume, *about)


def restore(experiment: Experiment, path: Path) -> None:
    """Continue from the checkpoint ``path``, if there is one.

    Raises:
        ConfigError: it comes from another config.
        CheckpointError: it cannot be resumed.
    """
    if not path.exists():
        return
    saved = load_checkpoint(path)
    if saved.config != experiment.config:
        raise ConfigError(f"{path}: it was trained with another config: use another --out, or delete it to start anew")
    if saved.resume is None:
        raise CheckpointError(f"{path}: a published checkpoint cannot be resumed: use another --out")
    try:
        for name in STATES:
            getattr(experiment, name).load_state_dict(saved.resume[name])
        experiment.history.extend(dict(record) for record in saved.resume["history"])
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:  # each part raises its own
        what = in_one_line(error)
        raise CheckpointError(f"{path}: its training cannot be resumed ({what}): use another --out") from None


def train(config: Config, out: Path, device: torch.device) -> Experiment:
    """Train to the last epoch, or go on with what ``out`` holds; checkpoint, metrics and curve are written there.

    The last epoch's network is the result, at the end of the learning rate's cycle. Validation queries are too few to
    choose an earlier one: the epoch that suits them best is a lucky one, and does worse on other queries.
    """
    experiment = prepare(config, device)
    restore(experiment, out / LAST)
    return finish(experiment, out)


def finish(experiment: Experiment, out: Path) -> Experiment:
    """Train to the last epoch; without a terminal, a line per epoch tells of it."""
    if experiment.history:  # a process that was killed may have left the checkpoint alone
        _show(experiment, out)
    config = experiment.config
    score_key, score_name = score_names(config)
    columns = (
        TextColumn("epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn(f"loss {{task.fields[loss]:.3f}}  {score_name} {{task.fields[score]:.3f}}{{task.fields[spent]}}"),
    )  # fmt: skip
    with shown_progress(*columns, transient=False) as progress:
        steps, epochs = steps_per_epoch(config.train, experiment.sets), config.train.epochs
        shown: dict[str, Any] = {"epoch": f"{experiment.epoch}/{epochs}", "loss": float("nan"), "score": float("nan")}
        shown["spent"] = ""
        task = progress.add_task("", total=steps * epochs, completed=steps * experiment.epoch, **shown)
        while experiment.epoch < epochs:
            record = {"epoch": experiment.epoch + 1, "loss": train_epoch(experiment, progress, task)}
            record |= experiment.economy.end_epoch()
            if record["epoch"] % VALIDATED == 0 or record["epoch"] == epochs:
                record[score_key] = validate(experiment)
                record |= experiment.economy.measure(experiment.model, experiment.dataset, experiment.sets.validation)
                progress.update(task, score=record[score_key])
            experiment.history.append(record)
            if progress.disable:
                scored = f"  {score_name} {record[score_key]:.3f}" if score_key in record else ""
                progress.console.print(f"epoch {experiment.epoch}/{epochs}  loss {record['loss']:.3f}{scored}")
            progress.update(task, epoch=f"{experiment.epoch}/{epochs}")
            _save(experiment, out)
    return experiment


def _save(experiment: Experiment, out: Path) -> None:
    save_checkpoint(out / LAST, checkpoint_of(experiment))
    _show(experiment, out)


def _show(experiment: Experiment, out: Path) -> None:
    with atomic_path(out / METRICS) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in experiment.history))
    write_curve(out / CURVE, experiment.history, *score_names(experiment.config))


def device_named(device: str) -> torch.device:
    """The device ``cpu``, ``cuda``, or, for ``auto``, the better one of this machine.

    Raises:
        ConfigError: it has none of that name.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"--device {device}: this torch sees no CUDA device: use --device cpu")
    return torch.device(device)


def main(
    config: Annotated[Path, typer.Option(help="TOML file of the experiment, or a name as digits or nmnist.")],
    out: Annotated[Path, typer.Option(help="Folder for what is written; a run that it holds is resumed.")],
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
) -> None:
    """Train an encoder, or resume an interrupted training."""
    experiment = prepare(load_config(named(config, CONFIGS, ".toml")), device_named(device))
    restore(experiment, out / LAST)
    dataset = experiment.dataset
    for line in tells.before(experiment.config, dataset, experiment.sets, experiment.facts):
        print(line, flush=True)
    finish(experiment, out)
    key, name = score_names(experiment.config)
    print(f"{name} {experiment.history[-1][key]:.4f}; wrote {out / LAST} and {out / CURVE}")
    print(tested(experiment))
    for line in tells.after(out / LAST, experiment.config.data.root):
        print(line)
    if dataset.skipped:
        print(f"{len(dataset.skipped)} skipped", file=sys.stderr)
        raise typer.Exit(SKIPPED)
