"""The encoder by the plain route: Norse's cell step by step, ptwt's transforms, arrays in torch's own layout.

It computes what ``Spikinghash`` computes, with the same parameters; tests hold the two equal, benchmarks compare them.
"""

import copy

from torch import Tensor, nn

from training.model.encoder import HashOutput, Spikinghash
from training.model.lif import Lif, LifWithPotentials, lif_loop
from training.model.wave_mixer import WaveMixer


class PlainLif(nn.Module):
    """Norse's LIFBox in a loop over time."""

    def forward(self, current: Tensor) -> Tensor:
        """Currents (T, ...) in, spikes out."""
        return lif_loop(current)[0]


class PlainLifWithPotentials(nn.Module):
    """The same for hash neurons."""

    def forward(self, current: Tensor) -> tuple[Tensor, Tensor]:
        """Currents (T, ...) in, spikes and membrane potentials out."""
        return lif_loop(current)


class PlainWaveMixer(nn.Module):
    """The wavelet domain by ptwt."""

    def __init__(self, mixer: WaveMixer) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        return self.mixer.forward_transform(spikes).contiguous()


class PlainEncoder(nn.Module):
    """A copy of ``model``, which shares nothing with it; gradients arrive in ``parameters()`` of the same order."""

    def __init__(self, model: Spikinghash) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(model)
        for module in list(self.encoder.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, Lif):
                    setattr(module, name, PlainLif())
                elif isinstance(child, LifWithPotentials):
                    setattr(module, name, PlainLifWithPotentials())
                elif isinstance(child, WaveMixer):
                    setattr(module, name, PlainWaveMixer(child))

    def forward(self, frames: Tensor) -> HashOutput:
        """Frames (B, T, 2, H, W) of zeros and ones to spikes and potentials of the hash neurons."""
        maps = frames.transpose(0, 1).to(self.encoder.head.linear.weight.dtype).contiguous()
        result: HashOutput = self.encoder.head(self.encoder.stages(maps))
        return result
