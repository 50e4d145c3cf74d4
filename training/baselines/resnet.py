"""ResNet-18 (He et al. 2016, arXiv:1512.03385, table 1) for small frames, with a hash layer.

The stem is a 3x3 convolution of stride 2 without pooling: the 7x7 stem and its pooling would leave one pixel of 32.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

_WIDTHS = (64, 128, 256, 512)


def _conv_norm(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        first, second = _conv_norm(inputs, outputs, 3, stride), _conv_norm(outputs, outputs, 3, 1)
        self.branch = nn.Sequential(*first, nn.ReLU(), *second)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv_norm(inputs, outputs, 1, stride))
        self.relu = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) in and out."""
        result: Tensor = self.relu(self.branch(maps) + self.shortcut(maps))
        return result


class ResNet18(nn.Module):
    """Frames (B, T, 2, H, W), the steps stacked as channels, to real-valued codes (B, K)."""

    def __init__(self, time_steps: int, bits: int) -> None:
        super().__init__()
        blocks = [BasicBlock(64, 64, 1), BasicBlock(64, 64, 1)]
        for inputs, outputs in pairwise(_WIDTHS):
            blocks += [BasicBlock(inputs, outputs, 2), BasicBlock(outputs, outputs, 1)]
        self.maps = nn.Sequential(*_conv_norm(2 * time_steps, 64, 3, 2), nn.ReLU(), *blocks)
        self.hash = nn.Linear(_WIDTHS[-1], bits)
        # Channels last in memory: convolutions take a third of the time on a CPU.
        self.maps.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (B, T, 2, H, W) of zeros and ones to (B, K)."""
        stacked = frames.flatten(1, 2).to(self.hash.weight.dtype)
        maps = self.maps(stacked.contiguous(memory_format=torch.channels_last))
        result: Tensor = self.hash(maps.mean(dim=(-2, -1)))
        return result
