"""Spiking self-attention: binary queries, keys and values, no softmax."""

import torch
from torch import Tensor, nn

from training.model.layers import ConvNorm
from training.model.lif import Lif


class SpikingSelfAttention(nn.Module):
    """``a = scale * Q (K^T V)`` per time step and head, LIF, projection (Zhou et al. 2023, arXiv:2209.15425, eq. 6).

    Q, K and V are spikes, so that the product counts coincidences: ``Q (K^T V)`` and ``(Q K^T) V`` are the same whole
    numbers. The order with fewer operations is taken.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = ConvNorm(channels, 3 * channels, kernel=1)
        self.qkv_lif = Lif()
        self.coincidences = Coincidences()
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.rounding: nn.Module = nn.Identity()
        """Applied to the scale; in quantisation-aware training it rounds."""
        self.attention_lif = Lif()
        self.projection = ConvNorm(channels, channels, kernel=1)

    @property
    def scale(self) -> Tensor:
        """The factor between a coincidence and the current it causes; positive."""
        result: Tensor = self.rounding(self.log_scale.exp())
        return result

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes (T, B, C, H, W) in, currents out."""
        t, b, c, h, w = spikes.shape
        qkv = self.qkv_lif(self.qkv(spikes))
        counts = self.coincidences(*qkv.reshape(t, b, 3, self.heads, c // self.heads, h * w).unbind(2))
        current: Tensor = self.projection(self.attention_lif(self.scale * counts.reshape(spikes.shape)))
        return current


class Coincidences(nn.Module):
    """``coincidence_counts`` as a layer, so that what enters it can be watched."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Spikes of shape (..., d_h, N), three times, to counts of that shape."""
        return coincidence_counts(q, k, v)


def coincidence_counts(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """``sum_{j,a} q[a,i] k[a,j] v[b,j]`` for tensors of shape (..., d_h, N); result (..., d_h, N) indexed [b, i]."""
    tokens, width = q.shape[-1], q.shape[-2]
    if tokens > width:
        return (v @ k.transpose(-1, -2)) @ q
    return v @ (k.transpose(-1, -2) @ q)
