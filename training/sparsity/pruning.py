"""Magnitude pruning while a network is trained on its grids: the smallest weights, and whole channels of MLPs.

Zeros lie on every grid, so that what is pruned stays pruned in the exported network. The stem keeps all its weights: it
has few, and its spikes are the recording's. So does a WaveMixer: its fusions act through the block map, in which a zero
of one subband is none.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from training.model.layers import ConvNorm
from training.model.mlp import Mlp

RAMP = 0.5
"""Share of a training in which the pruned share rises."""
EVERY = 25
"""Steps between two choices of the weights to prune."""


class Pruning:
    """Masks of the weights that a ``model`` on grids has left: an encoder, or an ANN twin of one."""

    def __init__(self, model: nn.Module, share: float, channel_share: float, steps: int) -> None:
        self._share, self._channel_share, self._step = share, channel_share, 0
        self._last = math.ceil(RAMP * steps)
        self._model = model
        self._weights = [original(layer, "weight") for layer in prunable(model)]
        self._mlps = list(mlps(model))
        self._masks: dict[nn.Parameter, Tensor] = {}

    @property
    def _rise(self) -> float:
        """Share of the pruning that is due: 1 - (1 - s)^3 (Zhu and Gupta 2017, arXiv:1710.01878, eq. 1)."""
        done = min(1.0, self._step / self._last)
        return 1.0 - (1.0 - done) ** 3

    @torch.no_grad()
    def before_step(self) -> None:
        """Choose what to prune, every so many steps until the whole share is pruned."""
        if self._step == self._last or (self._step < self._last and self._step % EVERY == 0):
            for mlp in self._mlps:
                self._prune_channels(mlp, self._rise * self._channel_share)
            for weight in self._weights:
                self._keep(weight, largest(weight.abs() * self._masks.get(weight, 1.0), self._rise * self._share))
        self.apply()
        self._step += 1

    @torch.no_grad()
    def apply(self) -> None:
        """Set what is pruned to zero: an optimiser's momentum moves it."""
        for weight, mask in self._masks.items():
            weight.mul_(mask)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        order = {weight: index for index, weight in enumerate(self._model.parameters())}
        return {"step": self._step, "masks": {order[weight]: mask for weight, mask in self._masks.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        parameters = list(self._model.parameters())
        self._step = state["step"]
        self._masks = {parameters[index]: mask.to(parameters[index].device) for index, mask in state["masks"].items()}

    def _keep(self, weight: nn.Parameter, mask: Tensor) -> None:
        self._masks[weight] = mask * self._masks.get(weight, 1.0)

    def _prune_channels(self, mlp: Mlp, share: float) -> None:
        first, second = original(mlp.expand.conv, "weight"), original(mlp.contract.conv, "weight")
        bias = original(mlp.expand.norm, "bias")
        kept = largest(first.flatten(1).norm(dim=1) * second.flatten(1).norm(dim=0), share)
        self._keep(first, kept[:, None, None, None])
        self._keep(bias, kept)
        self._keep(second, kept[None, :, None, None])


def largest(values: Tensor, share: float) -> Tensor:
    """1 where one of the largest ``values`` is, 0 at ``share`` of them all, rounded down; the type of ``values``."""
    mask = torch.ones_like(values)
    count = int(share * values.numel())
    mask.view(-1)[values.flatten().argsort()[:count]] = 0
    return mask


def original(layer: nn.Module, name: str) -> nn.Parameter:
    """The parameter that is trained: a layer on a grid computes with its rounded form."""
    rounded = getattr(layer, "parametrizations", None)
    parameter: nn.Parameter = (
        rounded[name].original if rounded is not None and name in rounded else getattr(layer, name)
    )
    return parameter


def mlps(model: nn.Module) -> Iterator[Mlp]:
    """The MLP of each block."""
    yield from (module for module in model.modules() if isinstance(module, Mlp))


def prunable(model: nn.Module) -> Iterator[nn.Module]:
    """Layers whose single weights are pruned: all convolutions but the first, the stem's, and the hash layer."""
    convolutions = [module.conv for module in model.modules() if isinstance(module, ConvNorm)]
    yield from convolutions[1:]
    yield from (module for module in model.modules() if isinstance(module, nn.Linear))
