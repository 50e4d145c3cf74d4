"""The linear maps of an encoder, and which of them drive the same neurons."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from training.model.encoder import AttentionBranch, Block, ConvBranch, Spikinghash, Stage, WaveBranch
from training.model.layers import ConvNorm


@dataclass(frozen=True)
class LinearMap:
    """A linear map of spikes and the batch normalisation behind it."""

    name: str
    """As exporters call it."""
    layer: nn.Module
    """What holds the weight: Conv2d, Linear, WaveMixer, or SpikingSelfAttention for its scale."""
    norm: nn.BatchNorm1d | nn.BatchNorm2d | None = None
    """None behind an attention, whose counts reach the neurons unnormalised."""
    share: float = 1.0
    """What a spike counts for at the input: 1 / pixels where a mean over the map comes first."""

    def weight(self) -> Tensor:
        """The weight as it acts on spikes."""
        layer = self.layer
        if isinstance(layer, nn.Conv2d | nn.Linear):
            return layer.weight * self.share
        return layer.kernel() if hasattr(layer, "kernel") else layer.scale  # type: ignore[operator, return-value]


def streams(model: Spikinghash) -> Iterator[list[LinearMap]]:
    """Maps in groups that drive the same neurons: all that add to a stage's stream, and each other map by itself."""
    for index, stage in enumerate(model.stages):
        assert isinstance(stage, Stage)
        yield from _stage_streams(stage, f"stage{index + 1}")
    pixels = model.config.stage_sizes[-1] ** 2
    yield [LinearMap("head_linear", model.head.linear, model.head.norm, 1 / pixels)]


def _stage_streams(stage: Stage, name: str) -> Iterator[list[LinearMap]]:
    residual = [_conv(f"{name}_down", stage.down)]
    for index, block in enumerate(stage.blocks):
        assert isinstance(block, Block)
        prefix = f"{name}_block{index}"
        branch, mixer = block.mixer, f"{prefix}_mixer"
        if isinstance(branch, WaveBranch):
            residual.append(LinearMap(mixer, branch.mixer, branch.norm.norm))
        elif isinstance(branch, ConvBranch):
            residual.append(_conv(mixer, branch.mixer))
        else:
            assert isinstance(branch, AttentionBranch)
            yield [_conv(f"{mixer}_qkv", branch.mixer.qkv)]
            yield [LinearMap(mixer, branch.mixer)]
            residual.append(_conv(f"{mixer}_projection", branch.mixer.projection))
        yield [_conv(f"{prefix}_mlp_expand", block.mlp.expand)]
        residual.append(_conv(f"{prefix}_mlp_contract", block.mlp.contract))
    yield residual


def _conv(name: str, layer: ConvNorm) -> LinearMap:
    return LinearMap(name, layer.conv, layer.norm)
