"""Training of a network that maps frames to real-valued codes."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from spikinghash.files import atomic_path
from training.augment import augment
from training.codes import Encode, batches, retrieval_figures
from training.config import TrainConfig
from training.data.frames import Dataset
from training.data.splits import Split


class CodeLoss(Protocol):
    """An objective of deep hashing."""

    def __call__(self, values: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Values before the sign (B, K), classes (B,), share of the training that is done: a scalar."""


@dataclass(frozen=True)
class Fit:
    """What one training came to."""

    network: nn.Module
    """With the weights of its best epoch."""
    validation: list[float]
    """Tie-aware mAP of the validation queries after each epoch."""


def sign_encoder(network: nn.Module) -> Encode:
    """``network`` in evaluation mode as a function from frames to bits: 1 where its value is positive."""

    def encode(frames: Tensor) -> Tensor:
        with torch.no_grad():
            return (network.eval()(frames) > 0).to(torch.uint8)

    return encode


def fit(network: nn.Module, loss: CodeLoss, dataset: Dataset, sets: Split, settings: TrainConfig) -> Fit:
    """Train with AdamW and one cycle of the learning rate, as the encoder is trained; the best epoch is kept."""
    generator = torch.Generator().manual_seed(settings.seed)
    steps = max(1, len(sets.training) // settings.batch_size)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, settings.epochs * steps, pct_start=0.1
    )
    best, scores = copy.deepcopy(network.state_dict()), list[float]()
    for epoch in range(settings.epochs):
        network.train()
        order = torch.randperm(len(sets.training), generator=generator).numpy()[: steps * settings.batch_size]
        for step, batch in enumerate(batches(sets.training[order], settings.batch_size)):
            frames = augment(torch.from_numpy(dataset.frames[batch]), settings, generator)
            values = network(frames)
            value = loss(values, torch.from_numpy(dataset.labels[batch]), (epoch + step / steps) / settings.epochs)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            optimiser.step()
            schedule.step()
        figures = retrieval_figures(sign_encoder(network), dataset, sets.validation, sets.database)
        if figures.mean_average_precision > max(scores, default=-1.0):
            best = copy.deepcopy(network.state_dict())
        scores.append(figures.mean_average_precision)
    network.load_state_dict(best)
    return Fit(network.eval(), scores)


def load_fitting(network: nn.Module, path: Path) -> None:
    """Take over the weights in ``path``, but those whose shapes differ."""
    own = network.state_dict()
    saved = torch.load(path, weights_only=True)
    network.load_state_dict(own | {name: value for name, value in saved.items() if value.shape == own[name].shape})


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights, whole or not at all."""
    with atomic_path(path) as temporary:
        torch.save(network.state_dict(), temporary)


def activation_sparsity(
    network: nn.Module, activations: tuple[type[nn.Module], ...], frames: Tensor
) -> dict[str, float]:
    """Share of zeros that each module of the kinds ``activations`` puts out on ``frames``, by the module's name."""
    zeros: dict[str, float] = {}

    def watch(name: str) -> None:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            zeros[name] = float(np.mean((output == 0).numpy()))

        handles.append(network.get_submodule(name).register_forward_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    for name, module in network.named_modules():
        if isinstance(module, activations):
            watch(name)
    with torch.no_grad():
        network.eval()(frames)
    for handle in handles:
        handle.remove()
    return zeros
