"""The MLP of a block: LIF, 1x1 convolution, BN, LIF, 1x1 convolution, BN.

Its hidden maps are the largest arrays of the network. On a CPU they are never whole in memory: batch normalisation is
folded into the first convolution, its statistics following from those of the inputs, and the hidden neurons are then
walked through in chunks that stay in the processor's cache, forwards and again backwards.
"""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.model import lif_kernels
from training.model.drive import Drive, activity, follow
from training.model.layers import ConvNorm
from training.model.lif import Lif, neuron
from training.model.threads import in_threads, one_blas_thread, shares


class Mlp(nn.Module):
    """LIF, 1x1 convolution, BN, LIF, 1x1 convolution, BN."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.lif = Lif()
        self.expand = ConvNorm(channels, ratio * channels, kernel=1)
        self.hidden_lif = Lif()
        self.contract = ConvNorm(ratio * channels, channels, kernel=1)

    def forward(self, drive: Drive) -> Drive:
        """What drives ``lif`` in, the stream with what is added to it out."""
        spikes, stream = activity(self.lif, drive)
        if spikes.device.type == "cpu" and isinstance(self.hidden_lif, Lif):
            return Drive(self._in_chunks(spikes), self.contract.norm, stream)
        return self.contract.drive(activity(self.hidden_lif, self.expand.drive(spikes))[0], stream)

    def _in_chunks(self, spikes: Tensor) -> Tensor:
        t, b, c, h, w = spikes.shape
        inputs = spikes.movedim(2, -1).reshape(t, -1, c)
        weight, bias = normalised(self.expand, inputs)
        current: Tensor = _HiddenLif.apply(inputs, weight, bias, self.contract.conv.weight.flatten(1))  # type: ignore[no-untyped-call]
        return current.reshape(t, b, h, w, -1).movedim(-1, 2)


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
    if norm.training:
        flat = inputs.flatten(0, -2)
        expected, covariance = _Moments.apply(flat)  # type: ignore[no-untyped-call]
        mean, variance = weight @ expected, ((weight @ covariance) * weight).sum(1)
        follow(norm, mean, variance, len(flat))
    else:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance = norm.running_mean, norm.running_var
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    return scale[:, None] * weight, norm.bias - scale * mean


class _Moments(torch.autograd.Function):
    """Mean (C,) and covariance (C, C) of the rows of an array (N, C). The backward pass is one product."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
        parts = [rows[first:last] for first, last in shares(len(rows), rows.shape[1] ** 2)]
        sums = in_threads(lambda part: (part.sum(0), part.T @ part), parts)
        mean, square = (torch.stack(part).sum(0) / len(rows) for part in zip(*sums, strict=True))
        ctx.save_for_backward(rows, mean)
        return mean, square - torch.outer(mean, mean)

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
        arrays = _arrays(inputs, first, bias, second, result)
        with one_blas_thread():
            in_threads(lambda part: lif_kernels.mlp(*arrays, *part, neuron(inputs)), _parts(inputs, first))
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        inputs, first, bias, second = ctx.saved_tensors
        of_inputs = inputs.new_empty(inputs.shape)
        arrays = _arrays(inputs, gradients[0], first, bias, second, of_inputs)

        def compute(part: tuple[int, int]) -> list[Tensor]:
            sums = [weight.new_zeros(weight.shape) for weight in (first, bias, second)]
            lif_kernels.mlp_gradient(*arrays, *_arrays(*sums), *part, neuron(inputs))
            return sums

        with one_blas_thread():
            parts = in_threads(compute, _parts(inputs, first))
        return of_inputs, *(torch.stack(part).sum(0) for part in zip(*parts, strict=True))


def _parts(inputs: Tensor, first: Tensor) -> list[tuple[int, int]]:
    """First input of each thread, and the one after its last."""
    steps, count, _ = inputs.shape
    return shares(count, steps * first.numel())


def _arrays(*tensors: Tensor) -> list[NDArray[Any]]:
    """The tensors themselves, but where their layout is another one."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
