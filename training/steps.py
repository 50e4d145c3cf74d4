"""What the trainings of encoders and of their baselines share: batches in random order, and steps of one cycle."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.augment import augment
from training.codes import batches
from training.config import TrainConfig
from training.data.frames import Dataset
from training.data.splits import Split

WARM_UP = 0.1
"""Share of all steps in which the learning rate rises."""
Optimiser = torch.optim.Optimizer
Schedule = torch.optim.lr_scheduler.LRScheduler


def steps_per_epoch(settings: TrainConfig, sets: Split) -> int:
    """Full batches in the training set. A last one that is not full is left out: its batch statistics would differ."""
    return max(1, len(sets.training) // settings.recordings)


def epoch(
    dataset: Dataset,
    sets: Split,
    settings: TrainConfig,
    generator: torch.Generator,
    before: Callable[[NDArray[np.int64]], object],
) -> Iterator[tuple[Tensor, Tensor]]:
    """One pass over the training set: augmented frames (B, T, 2, H, W) and classes (B,) of each full batch.

    Where recordings come in two views, the second half of a batch shows those of the first half again, in their order.

    Args:
        generator: of the order, and then of each batch's augmentation.
        before: called with the recordings of a batch before it is augmented.
    """
    order = torch.randperm(len(sets.training), generator=generator).numpy()
    taken = sets.training[order][: steps_per_epoch(settings, sets) * settings.recordings]
    for recordings in batches(taken, settings.recordings):
        batch = np.tile(recordings, settings.views)
        before(batch)
        frames = torch.from_numpy(dataset.frames[batch])
        frames = augment(frames, settings, generator, dataset.sensor, dataset.crop)
        yield frames, torch.from_numpy(dataset.labels[batch])


def one_cycle(
    parameters: Iterable[nn.Parameter], settings: TrainConfig, sets: Split, fused: bool | None = None
) -> tuple[Optimiser, Schedule]:
    """AdamW, and one cycle of its learning rate over all steps."""
    optimiser = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=fused
    )
    steps = settings.epochs * steps_per_epoch(settings, sets)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, steps, pct_start=WARM_UP)
    return optimiser, cycle


def descend(loss: Tensor, optimiser: Optimiser, schedule: Schedule) -> None:
    """One step down the gradient of ``loss``."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    schedule.step()
