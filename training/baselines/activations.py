"""Figures of what the activation functions of a network put out."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


@torch.no_grad()
def measure(
    network: nn.Module, kinds: tuple[type[nn.Module], ...], frames: Tensor, figure: Callable[[Tensor], float]
) -> dict[str, float]:
    """``figure`` of the output of each module of ``kinds`` on ``frames``, in evaluation mode, by the module's name."""
    found: dict[str, float] = {}

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            found[name] = figure(output)

        return module.register_forward_hook(hook)

    handles = [watch(name, module) for name, module in network.named_modules() if isinstance(module, kinds)]
    try:
        network.eval()(frames)
    finally:
        for handle in handles:
            handle.remove()
    return found


def activation_sparsity(network: nn.Module, kinds: tuple[type[nn.Module], ...], frames: Tensor) -> dict[str, float]:
    """Share of zeros that each module of ``kinds`` puts out on ``frames``, by the module's name."""
    return measure(network, kinds, frames, lambda output: float((output == 0).double().mean()))
