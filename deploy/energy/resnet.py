"""Operation counts of ResNet-18 hashing on event frames, the network of ``training.baselines.resnet``.

K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, Table 1. For small frames the stem is one 3x3
convolution of stride 2 without pooling; the T binary frames enter as 2 T channels. Batch norms are folded; weights are
int8.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from deploy.energy.ann_network import POLARITIES, AnnLayer, AnnNetwork

WIDTHS = (64, 128, 256, 512)
BLOCKS = 2
"""Basic blocks per stage, of two 3x3 convolutions each."""
STEM_STRIDE = 2
_KERNEL = 3


@dataclass(frozen=True)
class _Map:
    """Shape of the feature map that the walk has reached."""

    channels: int
    side: int

    @property
    def values(self) -> int:
        return self.channels * self.side**2


def resnet18(size: int, time_steps: int, bits: int) -> AnnNetwork:
    """Count ResNet-18 on ``time_steps`` binary frames of ``size`` x ``size`` pixels, stacked, with ``bits`` outputs."""
    frames = _Map(POLARITIES * time_steps, size)
    return AnnNetwork("ResNet-18", "resnet18", 1, frames.values, tuple(_walk(frames, bits)))


def _walk(frames: _Map, bits: int) -> Iterator[AnnLayer]:
    """Layers in the order of computation."""
    yield _convolution("stem", frames, WIDTHS[0], STEM_STRIDE)
    reached = _Map(WIDTHS[0], _strided(frames.side, STEM_STRIDE))
    for stage, width in enumerate(WIDTHS, start=1):
        for block in range(BLOCKS):
            stride = 2 if stage > 1 and block == 0 else 1
            yield from _basic_block(f"layer{stage}_{block}", reached, width, stride)
            reached = _Map(width, _strided(reached.side, stride))
    yield _pooled_linear(reached, bits)


def _basic_block(name: str, source: _Map, width: int, stride: int) -> Iterator[AnnLayer]:
    middle = _Map(width, _strided(source.side, stride))
    yield _convolution(f"{name}_conv1", source, width, stride)
    if stride > 1 or source.channels != width:
        yield _convolution(f"{name}_shortcut", source, width, stride, kernel=1)
    yield _convolution(f"{name}_conv2", middle, width, 1, residual=middle.values)


def _convolution(
    name: str, source: _Map, channels: int, stride: int, kernel: int = _KERNEL, residual: int = 0
) -> AnnLayer:
    """Padded convolution with bias and requantisation; ``residual`` values are read and added."""
    outputs = channels * _strided(source.side, stride) ** 2
    taps = source.channels * kernel**2
    return AnnLayer(
        name=name,
        macs=outputs * taps,
        adds=outputs + residual,
        multiplies=outputs,
        weights=channels * taps + channels,
        inputs=source.values + residual,
        outputs=outputs,
    )


def _pooled_linear(source: _Map, bits: int) -> AnnLayer:
    return AnnLayer(
        name="head",
        macs=source.channels * bits,
        adds=source.values + bits,
        multiplies=bits,
        weights=source.channels * bits + bits,
        inputs=source.values,
        outputs=bits,
    )


def _strided(side: int, stride: int) -> int:
    """Side of the map after a padded convolution."""
    return -(-side // stride)
