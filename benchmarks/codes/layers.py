"""A hash layer on the features of a trained encoder: what it sees, how it learns, and how it comes to the grids."""

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.codes.plan import COMMITTED, RECIPES, Job
from spikinghash.arrays import read_archive
from spikinghash.files import atomic_path
from training.augment import augment
from training.checkpoint import Checkpoint
from training.codes import Codes, batches
from training.config import TrainConfig
from training.data.frames import Dataset
from training.data.splits import Indices, Split
from training.data.views import frame_views
from training.loss import HashLoss
from training.model.encoder import HashLayer, Spikinghash
from training.model.maps import streams
from training.quantised import choose_grids, fold, put_on_grids
from training.start import take_in

VIEWS = 4
"""Of each training recording, changed at random, that a hash layer learns from."""
RECORDINGS, RATE = 20, 3e-3
"""Of a training: recordings in each step, in two views, and the largest learning rate."""


@dataclass(frozen=True)
class Features:
    """Mean spikes of the channels of the last stage, (T, rows, C)."""

    plain: Tensor
    """Of all recordings of the data set that is searched, in their order."""
    copies: Tensor
    """Of a copy of each query: validation, then test."""
    views: Tensor
    """Of the training recordings, a set for each view: (VIEWS, T, rows, C)."""


def features_of(checkpoint: Checkpoint, dataset: Dataset, sets: Split, kept: Path) -> Features:
    """What the hash layer of ``checkpoint`` sees; from the file ``kept`` where that was written before."""
    pixels = checkpoint.config.encoder.stage_sizes[-1] ** 2
    if not kept.exists():
        generator = torch.Generator().manual_seed(5)
        model, settings = checkpoint.model(), checkpoint.config.train
        queries = np.concatenate([sets.validation, sets.test])
        copies = frame_views(dataset.frames[queries], np.random.default_rng(0))
        searched = np.sort(np.concatenate([sets.database, queries]))
        parts = {"plain": _pooled(model, dataset.frames[searched]), "copies": _pooled(model, copies)}
        for view in range(VIEWS):
            changed = [_changed(dataset, rows, settings, generator) for rows in batches(sets.training, 100)]
            parts[f"view{view}"] = _pooled(model, np.concatenate(changed))
        with atomic_path(kept) as path:
            counts = {name: np.rint(pixels * part).astype(np.uint8) for name, part in parts.items()}
            np.savez(path, allow_pickle=False, **counts)
    read = {name: torch.from_numpy(part) / pixels for name, part in read_archive(kept).items()}
    return Features(read["plain"], read["copies"], torch.stack([read[f"view{view}"] for view in range(VIEWS)]))


def _changed(dataset: Dataset, rows: Indices, settings: TrainConfig, generator: torch.Generator) -> NDArray[np.uint8]:
    frames = augment(torch.from_numpy(dataset.frames[rows]), settings, generator, dataset.sensor, dataset.crop)
    return frames.numpy()


@torch.no_grad()
def _pooled(model: Spikinghash, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    parts = []
    for rows in batches(np.arange(len(frames)), 100):
        maps = torch.from_numpy(frames[rows]).permute(1, 0, 3, 4, 2).float()
        parts.append(model.head.pooled(model.stages(maps.contiguous().movedim(-1, 2))).numpy())
    return np.concatenate(parts, axis=1)


def trained(job: Job, checkpoint: Checkpoint, features: Features, labels: Tensor) -> Spikinghash:
    """The encoder of ``checkpoint`` with a hash layer trained further, or anew where ``job`` asks for other bits.

    Or as it is committed.

    Args:
        labels: classes of the training recordings, (rows,).

    Returns:
        A network on the grids of its deployment.
    """
    torch.manual_seed(job.seed)
    sizes = checkpoint.config.encoder.model_copy(update={"bits": job.bits, "vote": job.vote})
    if job.recipe == COMMITTED:
        return replace(checkpoint, config=checkpoint.config.model_copy(update={"encoder": sizes})).model()
    model = Spikinghash(sizes)
    own = model.state_dict()
    model.load_state_dict(
        own | {name: each for name, each in checkpoint.weights.items() if each.shape == own[name].shape}
    )
    if job.bits == checkpoint.config.encoder.bits:
        unfold(model.head, features.views[0])
    learn(model, job, features, labels)
    on_grids(model, checkpoint)
    return model


@torch.no_grad()
def unfold(layer: HashLayer, seen: Tensor) -> None:
    """As ``training.start.unfold``, a hash layer alone: a norm that can be trained, with what it has ``seen`` in it."""
    variance, mean = torch.var_mean(layer.linear(seen).flatten(0, 1), 0, correction=0)
    take_in(layer.norm, mean, variance)


def learn(model: Spikinghash, job: Job, features: Features, labels: Tensor) -> None:
    """Train the hash layer of ``model`` alone."""
    layer, settings, generator = model.head.train(), TrainConfig(), np.random.default_rng(job.seed)
    loss = HashLoss(job.vote, settings.soft_weight, settings.balance_weight, within=RECIPES[job.recipe])
    parameters = [*layer.parameters(), *loss.parameters()]
    optimiser = torch.optim.AdamW(parameters, RATE, weight_decay=settings.weight_decay)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, job.steps, pct_start=0.1)
    for _ in range(job.steps):
        rows = generator.choice(len(labels), RECORDINGS, replace=False)
        views = generator.permuted(np.tile(np.arange(VIEWS), (RECORDINGS, 1)), axis=1)[:, :2].T.ravel()
        seen = features.views[views, :, np.tile(rows, 2)].transpose(0, 1)
        value = loss(layer.answer(seen), labels[rows].repeat(2))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        cycle.step()


def on_grids(model: Spikinghash, checkpoint: Checkpoint) -> None:
    """Put ``model`` on the grids of ``checkpoint``, whose stages it has, and its hash layer on one of its own."""
    assert checkpoint.grids is not None
    *stages, (own,) = streams(model)
    for member in chain.from_iterable(stages):
        if member.norm is not None:
            member.norm.eps = 0.0  # folded before; a file of weights does not tell
    fold(model)
    put_on_grids(model, checkpoint.grids | {own.name: choose_grids(model)[own.name]})


@torch.no_grad()
def codes_of(model: Spikinghash, pooled: Tensor) -> Codes:
    """Packed codes (rows, K/8) of features (T, rows, C)."""
    bits = model.head.eval().answer(pooled).spikes.sum(0) >= model.config.votes
    return np.packbits(bits.numpy(), axis=1)
