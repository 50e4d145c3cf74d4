"""The MLP of a block: LIF, 1x1 convolution, BN, LIF, 1x1 convolution, BN.

Its hidden maps are the largest arrays of the network. On a CPU they are never whole in memory: batch normalisation is
folded into the first convolution, its statistics following from those of the inputs, and the hidden neurons are then
walked through in chunks that stay in the processor's cache, forwards and again backwards.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.model.layers import ConvNorm
from training.model.lif import Lif, neuron
from training.model.threads import in_threads, one_blas_thread, shares

Array = NDArray[Any]


@dataclass(frozen=True)
class Watch:
    """What is to be known of spikes that no layer hands out, because layers are not called one by one."""

    weigh: Callable[[Tensor], Tensor]
    """Second map (C, hidden) to what a spike of each hidden neuron weighs, (hidden,)."""
    tell: Callable[[Tensor, Tensor], None]
    """Called with the spikes that enter, (T, B, C, H, W), and the sums of weighed hidden spikes, (T, pixels)."""


class Mlp(nn.Module):
    """LIF, 1x1 convolution, BN, LIF, 1x1 convolution, BN."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.lif = Lif()
        self.expand = ConvNorm(channels, ratio * channels, kernel=1)
        self.hidden_lif = Lif()
        self.contract = ConvNorm(ratio * channels, channels, kernel=1)
        self.watch: Watch | None = None

    def forward(self, stream: Tensor) -> Tensor:
        """The stream (T, B, C, H, W) in, the currents that are added to it out."""
        spikes = self.lif(stream)
        if spikes.device.type == "cpu" and isinstance(self.hidden_lif, Lif):
            return self.contract.normalised(self._in_chunks(spikes))
        current: Tensor = self.contract(self.hidden_lif(self.expand(spikes)))
        return current

    def _in_chunks(self, spikes: Tensor) -> Tensor:
        t, b, c, h, w = spikes.shape
        inputs = spikes.movedim(2, -1).reshape(t, -1, c)
        weight, norm = self.expand.conv.weight.flatten(1), self.expand.norm
        statistics = _statistics(norm, weight, inputs)
        second = self.contract.conv.weight.flatten(1)
        if self.watch is not None:
            second = torch.cat([second, self.watch.weigh(second.detach())[None].to(second.dtype)])
        current: Tensor = _HiddenLif.apply(inputs, weight, norm.weight, norm.bias, second, statistics)  # type: ignore[no-untyped-call]
        if self.watch is not None:
            self.watch.tell(spikes, current[..., c])
            current = current[..., :c].contiguous()
        return current.reshape(t, b, h, w, -1).movedim(-1, 2)


@dataclass(frozen=True)
class _Statistics:
    """Of a batch normalisation's inputs W x."""

    mean: Array
    inverse: Array
    """1 / sqrt(variance + eps)."""
    moments: tuple[Array, Array] | None
    """Mean and covariance of x, where the others follow from them: ``W mean(x)``, the diagonal of ``W cov(x) W^T``."""


@torch.no_grad()
def _statistics(norm: nn.BatchNorm2d, weight: Tensor, inputs: Tensor) -> _Statistics:
    """What ``norm`` takes for ``weight`` times ``inputs`` (..., C). In training mode its running ones follow."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance, moments = norm.running_mean, norm.running_var, None
    if norm.training:
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        rows = inputs.flatten(0, -2)
        centre, covariance = _moments(rows)
        mean, variance = weight @ centre, ((weight @ covariance) * weight).sum(1)
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (len(rows) / (len(rows) - 1)), norm.momentum)
        norm.num_batches_tracked.add_(1)
        moments = centre.numpy(), covariance.numpy()
    return _Statistics(mean.numpy(), (1 / torch.sqrt(variance + norm.eps)).numpy(), moments)


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (C,) and covariance (C, C) of the rows of an array (N, C)."""
    parts = [rows[first:last] for first, last in shares(len(rows), rows.shape[1] ** 2)]
    sums = in_threads(lambda part: (part.sum(0), part.T @ part), parts)
    mean, square = (sum(part) / len(rows) for part in zip(*sums, strict=True))
    return mean, square - torch.outer(mean, mean)


class _HiddenLif(torch.autograd.Function):
    """``LIF(norm(W1 x)) W2^T`` for inputs x (T, N, C). Nothing of the hidden neurons is kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, first: Tensor, gain: Tensor, offset: Tensor, second: Tensor, statistics: _Statistics
    ) -> Tensor:
        from training.model import lif_kernels  # see ``training.model.lif``

        ctx.save_for_backward(inputs, first, gain, offset, second)
        ctx.statistics = statistics
        result = inputs.new_empty(*inputs.shape[:2], len(second))
        arrays = _array(inputs), *_folded(first, gain, offset, statistics), _array(second.T), _array(result)
        with one_blas_thread():
            in_threads(lambda part: lif_kernels.mlp(*arrays, *part, neuron(inputs)), _parts(inputs, first))
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from training.model import lif_kernels

        inputs, first, gain, offset, second = ctx.saved_tensors
        of_inputs = inputs.new_empty(inputs.shape)
        x, outer, result = map(_array, (inputs, gradients[0], of_inputs))
        maps = *_folded(first, gain, offset, ctx.statistics), _array(second)

        def compute(part: tuple[int, int]) -> list[Array]:
            sums = [np.zeros_like(each) for each in maps]
            lif_kernels.mlp_gradient(x, outer, *maps, result, *sums, *part, neuron(inputs))
            return sums

        with one_blas_thread():
            parts = in_threads(compute, _parts(inputs, first))
            of_map, of_bias, of_second = (reduce(np.add, part) for part in zip(*parts, strict=True))
            of_first, of_gain = _unfold(of_map.T, of_bias, ctx.statistics, _array(first), _array(gain), x, result)
        return of_inputs, *map(torch.from_numpy, (of_first, of_gain, of_bias, of_second)), None


def _folded(first: Tensor, gain: Tensor, offset: Tensor, statistics: _Statistics) -> tuple[Array, Array]:
    """``norm(W1 x)`` as one linear map of x: its transposed matrix, and its bias."""
    factor = _array(gain) * statistics.inverse
    return np.ascontiguousarray((factor[:, None] * _array(first)).T), _array(offset) - factor * statistics.mean


def _unfold(
    of_map: Array, of_bias: Array, statistics: _Statistics, first: Array, gain: Array, inputs: Array, of_inputs: Array
) -> tuple[Array, Array]:
    """Gradients of W1 and of the gain, from those of the linear map A x + b that they make with the statistics.

    A = g r W1 and b = offset - g r mean, with r = 1 / sqrt(variance + eps). In training mode mean = W1 m and variance =
    diag(W1 S W1^T) move with the inputs' mean m and covariance S, too; what comes of that is added to ``of_inputs``.
    """
    from training.model import lif_kernels

    mean, inverse = statistics.mean, statistics.inverse
    factor = gain * inverse
    of_factor = (of_map * first).sum(1) - of_bias * mean
    of_first = factor[:, None] * of_map
    if statistics.moments is not None:
        centre, covariance = statistics.moments
        rows, of_rows = inputs.reshape(-1, inputs.shape[-1]), of_inputs.reshape(-1, inputs.shape[-1])
        of_mean, of_variance = -factor * of_bias, -0.5 * of_factor * factor * inverse * inverse
        of_first += np.outer(of_mean, centre) + 2 * of_variance[:, None] * (first @ covariance)
        slope = 2 / len(rows) * (first.T @ (of_variance[:, None] * first))
        constant = of_mean @ first / len(rows) - centre @ slope
        parts = shares(len(rows), slope.size)
        in_threads(lambda part: lif_kernels.add_linear(rows, slope, constant, of_rows, *part), parts)
    return of_first, of_factor * inverse


def _parts(inputs: Tensor, first: Tensor) -> list[tuple[int, int]]:
    """First input of each thread, and the one after its last."""
    steps, count, _ = inputs.shape
    return shares(count, steps * first.numel())


def _array(tensor: Tensor) -> Array:
    """The tensor itself, but where its layout is another one."""
    array: Array = tensor.detach().contiguous().numpy()
    return array
