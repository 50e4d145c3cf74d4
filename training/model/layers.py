"""Layers that act on every time step alike."""

from torch import Tensor, nn

from training.model.norm import batch_norm


class ConvNorm(nn.Module):
    """Convolution without bias, then batch normalisation over steps, samples and pixels. (T, B, C, H, W) in and out."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes (T, B, C, H, W) in, currents out."""
        maps: Tensor = self.conv(spikes.flatten(0, 1))
        return batch_norm(maps.unflatten(0, spikes.shape[:2]), self.norm)


class StepNorm(nn.Module):
    """Batch normalisation over steps, samples and pixels of (T, B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, current: Tensor) -> Tensor:
        """Currents in, of any shape (T, ...) or (T, B, C, H, W); the same shape out."""
        return batch_norm(current, self.norm)
