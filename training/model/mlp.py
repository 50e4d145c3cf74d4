"""The MLP of a block: LIF, 1x1 convolution, BN, LIF, 1x1 convolution, BN.

Its hidden maps are the largest arrays of the network. On a CPU they are never whole in memory: batch normalisation is
folded into the first convolution, its statistics following from those of the inputs, and the hidden neurons are then
walked through in chunks that stay in the processor's cache, forwards and again backwards.
"""

from typing import Any

import torch
from torch import Tensor, nn

from training.model import lif_kernels
from training.model.layers import ConvNorm
from training.model.lif import Lif, on_cores
from training.model.threads import in_threads

_CHUNK = 1 << 21
"""Bytes of a chunk's hidden currents. With a quarter of it two threads are slower: they wait for the interpreter."""


class Mlp(nn.Module):
    """LIF, 1x1 convolution, BN, LIF, 1x1 convolution, BN."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.lif = Lif()
        self.expand = ConvNorm(channels, ratio * channels, kernel=1)
        self.hidden_lif = Lif()
        self.contract = ConvNorm(ratio * channels, channels, kernel=1)

    def forward(self, stream: Tensor) -> Tensor:
        """Currents (T, B, C, H, W) of the stream in, what is added to it out."""
        spikes = self.lif(stream)
        if spikes.device.type == "cpu" and isinstance(self.hidden_lif, Lif):
            return self._in_chunks(spikes)
        result: Tensor = self.contract(self.hidden_lif(self.expand(spikes)))
        return result

    def _in_chunks(self, spikes: Tensor) -> Tensor:
        t, b, c, h, w = spikes.shape
        inputs = spikes.movedim(2, -1).reshape(t, -1, c)
        weight, bias = normalised(self.expand, inputs)
        current: Tensor = _HiddenLif.apply(inputs, weight, bias, self.contract.conv.weight.flatten(1))  # type: ignore[no-untyped-call]
        maps = current.reshape(t * b, h, w, -1).movedim(-1, 1)
        result: Tensor = self.contract.norm(maps)
        return result.unflatten(0, (t, b))


def normalised(layer: ConvNorm, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias of the linear map that a 1x1 convolution and the batch normalisation behind it are together.

    In training mode the statistics of the outputs W x follow from those of the inputs: their mean is W mean(x), their
    variances are the diagonal of W cov(x) W^T.

    Args:
        layer: convolution and norm; in training mode its running statistics are updated.
        inputs: (..., C).

    Returns:
        Shapes (outputs, C) and (outputs,).
    """
    weight, norm = layer.conv.weight.flatten(1), layer.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    if norm.training:
        flat = inputs.flatten(0, -2)
        expected, covariance = _Moments.apply(flat)  # type: ignore[no-untyped-call]
        mean, variance = weight @ expected, ((weight @ covariance) * weight).sum(1)
        with torch.no_grad():
            norm.running_mean.lerp_(mean, norm.momentum)
            norm.running_var.lerp_(variance * (len(flat) / (len(flat) - 1)), norm.momentum)
            norm.num_batches_tracked.add_(1)
    else:
        mean, variance = norm.running_mean, norm.running_var
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    return scale[:, None] * weight, norm.bias - scale * mean


class _Moments(torch.autograd.Function):
    """Mean (C,) and covariance (C, C) of the rows of an array (N, C). The backward pass is one product."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
        mean = rows.mean(0)
        ctx.save_for_backward(rows, mean)
        return mean, rows.T @ rows / len(rows) - torch.outer(mean, mean)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        rows, mean = ctx.saved_tensors
        of_mean, of_covariance = gradients
        symmetric = (of_covariance + of_covariance.T) / len(rows)
        return torch.addmm(of_mean / len(rows) - mean @ symmetric, rows, symmetric)


class _HiddenLif(torch.autograd.Function):
    """``LIF(x W1^T + b) W2^T`` for inputs (T, N, C). Nothing of the hidden neurons is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, first: Tensor, bias: Tensor, second: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, first, bias, second)
        result = inputs.new_empty(*inputs.shape[:2], len(second))

        def compute(part: slice) -> None:
            current = _currents(inputs[:, part].flatten(0, 1), first, bias, len(inputs))
            result[:, part] = on_cores(lif_kernels.spikes, current) @ second.T

        in_threads(compute, _chunks(inputs, len(first)))
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        (outer,) = gradients
        inputs, first, bias, second = ctx.saved_tensors
        of_inputs = torch.empty_like(inputs)

        def compute(part: slice) -> tuple[Tensor, Tensor, Tensor]:
            x, of_result = inputs[:, part].flatten(0, 1), outer[:, part].flatten(0, 1)
            current = _currents(x, first, bias, len(inputs))
            spikes = on_cores(lif_kernels.spikes, current).flatten(0, 1)
            of_spikes = (of_result @ second).view_as(current)
            of_current = on_cores(lif_kernels.gradient, current, of_spikes).flatten(0, 1)
            of_inputs[:, part] = (of_current @ first).unflatten(0, (len(inputs), -1))
            return of_current.T @ x, of_current.sum(0), of_result.T @ spikes

        parts = in_threads(compute, _chunks(inputs, len(first)))
        of_first, of_bias, of_second = (torch.stack(part).sum(0) for part in zip(*parts, strict=True))
        return of_inputs, of_first, of_bias, of_second


def _currents(rows: Tensor, weight: Tensor, bias: Tensor, steps: int) -> Tensor:
    """Of the hidden neurons, for rows (T N, C): (T, N, hidden). Both passes have to compute the same."""
    return torch.addmm(bias, rows, weight.T).unflatten(0, (steps, -1))


def _chunks(inputs: Tensor, hidden: int) -> list[slice]:
    steps, count, _ = inputs.shape
    size = max(1, _CHUNK // (steps * hidden * inputs.element_size()))
    return [slice(start, start + size) for start in range(0, count, size)]
