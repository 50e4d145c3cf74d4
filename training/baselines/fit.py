"""Training of a network that maps frames to real-valued codes."""

from pathlib import Path

import torch
from torch import Tensor, nn

from spikinghash.files import atomic_path
from training.augment import augment
from training.codes import Encode, batches
from training.config import TrainConfig
from training.data.frames import Dataset
from training.data.splits import Split
from training.sparsity.pruning import Pruning


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
    steps = max(1, len(sets.training) // settings.batch_size)
    parameters = [*network.parameters(), *loss.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, settings.epochs * steps, pct_start=0.1
    )
    network.train()
    for epoch in range(settings.epochs):
        order = torch.randperm(len(sets.training), generator=generator).numpy()[: steps * settings.batch_size]
        for step, batch in enumerate(batches(sets.training[order], settings.batch_size)):
            if pruning is not None:
                pruning.before_step()
            frames = augment(torch.from_numpy(dataset.frames[batch]), settings, generator)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                values = network(frames).float()
            value = loss(values, torch.from_numpy(dataset.labels[batch]), (epoch + step / steps) / settings.epochs)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            optimiser.step()
            schedule.step()
    if pruning is not None:
        pruning.apply()
    network.eval()


def load_fitting(network: nn.Module, path: Path) -> None:
    """Take over the weights in ``path`` that ``network`` has, in their shapes."""
    own = network.state_dict()
    saved = torch.load(path, weights_only=True)
    fitting = {name: value for name, value in saved.items() if name in own and value.shape == own[name].shape}
    network.load_state_dict(own | fitting)


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights, whole or not at all."""
    with atomic_path(path) as temporary:
        torch.save(network.state_dict(), temporary)
