"""The ANN twin on integer grids: eight-bit weights, activations of a few bits, steps chosen from the trained twin."""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from training.baselines.activations import measure
from training.model.wave_mixer import WaveMixer
from training.quantised import LARGEST_MANTISSA, round_straight_through

_CANDIDATES = 50
_SMALLEST = 1e-6
"""Clip of an activation that is zero for all samples."""


class QuantisedReLU(nn.Module):
    """ReLU clipped at a learned value, in ``2^bits - 1`` equal steps (PACT, Choi et al. 2018, arXiv:1805.06085)."""

    def __init__(self, bits: int, clip: float) -> None:
        super().__init__()
        self.levels = 2**bits - 1
        self.clip = nn.Parameter(torch.tensor(clip))

    def forward(self, current: Tensor) -> Tensor:
        """Any shape in, the same out."""
        # Below the clip the gradient goes to the current, above it to the clip: min() does both.
        clipped = torch.minimum(current.clamp(min=0), self.clip)
        result: Tensor = round_straight_through(clipped, float(self.clip.detach()) / self.levels)
        return result


class RoundPerTensor(nn.Module):
    """Eight-bit weights, one scale per tensor, straight-through gradients."""

    def forward(self, weight: Tensor) -> Tensor:
        """Any shape in, the same out."""
        step = float(weight.detach().abs().max()) / LARGEST_MANTISSA
        result: Tensor = round_straight_through(weight, max(step, 1e-12))
        return result


def activation_bits(time_steps: int) -> int:
    """Bits of an activation that tells as many levels apart as a spike count in T steps: ceil(log2(T + 1))."""
    return math.ceil(math.log2(time_steps + 1))


def quantise(network: nn.Module, bits: int, frames: Tensor) -> None:
    """Let a trained ANN twin compute with eight-bit weights and activations of ``bits`` bits.

    Args:
        network: the twin; its weights stay as they are, and are rounded where they are used.
        bits: of an activation.
        frames: recordings (B, T, 2, H, W) whose activations the clips are chosen for.
    """
    clips = measure(network, (nn.ReLU,), frames, lambda output: best_clip(output, bits))
    for name, clip in clips.items():
        parent, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(parent), attribute, QuantisedReLU(bits, clip))
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            parametrize.register_parametrization(module, "weight", RoundPerTensor())
        elif isinstance(module, WaveMixer):
            module.rounding = RoundPerTensor()


def best_clip(values: Tensor, bits: int) -> float:
    """The clip at which ``values`` >= 0 in ``2^bits - 1`` steps have the least mean square error.

    Tried are 50 even parts of the largest value (range setting by mean square error, Nagel et al. 2021,
    arXiv:2106.08295, section 3.1).
    """
    levels = 2**bits - 1
    largest = max(float(values.max()), _SMALLEST)
    candidates = [largest * part / _CANDIDATES for part in range(1, _CANDIDATES + 1)]

    def error(clip: float) -> float:
        step = clip / levels
        return float((torch.round(values.clamp(max=clip) / step) * step - values).square().mean())

    return min(candidates, key=error)
