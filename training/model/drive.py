"""What drives LIF neurons: a stream, and a current that is normalised and added to it.

On a CPU the normalisation, the addition and the neurons are one walk through memory, and so is their backward pass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.model import lif_kernels
from training.model.lif import Lif, neuron
from training.model.lif_kernels import Array
from training.model.threads import in_threads, shares

_ARRAYS = 4
"""Read or written by a kernel, about."""


@dataclass(frozen=True)
class Drive:
    """``stream + norm(current)``, not computed yet; maps have shape (T, B, C, H, W)."""

    current: Tensor
    norm: nn.BatchNorm2d
    stream: Tensor | None = None
    """What a membrane shortcut adds to."""

    def total(self) -> Tensor:
        """The currents into the neurons."""
        maps: Tensor = self.norm(self.current.flatten(0, 1))
        normalised = maps.unflatten(0, self.current.shape[:2])
        return normalised if self.stream is None else self.stream + normalised


def activity(neurons: nn.Module, drive: Drive) -> tuple[Tensor, Tensor]:
    """What ``neurons`` put out when they are driven, and the currents into them; both (T, B, C, H, W)."""
    rows = drive.current.movedim(2, -1)
    if not isinstance(neurons, Lif) or rows.device.type != "cpu" or not rows.is_contiguous():
        total = drive.total()
        return neurons(total), total
    norm, stream = drive.norm, None if drive.stream is None else drive.stream.movedim(2, -1)
    mean, variance = _statistics(norm, rows)
    spikes, total = _Driven.apply(rows, stream, norm.weight, norm.bias, mean, variance, norm.eps, norm.training)  # type: ignore[no-untyped-call]
    return spikes.movedim(-1, 2), total.movedim(-1, 2)


@torch.no_grad()
def _statistics(norm: nn.BatchNorm2d, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance that ``norm`` takes for maps (..., C)."""
    if not norm.training:
        return running_statistics(norm)
    values, channels = _values(rows), rows.shape[-1]
    count = len(values) // channels
    one_pixel = values[:channels].copy()  # in the place of the mean: squares of distances from it are small
    first, product = _add(lif_kernels.sums, [values, values, one_pixel], channels, count, 1) / count
    mean, variance = first, np.maximum(product - first * (first - one_pixel), 0)
    statistics = torch.from_numpy(mean).to(rows.dtype), torch.from_numpy(variance).to(rows.dtype)
    follow(norm, *statistics, count)
    return statistics


def running_statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Running mean and variance, which all norms of the encoder keep."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


@torch.no_grad()
def follow(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Let the running statistics follow those of a batch: mean and mean square distance of ``count`` values."""
    running_mean, running_variance = running_statistics(norm)
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    running_mean.lerp_(mean, norm.momentum)
    running_variance.lerp_(variance * (count / (count - 1)), norm.momentum)
    norm.num_batches_tracked.add_(1)


class _Driven(torch.autograd.Function):
    """Spikes and currents of neurons, from rows (T, B, H, W, C) that are normalised with the given statistics.

    ``of_batch``: the statistics are those of the rows themselves, so that gradients go through them, too.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, stream: Tensor | None, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor,
        eps: float, of_batch: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        gain, offset, centre, square = (each.detach().numpy() for each in (weight, bias, mean, variance))
        inverse = 1 / np.sqrt(square + square.dtype.type(eps))
        factors = gain * inverse, offset - gain * inverse * centre
        spikes, total = torch.empty_like(rows), torch.empty_like(rows)
        arrays = _by_step(stream, rows), _by_step(rows), *factors, _by_step(total), _by_step(spikes)
        steps, pixels, channels = _sizes(rows)
        in_threads(lambda part: lif_kernels.driven(*arrays, *part, neuron(rows)), _parts(pixels, channels, steps))
        ctx.save_for_backward(rows, total, weight)
        ctx.statistics, ctx.of_batch, ctx.has_stream = (centre, inverse), of_batch, stream is not None
        ctx.set_materialize_grads(False)
        return spikes, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """``weight r (g - mean(g) - x' mean(g x'))`` goes to the rows x, the means only if statistics are of the batch.

        g is the gradient of the stream, r = 1 / sqrt(variance + eps), x' = (x - mean) r.
        """
        of_spikes, of_total = gradients
        rows, total, weight = ctx.saved_tensors
        centre, inverse = ctx.statistics
        steps, pixels, channels = _sizes(rows)
        of_stream = torch.empty_like(rows)
        spiking = torch.zeros_like(rows) if of_spikes is None else of_spikes
        arrays = [_by_step(rows), centre, *(_by_step(each, rows) for each in (total, of_total, spiking, of_stream))]
        sums = _add(lif_kernels.driven_gradient, arrays, channels, pixels, steps, neuron(rows)).astype(centre.dtype)
        factor = weight.detach().numpy() * inverse
        slope, constant = np.zeros((2, channels), centre.dtype)
        if ctx.of_batch:
            mean, product = sums / (steps * pixels)
            slope = -factor * inverse * inverse * product
            constant = -factor * mean - slope * centre
        of_rows = torch.empty_like(rows) if ctx.has_stream else of_stream
        lines = _values(of_stream), _values(rows), factor, slope, constant
        in_threads(
            lambda part: lif_kernels.combine(*lines, *part, _values(of_rows)), _parts(steps * pixels, channels, 1)
        )
        of_bias, of_weight = torch.from_numpy(sums[0]), torch.from_numpy(sums[1] * inverse)
        return of_rows, of_stream if ctx.has_stream else None, of_weight, of_bias, None, None, None, None


def _add(kernel: Callable[..., None], arrays: list[Array], channels: int, count: int, size: int, *more: Any) -> Array:
    """The sums, shape (2, C), that ``kernel`` adds up over ``count`` pixels of ``size`` steps each."""
    parts = _parts(count, channels, size)
    sums = np.zeros((len(parts), 2, channels))
    in_threads(lambda part: kernel(*arrays, sums[part], *parts[part], *more), range(len(parts)))
    total: Array = sums.sum(0)
    return total


def _parts(pixels: int, channels: int, steps: int) -> list[tuple[int, int]]:
    """First value of each thread's pixels, and the one after their last."""
    work = _ARRAYS * steps * channels
    return [(first * channels, last * channels) for first, last in shares(pixels, work)]


def _sizes(rows: Tensor) -> tuple[int, int, int]:
    """Steps, pixels of all samples, channels."""
    return len(rows), rows[0, ..., 0].numel(), rows.shape[-1]


def _by_step(maps: Tensor | None, like: Tensor | None = None) -> Array:
    """(T, values of a step); nothing for ``None``, with the type of ``like``."""
    if maps is None:
        assert like is not None
        return np.empty((0, 0), like.detach()[:0].numpy().dtype)
    array: Array = maps.detach().contiguous().reshape(len(maps), -1).numpy()
    return array


def _values(maps: Tensor) -> Array:
    line: Array = maps.detach().reshape(-1).numpy()
    return line
