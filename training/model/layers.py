"""Layers that act on every time step alike."""

from torch import Tensor, nn


class StepNorm(nn.Module):
    """Batch normalisation over steps, samples and pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def normalised(self, current: Tensor) -> Tensor:
        """Currents (T, B, C, H, W) in and out."""
        maps: Tensor = self.norm(current.flatten(0, 1))
        return maps.unflatten(0, current.shape[:2])

    def forward(self, current: Tensor) -> Tensor:
        """Currents (T, B, C, H, W) in and out."""
        return self.normalised(current)


class ConvNorm(StepNorm):
    """Convolution without bias, then batch normalisation over steps, samples and pixels."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(outputs)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes (T, B, C, H, W) in, currents out."""
        maps: Tensor = self.conv(spikes.flatten(0, 1))
        return self.normalised(maps.unflatten(0, spikes.shape[:2]))
