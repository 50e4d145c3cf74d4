"""Training of a network that maps frames to real-valued codes."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.archive import load_archive, save_archive
from training.classes import Classify, chosen
from training.codes import Encode
from training.config import TrainConfig
from training.data.frames import Dataset
from training.data.splits import Split
from training.sparsity.pruning import Pruning
from training.steps import descend, epoch, one_cycle, steps_per_epoch


def sign_encoder(network: nn.Module) -> Encode:
    """``network`` in evaluation mode as a function from frames to bits: 1 where its value is positive."""

    def encode(frames: Tensor) -> Tensor:
        with torch.no_grad():
            return (network.eval()(frames) > 0).to(torch.uint8)

    return encode


def value_classifier(network: nn.Module) -> Classify:
    """``network`` in evaluation mode as a function from frames to classes: that of the largest value."""

    def classify(frames: Tensor) -> NDArray[np.int64]:
        with torch.no_grad():
            return chosen(network.eval()(frames).numpy())

    return classify


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
    pruning: Pruning | None = None,
) -> None:
    """Train with AdamW and one cycle of the learning rate, as the encoder is trained: to the last epoch.

    Args:
        network: frames (B, T, 2, H, W) to values before the sign (B, K); it is trained in place.
        loss: these values, classes (B,) and the share of the training that is done to a scalar; what it learns is
            trained too.
        sets: which recordings of ``dataset`` are trained on.
        bfloat16: mixed precision in training; weights and evaluation stay float32.
        pruning: of the network's weights, if any.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    steps = steps_per_epoch(settings, sets)
    optimiser, schedule = one_cycle([*network.parameters(), *loss.parameters()], settings, sets, fused=True)
    network.train()

    def before(_: object) -> None:
        if pruning is not None:
            pruning.before_step()

    for done in range(settings.epochs):
        for step, (frames, labels) in enumerate(epoch(dataset, sets, settings, generator, before)):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                values = network(frames).float()
            descend(loss(values, labels, (done + step / steps) / settings.epochs), optimiser, schedule)
    if pruning is not None:
        pruning.apply()
    network.eval()


def load_fitting(network: nn.Module, path: Path) -> None:
    """Take over the weights in ``path`` that ``network`` has, in their shapes."""
    own = network.state_dict()
    saved = load_archive(path)
    fitting = {name: value for name, value in saved.items() if name in own and value.shape == own[name].shape}
    network.load_state_dict(own | fitting)


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights, whole or not at all."""
    save_archive(path, network.state_dict())
