"""A training step against the plain route, part by part: ``python -m benchmarks.training``.

The plain route is Norse's cell in a loop, ptwt's transforms, and torch's own memory layout. Both routes alternate in
one run; figures are medians, ratios compare within this run only. ``training/__init__.py`` sets how long the threads of
OpenMP spin, which costs the plain route up to a tenth; GOMP_SPINCOUNT=300000 in the environment is their default.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.timing import medians
from spikinghash.cli import run
from training.config import EncoderConfig, TrainConfig
from training.loss import HashLoss
from training.model.encoder import Spikinghash
from training.model.layers import ConvNorm
from training.model.lif import lif
from training.model.plain import PlainEncoder, PlainLif
from training.model.wave_mixer import WaveMixer

Step = Callable[[], object]


def forward_and_backward(function: Callable[[Tensor], Tensor], signal: Tensor, parameters: Sequence[Tensor]) -> Step:
    """A call that computes ``function`` and the gradients of its input and ``parameters``."""
    outer = torch.randn_like(function(signal))
    return lambda: torch.autograd.grad(function(signal), [signal, *parameters], outer)


def channels_last(signal: Tensor) -> Tensor:
    """The same (T, B, C, H, W) with channels last in memory."""
    return signal.detach().movedim(2, -1).contiguous().movedim(-1, 2).requires_grad_()


def parts(batch: int) -> dict[str, tuple[Step, Step]]:
    """Plain and fast version of each kind of layer, in the sizes of the first stage."""
    config = EncoderConfig()
    steps, channels, side = config.time_steps, config.channels[0], config.stage_sizes[0]
    current = torch.randn(steps, batch, channels * config.mlp_ratio, side, side, requires_grad=True)
    spikes = (torch.rand(steps, batch, channels, side, side) < 0.2).float().requires_grad_()
    mixer = WaveMixer(channels, config.levels[0], config.channels_per_group)
    expand = ConvNorm(channels, channels * config.mlp_ratio, kernel=1)
    weights = list(expand.parameters())
    plain_mixer: Callable[[Tensor], Tensor] = mixer.forward_transform
    return {
        "LIF: Norse's cell in a loop": (
            forward_and_backward(PlainLif(), current, []),
            forward_and_backward(lif, channels_last(current), []),
        ),
        "WaveMixer: ptwt's transforms": (
            forward_and_backward(plain_mixer, spikes, [mixer.fusion]),
            forward_and_backward(mixer, channels_last(spikes), [mixer.fusion]),
        ),
        "1x1 convolution and BN: torch's layout": (
            forward_and_backward(expand, spikes, weights),
            forward_and_backward(expand, channels_last(spikes), weights),
        ),
    }


def whole_step(batch: int) -> tuple[Step, Step]:
    """A training step of the default encoder without the optimiser, by both routes."""
    torch.manual_seed(0)
    config = EncoderConfig()
    fast = Spikinghash(config)
    plain = PlainEncoder(fast)
    settings = TrainConfig()
    loss = HashLoss(config.votes, settings.soft_weight, settings.balance_weight)
    frames = (torch.rand(batch, config.time_steps, 2, config.size, config.size) < 0.05).to(torch.uint8)
    labels = torch.arange(batch) % 10

    def step(network: nn.Module) -> Step:
        parameters = list(network.parameters())
        return lambda: torch.autograd.grad(loss(network(frames), labels), parameters)

    return step(plain), step(fast)


def main(
    batch: Annotated[int, typer.Option(help="Recordings in a step.")] = 40,
    repeats: Annotated[int, typer.Option(help="Times that each is measured.")] = 5,
) -> None:
    """Time the parts of a training step and the whole of it."""
    table = Table(
        "forward and backward", "plain ms", "fast ms", "ratio", title=f"Training, {torch.get_num_threads()} threads"
    )
    for name, pair in {**parts(batch), "whole step": whole_step(batch)}.items():
        slow, fast = medians(pair, repeats)
        table.add_row(name, f"{1e3 * slow:.1f}", f"{1e3 * fast:.1f}", f"{slow / fast:.1f}")
    Console().print(table)


if __name__ == "__main__":
    run(main)
