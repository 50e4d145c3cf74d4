"""The ANN twin of an encoder: the same topology, ReLU for LIF, softmax attention, one real-valued code per recording.

The QNN twin is the ANN twin with eight-bit weights and activations of a few bits.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from training.config import EncoderConfig
from training.model.encoder import AttentionBranch, Spikinghash
from training.model.layers import ConvNorm
from training.model.lif import Lif
from training.model.wave_mixer import WaveMixer
from training.quantised import LARGEST_MANTISSA, round_straight_through


class QuantisedReLU(nn.Module):
    """ReLU clipped at a learned value, in ``2^bits - 1`` equal steps (PACT, Choi et al. 2018, arXiv:1805.06085)."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.levels = 2**bits - 1
        self.clip = nn.Parameter(torch.tensor(2.0))

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


class SoftmaxAttention(nn.Module):
    """Multi-head attention over the tokens of each frame (Vaswani et al. 2017, eq. 1), activations between its maps."""

    def __init__(self, channels: int, heads: int, activation: nn.Module) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = ConvNorm(channels, 3 * channels, kernel=1)
        self.activation = activation
        self.projection = ConvNorm(channels, channels, kernel=1)

    def forward(self, activity: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        t, b, c, h, w = activity.shape
        qkv = self.qkv(activity).reshape(t * b, 3, self.heads, c // self.heads, h * w).transpose(-1, -2)
        mixed = functional.scaled_dot_product_attention(*qkv.unbind(1))
        result: Tensor = self.projection(self.activation(mixed.transpose(-1, -2).reshape(activity.shape)))
        return result


class SpatialMixer(nn.Module):
    """A WaveMixer in height and width, for windows of one frame: its blocks span time, so the frame is repeated."""

    def __init__(self, mixer: WaveMixer) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, activity: Tensor) -> Tensor:
        """(1, B, C, H, W) to the same shape."""
        result: Tensor = self.mixer(activity.expand(2**self.mixer.levels, -1, -1, -1, -1))
        return result[:1]


class AnnTwin(nn.Module):
    """Frames (B, T, 2, H, W) to real-valued codes (B, K); a bit is 1 where its value is positive.

    Args:
        config: the encoder's sizes.
        frames: 1 (the mean of all frames) or T.
        activation_bits: bits of an activation; ``None`` for ReLU in floating point and weights as they are.
    """

    def __init__(self, config: EncoderConfig, frames: int, activation_bits: int | None = None) -> None:
        super().__init__()
        self.frames, self.bits = frames, activation_bits
        spiking = Spikinghash(config.model_copy(update={"wavelet": "space"} if frames == 1 else {}))
        self.stages = spiking.stages
        self._replace_neurons()
        self.activation = self._activation()
        self.linear = nn.Linear(config.channels[-1], config.bits, bias=False)
        self.norm = nn.BatchNorm1d(config.bits)
        if activation_bits is not None:
            self._round_weights()

    def _activation(self) -> nn.Module:
        return nn.ReLU() if self.bits is None else QuantisedReLU(self.bits)

    def _replace_neurons(self) -> None:
        for module in list(self.stages.modules()):
            if isinstance(module, AttentionBranch):
                channels = module.mixer.projection.conv.out_channels
                module.mixer = SoftmaxAttention(channels, module.mixer.heads, self._activation())  # type: ignore[assignment]
            for name, child in list(module.named_children()):
                if isinstance(child, Lif):
                    setattr(module, name, self._activation())
                elif isinstance(child, WaveMixer) and self.frames == 1 and not isinstance(module, SpatialMixer):
                    setattr(module, name, SpatialMixer(child))

    def _round_weights(self) -> None:
        for module in list(self.modules()):
            if isinstance(module, nn.Conv2d | nn.Linear):
                parametrize.register_parametrization(module, "weight", RoundPerTensor())
            elif isinstance(module, WaveMixer):
                module.rounding = RoundPerTensor()

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (B, T, 2, H, W) of zeros and ones to (B, K)."""
        stream = frames.permute(1, 0, 3, 4, 2).to(self.linear.weight.dtype)
        if self.frames == 1:
            stream = stream.mean(0, keepdim=True)
        stream = stream.contiguous().movedim(-1, 2)
        for stage in self.stages:
            stream = stage(stream)
        features = self.activation(stream).mean(dim=(0, -2, -1))
        result: Tensor = self.norm(self.linear(features))
        return result


def activation_bits(time_steps: int) -> int:
    """Bits of an activation that tells as many levels apart as a spike count in T steps: ceil(log2(T + 1))."""
    return math.ceil(math.log2(time_steps + 1))
