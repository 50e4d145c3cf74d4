"""Spiking WaveMixer: multilevel 3-D Haar transform, spectral fusion, inverse transform."""

import math
from collections.abc import Iterable, Mapping

import ptwt
import torch
from torch import Tensor, nn

from training.config import Wavelet

_AXES = {"space-time": "thw", "time": "t", "space": "wh"}
"""In the order of ptwt's details of a level, which starts with those along the last one alone."""


def subband_projections(levels: int, wavelet: Wavelet = "space-time") -> Tensor:
    """Projections P_b onto each subband of the Haar transform along some axes, on blocks of (2^L)^3.

    Returns:
        Shape (subbands, 8^L, 8^L), float64, rows and columns in C order over (t, y, x). There are 7 L + 1 subbands in
        space and time, 3 L + 1 in space, L + 1 in time. P_b is symmetric, the P_b sum to the identity, and every entry
        is a multiple of 8^-L: along one axis, a Haar basis function of level l has magnitude sqrt(2)^-l on its support.
    """
    block, axes = 2**levels, _AXES[wavelet]
    shape = [block if axis in axes else 1 for axis in "thw"]
    if levels == 0:
        return torch.ones(1, 1, 1, dtype=torch.float64)
    members = math.prod(shape)
    impulses = torch.eye(members, dtype=torch.float64).reshape(members, *(side for side in shape if side > 1))
    # Row i of a band holds <impulse_i, basis functions>, so P_b = A_b A_b^T; rounding removes the error of sqrt(2).
    bands = [band.reshape(members, -1) for band in subband_transform(impulses, levels)]
    projections = torch.round(torch.stack([band @ band.T for band in bands]) * members) / members
    return _spread(projections, shape, block)


def subband_transform(signal: Tensor, levels: int) -> list[Tensor]:
    """Coefficients of the ``levels``-level Haar transform along all axes of ``signal`` but the first, coarse to fine.

    The approximation, then the details of each level: one along one axis, three along two, seven along three.
    """
    rank = signal.dim() - 1
    if rank == 1:
        return list(ptwt.wavedec(signal, "haar", level=levels, mode="zero"))
    transform = ptwt.wavedec2 if rank == 2 else ptwt.wavedec3
    approximation, *details = transform(signal, "haar", level=levels, mode="zero")
    return [approximation, *(band for level in details for band in _bands(level))]


def _bands(level: Mapping[str, Tensor] | Iterable[Tensor]) -> list[Tensor]:
    return [level[key] for key in sorted(level)] if isinstance(level, Mapping) else list(level)


def _spread(projections: Tensor, shape: list[int], block: int) -> Tensor:
    """From blocks of ``shape`` to cubic ones: along an axis that is not transformed, each member is on its own."""
    bands = len(projections)
    split = projections.reshape(bands, *shape, *shape)
    for axis, side in enumerate(shape):
        if side == 1:
            identity = torch.eye(block, dtype=split.dtype)
            sides = [1] * 7
            sides[1 + axis], sides[4 + axis] = block, block
            split = split * identity.reshape(sides)
    return split.reshape(bands, block**3, block**3)


class WaveMixer(nn.Module):
    """``z = sum_b G_b DWT_b`` transformed back: a linear map of the spikes in each block of (2^L)^3 steps and pixels.

    It has two routes: through the wavelet domain, compiled for CPUs, and as one matrix per channel group and block,
    ``sum_b G_b (x) P_b``. ``forward_transform`` is the first by way of ptwt, kept as the oracle.

    Args:
        channels: C.
        levels: L; time, height and width must be multiples of 2^L.
        channels_per_group: channels that the fusion of a subband mixes with each other.
        wavelet: axes of the transform.
    """

    projections: Tensor

    def __init__(self, channels: int, levels: int, channels_per_group: int, wavelet: Wavelet = "space-time") -> None:
        super().__init__()
        self.levels = levels
        self.wavelet: Wavelet = wavelet
        self.groups = channels // channels_per_group
        projections = subband_projections(levels, wavelet)
        shape = (len(projections), self.groups, channels_per_group, channels_per_group)
        self.fusion = nn.Parameter(torch.randn(shape) / channels_per_group**0.5)
        """G_b, shape (subbands, groups, out, in)."""
        self.rounding: nn.Module = nn.Identity()
        """Applied to the block map; in quantisation-aware training it rounds."""
        self.register_buffer("projections", projections.float(), persistent=False)

    def kernel(self) -> Tensor:
        """The block map, shape (groups, out * 8^L, in * 8^L): channel major, then (t, y, x)."""
        _, groups, out, inp = self.fusion.shape
        size = 8**self.levels
        matrix = self.fusion.flatten(1).T @ self.projections.flatten(1).to(self.fusion.dtype)
        split = matrix.reshape(groups, out, inp, size, size).transpose(2, 3)
        result: Tensor = self.rounding(split.reshape(groups, out * size, inp * size))
        return result

    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        compiled = spikes.device.type == "cpu" and spikes.dtype in (torch.float32, torch.float64)
        if compiled and isinstance(self.rounding, nn.Identity):
            from training.model import wave_kernels  # see ``training.model.lif``

            return wave_kernels.mix(spikes, self.fusion, self.levels, _AXES[self.wavelet])
        return self.forward_blocks(spikes)

    def forward_blocks(self, spikes: Tensor) -> Tensor:
        """``forward`` as a matrix product: any device, and the rounded block map of quantisation-aware training."""
        blocks = to_blocks(spikes, self.levels, self.groups) @ self.kernel().mT
        return from_blocks(blocks, spikes.shape, self.levels)

    def forward_transform(self, spikes: Tensor) -> Tensor:
        """``forward`` by way of the wavelet domain (space and time): ptwt's transform, fusion, ptwt's inverse."""
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
