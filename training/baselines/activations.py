"""Figures of what the activation functions of a network put out."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn


@torch.no_grad()
def measure(
    network: nn.Module, kinds: tuple[type[nn.Module], ...], frames: Tensor, figure: Callable[[Tensor], float]
) -> dict[str, float]:
    """``figure`` of the output of each module of ``kinds`` on ``frames``, in evaluation mode, by the module's name."""
    found: dict[str, float] = {}

    def leave(name: str, _: nn.Module, __: object, output: Tensor) -> None:
        found[name] = figure(output)

    watched = [(name, module) for name, module in network.named_modules() if isinstance(module, kinds)]
    handles = [module.register_forward_hook(partial(leave, name)) for name, module in watched]
    try:
        network.eval()(frames)
    finally:
        for handle in handles:
            handle.remove()
    return found


def activation_sparsity(network: nn.Module, kinds: tuple[type[nn.Module], ...], frames: Tensor) -> dict[str, float]:
    """Share of zeros that each module of ``kinds`` puts out on ``frames``, by the module's name."""
    return measure(network, kinds, frames, lambda output: float((output == 0).double().mean()))
