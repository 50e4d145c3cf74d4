"""Quantisation-aware training: the encoder on the grids that it is deployed on, with straight-through gradients.

``fold`` moves the batch normalisation into the weights, ``choose_grids`` picks a grid step for each set of maps that
drive the same neurons, and ``put_on_grids`` makes the forward pass use rounded weights. Steps are powers of two: all
sums of the network are then exact in single precision, the threshold lies on the grid, and this network and the integer
network that is exported from it are the same one, spike for spike.

Rounding passes gradients straight through (Bengio, Leonard, Courville 2013, arXiv:1308.3432).
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spikinghash.errors import CheckpointError
from training.model.attention import SpikingSelfAttention
from training.model.encoder import Spikinghash
from training.model.maps import LinearMap, streams
from training.model.wave_mixer import WaveMixer

LARGEST_MANTISSA = 127
"""Of an eight-bit weight; -128 is left out, so that a weight and its negative are equally exact."""
ATTENTION_RESOLUTION = 64
"""Weight of one coincidence on its grid: thresholds of attention neurons are resolved to 1/64 of a coincidence."""
FLOAT32_BITS = 24
"""Significand of single precision."""
_COARSEST = 3
"""Bits of a weight that may be given up for sums that are exact in single precision."""

Grids = dict[str, float]
"""Step of each stream's grid in units of the stream's currents, by the name of its first map."""


def exponent(largest: float, step: float) -> int:
    """The least e >= 0 such that weights up to ``largest`` are at most 127 multiples of ``2^e step``."""
    return max(0, math.ceil(math.log2(max(largest, 1e-300) / (LARGEST_MANTISSA * step)) - 1e-9))


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, step: float, largest: float) -> Tensor:
        return torch.round(value / step).clamp(-largest, largest) * step

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0], None, None


def round_straight_through(value: Tensor, step: float, largest: float = math.inf) -> Tensor:
    """``value`` in multiples of ``step``, at most ``largest`` of them; its gradient is that of the identity."""
    result: Tensor = _StraightThrough.apply(value, step, largest)  # type: ignore[no-untyped-call]
    return result


class RoundWeight(nn.Module):
    """Rounds to mantissas up to ``largest``, in multiples of ``2^e step``.

    With eight bits e is the least for which none is cut off. With fewer, of which the largest weights would waste most,
    it is the one with the least squared error.
    """

    def __init__(self, step: float, largest: int = LARGEST_MANTISSA) -> None:
        super().__init__()
        self.step, self.largest = step, largest

    def forward(self, weight: Tensor) -> Tensor:
        """Any shape in, the same out."""
        whole = exponent(float(weight.detach().abs().max()) * LARGEST_MANTISSA / self.largest, self.step)
        if self.largest < LARGEST_MANTISSA:
            whole = min(range(whole + 1), key=lambda e: self._error(weight.detach(), self.step * 2**e))
        return round_straight_through(weight, self.step * 2**whole, self.largest)

    def _error(self, weight: Tensor, step: float) -> float:
        return float((round_straight_through(weight, step, self.largest) - weight).square().sum())


class RoundBias(nn.Module):
    """Rounds to multiples of ``step``."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step

    def forward(self, bias: Tensor) -> Tensor:
        """Any shape in, the same out."""
        return round_straight_through(bias, self.step)


class RoundScale(nn.Module):
    """Rounds the scale of an attention to 64 multiples of ``2^e step``, but not to zero."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step

    def forward(self, scale: Tensor) -> Tensor:
        """A scalar in and out."""
        coarse = self.step * 2 ** exponent(float(scale.detach()) * LARGEST_MANTISSA / ATTENTION_RESOLUTION, self.step)
        return round_straight_through(scale, coarse).clamp(min=coarse)


@torch.no_grad()
def fold(model: Spikinghash) -> None:
    """Move the scale of each batch normalisation into the map before it; what is left of it is a bias.

    The network computes the same as before in evaluation mode, and has to stay in it.
    """
    model.eval()
    for linear_map in (member for stream in streams(model) for member in stream):
        norm = linear_map.norm
        if norm is None or norm.running_mean is None or norm.running_var is None:
            continue
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        _scale_outputs(linear_map.layer, scale)
        norm.bias.sub_(scale * norm.running_mean)
        norm.weight.fill_(1.0).requires_grad_(False)
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0)
        norm.eps = 0.0  # 1 / sqrt(1 + 0) is 1 in any precision


def _scale_outputs(layer: nn.Module, scale: Tensor) -> None:
    if isinstance(layer, WaveMixer):
        groups, out = layer.fusion.shape[1:3]
        layer.fusion.mul_(scale.reshape(1, groups, out, 1))
        return
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    layer.weight.mul_(scale.reshape(-1, *[1] * (layer.weight.dim() - 1)))


@torch.no_grad()
def choose_grids(model: Spikinghash) -> Grids:
    """Steps for a folded ``model``: the finest power of two at which eight bits hold the smallest map of a stream.

    A step is doubled, up to three times, while a stream's potentials might need more bits than single precision has.
    """
    return {stream[0].name: _step(stream, model.config.time_steps) for stream in streams(model)}


def _step(stream: list[LinearMap], time_steps: int) -> float:
    largest = [float(value) for member in stream if (value := _full_scale(member)) > 0]
    finest = 2.0 ** math.ceil(math.log2(min(largest, default=1.0) / LARGEST_MANTISSA))
    # A potential is below twice the current, and gains a fractional bit with every step since the last reset.
    limit = 2.0 ** (FLOAT32_BITS - time_steps - 1)
    worst = _worst_current(stream)
    for step in (finest * 2**bits for bits in range(_COARSEST + 1)):
        if worst / step < limit:
            return step
    return finest


def _full_scale(member: LinearMap) -> Tensor:
    largest = member.weight().abs().max()
    return largest * LARGEST_MANTISSA / ATTENTION_RESOLUTION if member.norm is None else largest


def _worst_current(stream: Iterable[LinearMap]) -> float:
    """A bound on the current into any neuron of ``stream``: all excitatory synapses active, or all inhibitory ones."""
    total = 0.0
    for member in stream:
        weight = member.weight()
        if isinstance(member.layer, SpikingSelfAttention):
            continue  # its counts are bounded by tokens and head width, which float32 holds with ease
        if member.norm is not None:
            total += float(member.norm.bias.abs().max())
        outputs = weight.flatten(0, 1) if weight.dim() == 3 else weight.flatten(1)
        inputs = outputs * (1 / member.share)
        total += float(max(inputs.clamp(min=0).sum(1).max(), (-inputs).clamp(min=0).sum(1).max()))
    return total


def put_on_grids(model: Spikinghash, grids: Grids, weight_bits: int = 8) -> None:
    """Let a folded ``model`` compute with rounded weights, biases and scales; gradients go to the unrounded ones.

    Weights of convolutions and of the hash layer get ``weight_bits``, two of which leave -1, 0 and 1; the block maps of
    wave mixers, sums of several fusions, keep eight.

    Raises:
        CheckpointError: the grids are not those of its streams.
    """
    named = {stream[0].name for stream in streams(model)}
    if unlike := sorted(named ^ grids.keys()):
        raise CheckpointError(f"grids of {', '.join(unlike)[:80]} lack or are of no layer: train the checkpoint anew")
    for stream in streams(model):
        step = grids[stream[0].name]
        for member in stream:
            _round(member, step, 2 ** (weight_bits - 1) - 1)
    model.grids = grids


def _round(member: LinearMap, step: float, largest: int) -> None:
    layer = member.layer
    if isinstance(layer, WaveMixer):
        layer.rounding = RoundWeight(step)
    elif isinstance(layer, SpikingSelfAttention):
        layer.rounding = RoundScale(step)
    else:
        parametrize.register_parametrization(layer, "weight", RoundWeight(step / member.share, largest))
    if member.norm is not None:
        member.norm.eps = 0.0  # as ``fold`` left it; a file of weights does not tell
        parametrize.register_parametrization(member.norm, "bias", RoundBias(step))


@torch.no_grad()
def plain_weights(model: Spikinghash) -> dict[str, Tensor]:
    """The weights of ``model`` by the names that they have without grids, rounded where the network rounds them."""
    weights = {}
    for name, value in model.state_dict().items():
        path, parametrized, rest = name.partition(".parametrizations.")
        if parametrized:
            attribute = rest.partition(".")[0]
            path, value = f"{path}.{attribute}", getattr(model.get_submodule(path), attribute)
        weights[path] = value
    return weights
