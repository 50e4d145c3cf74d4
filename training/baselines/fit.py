"""Training of a network that maps frames to real-valued codes."""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from spikinghash.files import atomic_path
from training.augment import augment
from training.codes import Encode, batches, retrieval_figures
from training.config import TrainConfig
from training.data.frames import Dataset
from training.data.splits import Split


@dataclass(frozen=True)
class Fit:
    """What one training came to."""

    network: nn.Module
    """With the weights of its best epoch."""
    validation: list[float]
    """Tie-aware mAP of the validation queries after each epoch, on grids also before the first."""


def sign_encoder(network: nn.Module) -> Encode:
    """``network`` in evaluation mode as a function from frames to bits: 1 where its value is positive."""

    def encode(frames: Tensor) -> Tensor:
        with torch.no_grad():
            return (network.eval()(frames) > 0).to(torch.uint8)

    return encode


def has_amx() -> bool:
    """Whether the processor multiplies bfloat16 matrices in tiles, at several times the rate of float32."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def fit(
    network: nn.Module,
    loss: nn.Module,
    dataset: Dataset,
    sets: Split,
    settings: TrainConfig,
    *,
    bfloat16: bool = False,
) -> Fit:
    """Train with AdamW and one cycle of the learning rate, as the encoder is trained; the best epoch is kept.

    Args:
        network: frames (B, T, 2, H, W) to values before the sign (B, K); it is trained in place.
        loss: these values, classes (B,) and the share of the training that is done to a scalar; what it learns is
            trained too.
        dataset: the frames and classes.
        sets: which of them are trained on, and which are searched and queried to tell the best epoch.
        settings: epochs, learning rate and so on. A fine-tuning on grids (``quantise``) may do worse than rounding
            alone, so its start counts as an epoch.
        bfloat16: mixed precision in training; weights and evaluation stay float32.
    """

    def score() -> float:
        return retrieval_figures(sign_encoder(network), dataset, sets.validation, sets.database).mean_average_precision

    generator = torch.Generator().manual_seed(settings.seed)
    steps = max(1, len(sets.training) // settings.batch_size)
    parameters = [*network.parameters(), *loss.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, settings.epochs * steps, pct_start=0.1
    )
    best, scores = copy.deepcopy(network.state_dict()), [score()] if settings.quantise else []
    for epoch in range(settings.epochs):
        network.train()
        order = torch.randperm(len(sets.training), generator=generator).numpy()[: steps * settings.batch_size]
        for step, batch in enumerate(batches(sets.training[order], settings.batch_size)):
            frames = augment(torch.from_numpy(dataset.frames[batch]), settings, generator)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                values = network(frames).float()
            value = loss(values, torch.from_numpy(dataset.labels[batch]), (epoch + step / steps) / settings.epochs)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            optimiser.step()
            schedule.step()
        scores.append(score())
        if scores[-1] > max(scores[:-1], default=-1.0):
            best = copy.deepcopy(network.state_dict())
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
