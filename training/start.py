"""Where a training begins: the weights of another one, fitted to other time steps and levels."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from spikinghash.errors import CheckpointError
from training.checkpoint import Checkpoint, load_checkpoint
from training.config import EncoderConfig
from training.loss import HashLoss
from training.model.encoder import Spikinghash
from training.model.plain import PlainEncoder

Norm = nn.BatchNorm1d | nn.BatchNorm2d
EPSILON = 1e-5
"""Of a batch normalisation, as torch has it."""
DETAILS = 7
"""Subbands of one level of the Haar transform in space and time, the approximation apart."""


def start_from(model: Spikinghash, loss: nn.Module, path: Path) -> Checkpoint:
    """Take over the weights of the checkpoint ``path``, but those whose shapes differ, and what its loss had learned.

    Time steps may differ. A WaveMixer of fewer levels gets the fusions of the finer subbands, see ``fewer_levels``.

    Raises:
        CheckpointError: the file cannot be used, or none of its weights fits.
    """
    own = model.state_dict()
    saved = load_checkpoint(path)
    weights = fewer_levels(saved.weights, saved.config.encoder, model.config)
    fitting = {name: value for name, value in weights.items() if name in own and value.shape == own[name].shape}
    if not any(name.startswith("stages") for name in fitting):
        raise CheckpointError(f"{path}: no weight of it fits the encoder of this config: use a checkpoint of its sizes")
    model.load_state_dict(own | fitting)
    if isinstance(loss, HashLoss):
        try:
            loss.similarity.take_over(saved.metrics)
        except ValueError:
            raise CheckpointError(f"{path}: alpha is {saved.metrics['alpha']}: a positive number is needed") from None
    return saved


def fewer_levels(weights: dict[str, Tensor], saved: EncoderConfig, config: EncoderConfig) -> dict[str, Tensor]:
    """``weights`` with the fusions of coarse subbands merged where ``config`` has fewer levels than ``saved``.

    What was the approximation of a level and its details becomes the approximation of the next finer one, with the mean
    of the approximation's fusion and of the mean of the details'.
    """
    result = dict(weights)
    if not saved.wavelet == config.wavelet == "space-time" or saved.blocks != config.blocks:
        return result
    for stage, (before, after) in enumerate(zip(saved.levels, config.levels, strict=False)):
        for block in range(saved.blocks[stage]):
            name = f"stages.{stage}.blocks.{block}.mixer.mixer.fusion"
            for _ in range(before - after if name in result else 0):
                fusion = result[name]
                merged = (fusion[0] + fusion[1 : DETAILS + 1].mean(0)) / 2
                result[name] = torch.cat([merged[None], fusion[DETAILS + 1 :]])
    return result


@torch.no_grad()
def unfold(model: Spikinghash, frames: Tensor) -> None:
    """Give a folded ``model`` batch normalisations that can be trained: the inverse of ``training.quantised.fold``.

    Their statistics become those of ``frames`` (B, T, 2, H, W), their scale and bias undo them: in evaluation mode the
    network computes the same as before, up to rounding errors, and in training mode nearly so.
    """
    norms = batch_norms(model)
    for norm in norms.values():
        norm.eps = 0.0  # as ``fold`` left it; a file of weights does not tell
    statistics = input_statistics(model.eval(), frames)
    for name, norm in norms.items():
        take_in(norm, *statistics[name])


@torch.no_grad()
def take_in(norm: Norm, mean: Tensor, variance: Tensor) -> None:
    """Give a folded ``norm`` the statistics of what it sees, which its scale and bias undo."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.eps = EPSILON
    norm.weight.mul_(torch.sqrt(variance + EPSILON)).requires_grad_(True)
    norm.bias.add_(mean)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


def batch_norms(model: nn.Module) -> dict[str, Norm]:
    """All batch normalisations by name."""
    return {
        name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    }


def input_statistics(model: Spikinghash, frames: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and variance by channel of what enters each batch normalisation, for ``frames`` (B, T, 2, H, W)."""
    plain = PlainEncoder(model)  # here every layer is called
    statistics: dict[str, tuple[Tensor, Tensor]] = {}

    def enter(name: str, _: nn.Module, inputs: tuple[Tensor]) -> None:
        by_channel = inputs[0].transpose(0, 1).flatten(1)
        statistics[name] = by_channel.mean(1), by_channel.var(1, correction=0)

    for name, norm in batch_norms(plain.encoder).items():
        norm.register_forward_pre_hook(partial(enter, name))
    plain(frames)
    return statistics
