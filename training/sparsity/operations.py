"""Synaptic operations of a network in training: each spike counts for its fan-out, the non-zero synapses behind it.

Spikes are watched where they enter a linear map, so that whatever feeds the map is counted. Counts carry gradients to
the spikes; fan-outs are constants. A weight that is pruned or rounded to zero is no synapse.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from training.model.attention import SpikingSelfAttention, coincidence_counts
from training.model.encoder import AttentionBranch, Block, ConvBranch, Spikinghash, Stage, WaveBranch
from training.model.mlp import Mlp, Watch
from training.model.wave_mixer import WaveMixer
from training.sparsity.copies import Copies, StreamCopies, lowered_copies, natural_copies

Counted = Literal["natural", "lowered"]
"""``natural``: every map once, an attention as its two products, as a runtime of spikes works. ``lowered``: as the
native graph, in which all neurons that read a stream run all maps that add to it, and every coincidence is a gate."""


class OperationMeter:
    """Counts what each forward pass of ``model`` spends, until ``close``; others may be opened and closed meanwhile.

    What does not depend on spikes (biases, clocks) is left out.
    """

    def __init__(self, model: Spikinghash, counted: Counted = "natural") -> None:
        self.parts: dict[str, Tensor] = {}
        """Operations of the last batch by map: scalars of double precision, exact up to 2^53."""
        self._counted, self._samples = counted, 0
        self._handles: list[Any] = [model.register_forward_pre_hook(self._begin)]
        self._mlps: list[tuple[Mlp, Watch | None]] = []
        """With who watched before."""
        copies = lowered_copies if counted == "lowered" else natural_copies
        for index, stage in enumerate(model.stages):
            assert isinstance(stage, Stage)
            self._watch_stage(f"stage{index + 1}", stage, copies(model.config, index))
        self._watch_head(model)

    def per_recording(self) -> Tensor:
        """Operations of a recording, the mean over the last batch."""
        return torch.stack(list(self.parts.values())).sum() / self._samples

    def close(self) -> None:
        """Stop watching."""
        for handle in self._handles:
            handle.remove()
        for mlp, before in self._mlps:
            mlp.watch = before

    def _begin(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.parts.clear()
        self._samples = len(inputs[0])

    def _on_entry(self, name: str, layer: nn.Module, count: Callable[..., Tensor]) -> None:
        """Let ``count`` give the operations of what enters ``layer``."""

        def enter(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self.parts[name] = count(*inputs)

        self._handles.append(layer.register_forward_pre_hook(enter))

    def _watch_stage(self, name: str, stage: Stage, copies: StreamCopies) -> None:
        self._watch_conv(f"{name}_down", stage.down.conv, copies.down)
        for index, block in enumerate(stage.blocks):
            assert isinstance(block, Block)
            prefix, branch = f"{name}_block{index}", block.mixer
            mixer = f"{prefix}_mixer"
            if isinstance(branch, WaveBranch):
                self._watch_mixer(mixer, branch.mixer, copies.mixers[index])
            elif isinstance(branch, ConvBranch):
                self._watch_conv(mixer, branch.mixer.conv, copies.mixers[index])
            else:
                assert isinstance(branch, AttentionBranch)
                self._watch_attention(mixer, branch.mixer, copies.mixers[index])
            self._watch_mlp(f"{prefix}_mlp", block.mlp, copies.contracts[index])

    def _watch_conv(self, name: str, conv: nn.Conv2d, copies: Copies) -> None:
        self._on_entry(name, conv, lambda spikes: copies.cost(spikes.sum(0), conv_fan_out(conv, spikes.shape[-2:])))

    def _watch_mixer(self, name: str, mixer: WaveMixer, copies: Copies) -> None:
        self._on_entry(name, mixer, lambda spikes: copies.cost(by_member(spikes, mixer.levels), mixer_fan_out(mixer)))

    def _watch_attention(self, name: str, attention: SpikingSelfAttention, copies: Copies) -> None:
        self._watch_conv(f"{name}_qkv", attention.qkv.conv, Copies())
        self._on_entry(name, attention.coincidences, gates if self._counted == "lowered" else products)
        self._watch_conv(f"{name}_projection", attention.projection.conv, copies)

    def _watch_mlp(self, name: str, mlp: Mlp, copies: Copies) -> None:
        first, second = f"{name}_expand", f"{name}_contract"
        self._watch_conv(first, mlp.expand.conv, Copies())
        self._watch_conv(second, mlp.contract.conv, copies)

        def tell(spikes: Tensor, hidden: Tensor) -> None:
            self.parts[first] = Copies().cost(spikes.sum((0, 1)), conv_fan_out(mlp.expand.conv, spikes.shape[-2:]))
            self.parts[second] = hidden.double().sum()

        self._mlps.append((mlp, mlp.watch))
        mlp.watch = Watch(lambda weight: copies.of_spike(torch.count_nonzero(weight, dim=0)), tell)

    def _watch_head(self, model: Spikinghash) -> None:
        linear, pixels = model.head.linear, model.config.stage_sizes[-1] ** 2

        def count(pooled: Tensor) -> Tensor:
            return Copies().cost(pooled.double().sum((0, 1)) * pixels, torch.count_nonzero(linear.weight, dim=0))

        self._on_entry("head_linear", linear, count)
        if self._counted == "lowered" and model.config.head == "hash":
            self._handles.append(model.head.hash_lif.register_forward_hook(self._count_votes))

    def _count_votes(self, _: nn.Module, __: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        """Each spike of a hash neuron reaches the neuron that counts them."""
        self.parts["vote_count"] = output[0].double().sum()


def conv_fan_out(conv: nn.Conv2d, size: Sequence[int]) -> Tensor:
    """Synapses of each input neuron of ``conv``, (C, H, W) for maps of ``size`` (H, W)."""
    return fan_out(conv.weight, size, conv.stride[0], int(conv.padding[0]), conv.groups)


@torch.no_grad()
def fan_out(weight: Tensor, size: Sequence[int], stride: int, padding: int, groups: int) -> Tensor:
    """Synapses of each input neuron of a convolution, (C, H, W): taps beyond the border are none.

    Args:
        weight: (out, C / groups, kernel height, kernel width).
        size: (H, W) of the input.
    """
    present = (weight != 0).to(weight.dtype)
    taps = zip(size, weight.shape[2:], strict=True)
    outputs = [(side + 2 * padding - kernel) // stride + 1 for side, kernel in taps]
    ones = present.new_ones(1, len(weight), *outputs)
    return conv2d_input((1, groups * weight.shape[1], *size), present, ones, stride, padding, 1, groups)[0]


@torch.no_grad()
def mixer_fan_out(mixer: WaveMixer) -> Tensor:
    """Synapses of each member of a block: (C, 2^L, 2^L, 2^L) over channel, t, y, x."""
    side = 2**mixer.levels
    return torch.count_nonzero(mixer.kernel(), dim=1).reshape(-1, side, side, side)


def by_member(spikes: Tensor, levels: int) -> Tensor:
    """Spikes (T, B, C, H, W) summed over samples and blocks: (C, 2^L, 2^L, 2^L)."""
    (t, _, c, h, w), side = spikes.shape, 2**levels
    split = spikes.sum(1).reshape(t // side, side, c, h // side, side, w // side, side)
    return split.sum((0, 3, 5)).transpose(0, 1)


def products(q: Tensor, k: Tensor, _: Tensor) -> Tensor:
    """Operations of ``Q (K^T V)`` for spikes (..., d_h, N): those of q and k gate d_h additions each, v only gates."""
    return (q.double().sum() + k.double().sum()) * q.shape[-2]


def gates(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same with a gate per coincidence: every spike reaches d_h N gates, each open gate a counting neuron."""
    width, tokens = q.shape[-2:]
    arriving = sum(spikes.double().sum() for spikes in (q, k, v)) * (width * tokens)
    return arriving + coincidence_counts(q, k, v).double().sum()
