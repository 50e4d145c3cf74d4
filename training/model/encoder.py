"""Spikinghash (arXiv:2501.06786): event frames to a binary hash code."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.config import EncoderConfig, Wavelet
from training.model.attention import SpikingSelfAttention
from training.model.layers import ConvNorm, StepNorm
from training.model.lif import Lif, LifWithPotentials
from training.model.mlp import Mlp
from training.model.wave_mixer import WaveMixer

INPUT_CHANNELS = 2
"""ON and OFF events."""


class HashOutput(NamedTuple):
    """What the hash layer did in one window; T steps, B samples, K bits."""

    spikes: Tensor
    """(T, B, K)."""
    potentials: Tensor
    """Membrane potentials before the reset, (T, B, K)."""


class WaveBranch(nn.Module):
    """LIF, Spiking WaveMixer, BN."""

    def __init__(self, channels: int, levels: int, channels_per_group: int, wavelet: Wavelet) -> None:
        super().__init__()
        self.lif = Lif()
        self.mixer = WaveMixer(channels, levels, channels_per_group, wavelet)
        self.norm = StepNorm(channels)

    def forward(self, stream: Tensor) -> Tensor:
        """The stream (T, B, C, H, W) in, the currents that are added to it out."""
        current: Tensor = self.norm(self.mixer(self.lif(stream)))
        return current


class ConvBranch(nn.Module):
    """LIF, 3x3 convolution in groups, BN: what stands in the Spiking WaveMixer's place in ablations."""

    def __init__(self, channels: int, channels_per_group: int) -> None:
        super().__init__()
        self.lif = Lif()
        self.mixer = ConvNorm(channels, channels, kernel=3, groups=channels // channels_per_group)

    def forward(self, stream: Tensor) -> Tensor:
        """The stream (T, B, C, H, W) in, the currents that are added to it out."""
        current: Tensor = self.mixer(self.lif(stream))
        return current


class AttentionBranch(nn.Module):
    """LIF, spiking self-attention."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.lif = Lif()
        self.mixer = SpikingSelfAttention(channels, heads)

    def forward(self, stream: Tensor) -> Tensor:
        """The stream (T, B, C, H, W) in, the currents that are added to it out."""
        current: Tensor = self.mixer(self.lif(stream))
        return current


class Block(nn.Module):
    """Membrane shortcut around a mixer and an MLP: ``u <- u + branch(LIF(u))``, so every convolution reads spikes."""

    def __init__(self, mixer: nn.Module, mlp: Mlp) -> None:
        super().__init__()
        self.mixer = mixer
        self.mlp = mlp

    def forward(self, stream: Tensor) -> Tensor:
        """The stream (T, B, C, H, W) in and out."""
        stream = stream + self.mixer(stream)
        result: Tensor = stream + self.mlp(stream)
        return result


class Stage(nn.Module):
    """``Down`` (LIF, 3x3 convolution of stride 2, BN; the stem has no LIF), then blocks."""

    def __init__(self, config: EncoderConfig, stage: int) -> None:
        super().__init__()
        inputs = config.channels[stage - 1] if stage else INPUT_CHANNELS
        channels = config.channels[stage]
        self.lif = Lif() if stage else None
        self.down = ConvNorm(inputs, channels, kernel=3, stride=2)
        self.blocks = nn.Sequential(*(self._block(config, stage) for _ in range(config.blocks[stage])))

    @staticmethod
    def _block(config: EncoderConfig, stage: int) -> Block:
        channels = config.channels[stage]
        branch: nn.Module
        match config.mixers[stage]:
            case "swm":
                branch = WaveBranch(channels, config.levels[stage], config.channels_per_group, config.wavelet)
            case "conv":
                branch = ConvBranch(channels, config.channels_per_group)
            case "dwconv":
                branch = ConvBranch(channels, channels_per_group=1)
            case "ssa":
                branch = AttentionBranch(channels, config.heads[stage])
        return Block(branch, Mlp(channels, config.mlp_ratio))

    def forward(self, stream: Tensor) -> Tensor:
        """The stream (T, B, C, H, W) of the stage before, or frames for the stem, in; the stage's own out."""
        result: Tensor = self.blocks(self.down(stream if self.lif is None else self.lif(stream)))
        return result


class HashLayer(nn.Module):
    """LIF, mean over the map, Linear to K bits, BN, LIF."""

    def __init__(self, channels: int, bits: int) -> None:
        super().__init__()
        self.lif = Lif()
        self.linear = nn.Linear(channels, bits, bias=False)
        self.norm = nn.BatchNorm1d(bits)
        self.hash_lif = LifWithPotentials()

    def forward(self, stream: Tensor) -> HashOutput:
        """The stream (T, B, C, H, W) in, what the hash neurons did out."""
        return self.answer(self.pooled(stream))

    def pooled(self, stream: Tensor) -> Tensor:
        """Mean spikes of each channel, (T, B, C), of the stream (T, B, C, H, W)."""
        spikes: Tensor = self.lif(stream)
        return spikes.mean(dim=(-2, -1))

    def answer(self, pooled: Tensor) -> HashOutput:
        """What the hash neurons do, of mean spikes (T, B, C)."""
        current = self.norm(self.linear(pooled).flatten(0, 1)).unflatten(0, pooled.shape[:2])
        return HashOutput(*self.hash_lif(current))


class Spikinghash(nn.Module):
    """The encoder. ``forward`` takes frames (B, T, 2, H, W) and returns the activity of the hash neurons."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.stages = nn.Sequential(*(Stage(config, stage) for stage in range(len(config.channels))))
        self.head = HashLayer(config.channels[-1], config.bits)
        self.grids: dict[str, float] | None = None
        """Steps of the grids that the network computes on, if it does."""

    def forward(self, frames: Tensor) -> HashOutput:
        """Frames (B, T, 2, H, W) of zeros and ones to spikes and potentials of the hash neurons."""
        # Channels last in memory, from here to the head: convolutions and norms take a third of the time on a CPU.
        maps = frames.permute(1, 0, 3, 4, 2).to(self.head.linear.weight.dtype)
        result: HashOutput = self.head(self.stages(maps.contiguous().movedim(-1, 2)))
        return result

    @torch.no_grad()
    def codes(self, frames: Tensor) -> Tensor:
        """Bits of frames (B, T, 2, H, W): (B, K) uint8. A bit is the vote of its neuron's spikes."""
        return (self.forward(frames).spikes.sum(0) >= self.config.votes).to(torch.uint8)
