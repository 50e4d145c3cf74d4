"""Layers that act on every time step alike."""

from torch import Tensor, nn

from training.model.drive import Drive


class ConvNorm(nn.Module):
    """Convolution without bias, then batch normalisation over steps, samples and pixels."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def drive(self, spikes: Tensor, stream: Tensor | None = None) -> Drive:
        """What spikes (T, B, C, H, W) drive neurons with, added to ``stream``."""
        maps: Tensor = self.conv(spikes.flatten(0, 1))
        return Drive(maps.unflatten(0, spikes.shape[:2]), self.norm, stream)

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes (T, B, C, H, W) in, currents out."""
        return self.drive(spikes).total()


class StepNorm(nn.Module):
    """Batch normalisation over steps, samples and pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def drive(self, current: Tensor, stream: Tensor | None = None) -> Drive:
        """What currents (T, B, C, H, W) drive neurons with, added to ``stream``."""
        return Drive(current, self.norm, stream)
