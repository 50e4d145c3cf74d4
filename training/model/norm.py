"""Batch normalisation of maps: torch's, and on a CPU one that reads each array as seldom as can be.

In torch's own backward pass for maps with channels last, each thread adds to a line of a few channels. The lines are
neighbours in memory, so two threads on two cores take three times as long as one.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.model import norm_kernels
from training.model.threads import in_threads, shares

Array = NDArray[Any]


def batch_norm(current: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """``norm`` over steps, samples and pixels of maps (T, B, C, H, W)."""
    rows = current.movedim(2, -1)
    if not norm.training or current.device.type != "cpu" or not rows.is_contiguous():
        result: Tensor = norm(current.flatten(0, 1))
        return result.unflatten(0, current.shape[:2])
    normalised, mean, variance = _BatchNorm.apply(rows, norm.weight, norm.bias, norm.eps)  # type: ignore[no-untyped-call]
    follow(norm, mean, variance, rows.numel() // len(mean))
    maps: Tensor = normalised.movedim(-1, 2)
    return maps


@torch.no_grad()
def follow(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Let the running statistics follow those of a batch: mean and mean square distance of ``count`` values."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)
    norm.num_batches_tracked.add_(1)


class _BatchNorm(torch.autograd.Function):
    """Rows (..., C) normalised, and their mean and variance, which have no gradients."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        values, (gain, offset) = _line(rows), (each.detach().numpy() for each in (weight, bias))
        one_pixel = values[: len(gain)].copy()  # in the place of the mean: squares of distances from it are small
        expected, product = _means(values, values, one_pixel)
        mean = expected.astype(values.dtype)
        variance = np.maximum(product - expected * (expected - one_pixel), 0).astype(values.dtype)
        inverse = 1 / np.sqrt(variance + values.dtype.type(eps))
        result = torch.empty_like(rows)
        _on_cores(norm_kernels.scale, [values], [gain * inverse, offset - gain * inverse * mean], _line(result))
        ctx.save_for_backward(rows, weight)
        ctx.statistics = mean, inverse
        statistics = torch.from_numpy(mean), torch.from_numpy(variance)
        ctx.mark_non_differentiable(*statistics)
        return result, *statistics

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """``weight r (g - mean(g) - x' mean(g x'))`` with r = 1 / sqrt(variance + eps) and x' = (x - mean) r."""
        rows, weight = ctx.saved_tensors
        mean, inverse = ctx.statistics
        outer, values = _line(gradients[0].contiguous()), _line(rows)
        expected, product = (each.astype(mean.dtype) for each in _means(outer, values, mean))
        factor = weight.detach().numpy() * inverse
        slope = -factor * inverse * inverse * product
        result = torch.empty_like(rows)
        constants = [factor, slope, -factor * expected - slope * mean]
        _on_cores(norm_kernels.combine, [outer, values], constants, _line(result))
        count = len(values) // len(mean)
        return result, torch.from_numpy(count * product * inverse), torch.from_numpy(count * expected), None


def _means(weights: Array, values: Array, centre: Array) -> tuple[Array, Array]:
    """Means over all pixels of ``weights`` and of ``weights (values - centre)``, float64, shape (C,)."""
    parts = _parts(len(values), len(centre))
    totals = np.zeros((len(parts), 2, len(centre)))
    in_threads(
        lambda number: norm_kernels.sums(weights, values, centre, *parts[number], totals[number]), range(len(parts))
    )
    first, second = totals.sum(0) / (len(values) // len(centre))
    return first, second


def _on_cores(kernel: Any, arrays: list[Array], constants: list[Array], result: Array) -> None:
    in_threads(lambda part: kernel(*arrays, *constants, *part, result), _parts(len(result), len(constants[0])))


def _parts(size: int, channels: int) -> list[tuple[int, int]]:
    """First value of each thread's pixels, and the one after their last."""
    return [(first * channels, last * channels) for first, last in shares(size // channels, channels)]


def _line(maps: Tensor) -> Array:
    line: Array = maps.detach().reshape(-1).numpy()
    return line
