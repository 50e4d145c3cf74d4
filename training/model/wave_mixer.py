"""Spiking WaveMixer: multilevel 3-D Haar transform, spectral fusion, inverse transform."""

import ptwt
import torch
from torch import Tensor, nn


def subband_transform(signal: Tensor, levels: int) -> list[Tensor]:
    """Coefficients of the ``levels``-level 3-D Haar transform of ``signal`` (..., T, H, W), coarse to fine.

    7 L + 1 tensors: the approximation, then the seven details of each level.
    """
    approximation, *details = ptwt.wavedec3(signal, "haar", level=levels, mode="zero")
    return [approximation, *(level[key] for level in details for key in sorted(level))]


def subband_projections(levels: int) -> Tensor:
    """Projections P_b onto each subband, on blocks of (2^L)^3.

    Returns:
        Shape (7 L + 1, 8^L, 8^L), float64, rows and columns in C order over (t, y, x). P_b is symmetric, the P_b sum
        to the identity, and every entry is a multiple of 8^-L, because a Haar basis function of level l is constant
        in magnitude, sqrt(8)^-l, over its support.
    """
    block, size = 2**levels, 8**levels
    impulses = torch.eye(size, dtype=torch.float64).reshape(size, 1, block, block, block)
    if levels == 0:
        return impulses.reshape(1, 1, 1)
    bands = [band.reshape(size, -1) for band in subband_transform(impulses, levels)]
    # Row i of a band holds <impulse_i, basis functions>, so P_b = A_b A_b^T; rounding removes the error of sqrt(2)^3.
    projections = torch.stack([band @ band.T for band in bands])
    return torch.round(projections * size) / size


class WaveMixer(nn.Module):
    """``z = sum_b G_b DWT_b`` transformed back: a linear map of the spikes in each block of (2^L)^3 steps and pixels.

    The map is evaluated as one matrix per channel group and block, ``sum_b G_b (x) P_b``; ``forward_transform`` walks
    through the wavelet domain instead and is kept as the oracle.

    Args:
        channels: C.
        levels: L; time, height and width must be multiples of 2^L.
        channels_per_group: channels that the fusion of a subband mixes with each other.
    """

    projections: Tensor

    def __init__(self, channels: int, levels: int, channels_per_group: int) -> None:
        super().__init__()
        self.levels = levels
        self.groups = channels // channels_per_group
        shape = (7 * levels + 1, self.groups, channels_per_group, channels_per_group)
        self.fusion = nn.Parameter(torch.randn(shape) / channels_per_group**0.5)
        """G_b, shape (7 L + 1, groups, out, in)."""
        self.register_buffer("projections", subband_projections(levels).float(), persistent=False)

    def kernel(self) -> Tensor:
        """The block map, shape (groups, out * 8^L, in * 8^L): channel major, then (t, y, x)."""
        _, groups, out, inp = self.fusion.shape
        size = 8**self.levels
        matrix = self.fusion.flatten(1).T @ self.projections.flatten(1).to(self.fusion.dtype)
        return matrix.reshape(groups, out, inp, size, size).transpose(2, 3).reshape(groups, out * size, inp * size)

    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        blocks = to_blocks(spikes, self.levels, self.groups)
        return from_blocks(blocks @ self.kernel().transpose(1, 2), spikes.shape, self.levels)

    def forward_transform(self, spikes: Tensor) -> Tensor:
        """``forward`` by way of the wavelet domain: ptwt's transform, one fusion per subband, ptwt's inverse."""
        signal = spikes.permute(1, 2, 0, 3, 4)
        if self.levels == 0:
            return self._fuse(signal, self.fusion[0]).permute(2, 0, 1, 3, 4)
        approximation, *details = ptwt.wavedec3(signal, "haar", level=self.levels, mode="zero")
        fusions = iter(self.fusion)
        coarsest = self._fuse(approximation, next(fusions))
        fused = [{key: self._fuse(level[key], next(fusions)) for key in sorted(level)} for level in details]
        return ptwt.waverec3((coarsest, *fused), "haar").permute(2, 0, 1, 3, 4)

    def _fuse(self, band: Tensor, fusion: Tensor) -> Tensor:
        batch, channels, *rest = band.shape
        grouped = band.reshape(batch, self.groups, -1, *rest)
        return torch.einsum("goi,bgithw->bgothw", fusion, grouped).reshape(batch, channels, *rest)


def to_blocks(signal: Tensor, levels: int, groups: int) -> Tensor:
    """(T, B, C, H, W) to (groups, blocks, C/groups * 8^L), channel major, then (t, y, x)."""
    t, b, c, h, w = signal.shape
    n = 2**levels
    split = signal.reshape(t // n, n, b, groups, c // groups, h // n, n, w // n, n)
    return split.permute(3, 0, 2, 5, 7, 4, 1, 6, 8).reshape(groups, -1, c // groups * n**3)


def from_blocks(blocks: Tensor, shape: torch.Size, levels: int) -> Tensor:
    """The inverse of ``to_blocks``; ``shape`` is (T, B, C, H, W)."""
    t, b, c, h, w = shape
    n, groups = 2**levels, blocks.shape[0]
    split = blocks.reshape(groups, t // n, b, h // n, w // n, c // groups, n, n, n)
    return split.permute(1, 6, 2, 0, 5, 3, 7, 4, 8).reshape(shape)
