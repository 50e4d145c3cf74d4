"""The ANN twin of an encoder: same topology, ReLU for LIF, softmax attention, int8. Operation counts, no weights.

Twins read one frame that sums the events of the window, or T frames, as many as the spiking network has steps. Two
variants of the first have narrower activations (QNN) or skip zeros. The energy model prices the counts with the same
terms as the spiking network.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

from deploy.energy.ann_network import POLARITIES, AnnLayer, AnnNetwork
from spikinghash.errors import ConfigError, GraphError

_KERNEL = 3
"""Side of the strided convolution at the head of each stage."""


class EncoderSizes(Protocol):
    """What is read of an encoder's configuration; lists hold one entry per stage."""

    @property
    def size(self) -> int:
        """Height and width of a frame."""

    @property
    def time_steps(self) -> int:
        """T."""

    @property
    def channels(self) -> Sequence[int]:
        """Channels of each stage."""

    @property
    def blocks(self) -> Sequence[int]:
        """Blocks of each stage."""

    @property
    def mixers(self) -> Sequence[str]:
        """Mixer of each stage, "swm" or "ssa"."""

    @property
    def levels(self) -> Sequence[int]:
        """Levels of the Haar transform of "swm" stages."""

    @property
    def heads(self) -> Sequence[int]:
        """Heads of "ssa" stages."""

    @property
    def channels_per_group(self) -> int:
        """Channels that the spectral fusion mixes."""

    @property
    def mlp_ratio(self) -> int:
        """Hidden channels of an MLP over its channels."""

    @property
    def bits(self) -> int:
        """Bits of the code."""


@dataclass(frozen=True)
class Sizes:
    """``EncoderSizes`` as an encoder's file states them."""

    size: int
    time_steps: int
    channels: Sequence[int]
    blocks: Sequence[int]
    mixers: Sequence[str]
    levels: Sequence[int]
    heads: Sequence[int]
    channels_per_group: int
    mlp_ratio: int
    bits: int

    @staticmethod
    def from_values(values: Mapping[str, Any], source: str) -> "Sizes":
        """Pick the sizes out of an encoder's configuration; ``source`` is named in messages.

        Raises:
            GraphError: a size is missing.
        """
        try:
            return Sizes(**{field.name: values[field.name] for field in fields(Sizes)})
        except KeyError as error:
            raise GraphError(f"{source}: its metadata lack the encoder's {error}: export it again") from None


@dataclass(frozen=True)
class _Stage:
    index: int
    frames: int
    side: int
    channels: int

    @property
    def pixels(self) -> int:
        return self.side**2 * self.frames

    @property
    def activations(self) -> int:
        return self.pixels * self.channels

    def name(self, part: str) -> str:
        return f"stage{self.index + 1}_{part}"


def ann_twin(config: EncoderSizes, frames: int) -> AnnNetwork:
    """Count the ANN twin that reads ``frames`` frames: 1 (the summed frame) or ``config.time_steps``.

    With one frame the Haar transform has no time axis: it is two-dimensional, of 3 L + 1 subbands instead of 7 L + 1.
    """
    pixel_bits = 8 if frames == 1 else 1
    input_bits = POLARITIES * config.size**2 * frames * pixel_bits
    layers = [layer for stage in range(len(config.channels)) for layer in _stage_layers(config, stage, frames)]
    label = f"ANN twin ({frames} frame{'s' if frames > 1 else ''})"
    kind = "ann_twin_1" if frames == 1 else "ann_twin_t"
    return AnnNetwork(label, kind, frames, input_bits, (*layers, _head(config, frames)))


def qnn_twin(config: EncoderSizes) -> AnnNetwork:
    """The twin on the summed frame whose activations have as many levels as T binary steps: ceil(log2(T + 1)) bits.

    Yan, Bai, Wong, "Reconsidering the energy efficiency of spiking neural networks", arXiv:2409.08290, compare with
    this one: a spike count over T steps carries no more than that.
    """
    bits = config.time_steps.bit_length()
    pixels = POLARITIES * config.size**2
    return replace(
        ann_twin(config, 1), label=f"QNN twin ({bits}-bit)", kind="qnn", input_bits=pixels * bits, activation_bits=bits
    )


def sparse_twin(config: EncoderSizes, zero_share: Mapping[str, float], source: str) -> AnnNetwork:
    """The int8 twin on the summed frame, on hardware that skips zero activations.

    Args:
        zero_share: measured share of zeros that each activation of the trained twin puts out, by its module's name,
            or that a layer of this count reads, by the layer's name.
        source: where the shares come from; named in messages.

    Raises:
        ConfigError: a name is neither, or a share is outside 0 to 1.
    """
    twin = ann_twin(config, 1)
    names = {layer.name for layer in twin.layers}
    density: dict[str, float] = {}
    for name, share in zero_share.items():
        if not 0 <= share <= 1:
            raise ConfigError(f"{source}: activation_sparsity of {name} is {share:g}: give a share from 0 to 1")
        fed = [name] if name in names else _fed_by(name)
        if fed is None:
            raise ConfigError(
                f"{source}: activation_sparsity of {name}, which is no activation of an ANN twin: measure it again"
            )
        density |= {layer: 1 - share for layer in fed if layer in names}
    return replace(twin, label="int8 twin (zeros skipped)", kind="int8_twin", density=density)


_ACTIVATION = re.compile(r"stages\.(\d+)\.(?:blocks\.(\d+)\.)?(lif|mixer\.lif|mixer\.mixer\.activation|mlp\.\w+)")
_READERS = {
    "mixer.lif": ("mixer_q", "mixer_k", "mixer_v"),
    "mixer.mixer.activation": ("mixer_proj",),
    "mlp.lif": ("mlp_expand",),
    "mlp.hidden_lif": ("mlp_contract",),
}
"""Layers of a block that read an activation. A Haar transform and a mean over the map leave no zeros to skip."""


def _fed_by(activation: str) -> list[str] | None:
    """Layers whose MACs read the activation of this module name; ``None`` if the twin has no such activation."""
    if activation == "activation":
        return []
    found = _ACTIVATION.fullmatch(activation)
    if found is None:
        return None
    stage, block, part = int(found[1]) + 1, found[2], found[3]
    if block is None:
        return [f"stage{stage}_down"]
    return [f"stage{stage}_block{block}_{layer}" for layer in _READERS.get(part, ())]


def _stage_layers(config: EncoderSizes, index: int, frames: int) -> Iterator[AnnLayer]:
    stage = _Stage(index, frames, config.size >> (index + 1), config.channels[index])
    yield _down(stage, config.channels[index - 1] if index else POLARITIES)
    for block in range(config.blocks[index]):
        if config.mixers[index] == "swm":
            yield _wave_mixer(stage, block, config.levels[index], config.channels_per_group)
        else:
            yield from _attention(stage, block, config.heads[index])
        yield _pointwise(stage, f"block{block}_mlp_expand", stage.channels, config.mlp_ratio * stage.channels, 0)
        yield _pointwise(
            stage, f"block{block}_mlp_contract", config.mlp_ratio * stage.channels, stage.channels, stage.activations
        )


def _down(stage: _Stage, channels_in: int) -> AnnLayer:
    taps = channels_in * _KERNEL**2
    return AnnLayer(
        name=stage.name("down"),
        macs=stage.activations * taps,
        adds=stage.activations,
        multiplies=stage.activations,
        weights=taps * stage.channels + stage.channels,
        inputs=4 * stage.pixels * channels_in,
        outputs=stage.activations,
    )


def _pointwise(stage: _Stage, part: str, channels_in: int, channels_out: int, residual: int) -> AnnLayer:
    """1x1 convolution with bias and requantisation; ``residual`` additions and reads join the shortcut."""
    outputs = stage.pixels * channels_out
    return AnnLayer(
        name=stage.name(part),
        macs=outputs * channels_in,
        adds=outputs + residual,
        multiplies=outputs,
        weights=channels_in * channels_out + channels_out,
        inputs=stage.pixels * channels_in + residual,
        outputs=outputs,
    )


def haar_adds(elements: int, levels: int, axes: int) -> int:
    """Additions of a separable Haar transform of ``elements`` values and of its inverse.

    One addition per value, axis and level; each level works on the 2^-axes part that the one before left as
    approximation. The scale factors are powers of two once both directions are taken together, hence free.
    """
    return 2 * sum(axes * (elements >> (axes * level)) for level in range(levels))


def _wave_mixer(stage: _Stage, block: int, levels: int, group: int) -> AnnLayer:
    """Haar transform, one grouped 1x1x1 convolution per subband, inverse, residual.

    The transform is critically sampled, so that the fusions of all subbands together have as many outputs as the map.
    """
    axes = 3 if stage.frames > 1 else 2
    subbands = (2**axes - 1) * levels + 1
    return AnnLayer(
        name=stage.name(f"block{block}_mixer"),
        macs=stage.activations * group,
        adds=2 * stage.activations,
        transform_adds=haar_adds(stage.activations, levels, axes),
        multiplies=stage.activations,
        weights=subbands * stage.channels * group + stage.channels,
        inputs=2 * stage.activations,
        outputs=stage.activations,
    )


def _attention(stage: _Stage, block: int, heads: int) -> Iterator[AnnLayer]:
    """q, k, v, softmax(Q K^T) V per frame and head, projection."""
    for part in ("q", "k", "v"):
        yield _pointwise(stage, f"block{block}_mixer_{part}", stage.channels, stage.channels, 0)
    yield _softmax_attention(stage, block, heads)
    yield _pointwise(stage, f"block{block}_mixer_proj", stage.channels, stage.channels, stage.activations)


def _softmax_attention(stage: _Stage, block: int, heads: int) -> AnnLayer:
    """Softmax forbids the order Q (K^T V), so both products cost N^2 C per frame.

    An integer exponential takes about three multiplications and three additions (I-BERT, Kim et al. 2021,
    arXiv:2101.01321: range reduction and a polynomial of second order), its sum one addition, its normalisation one
    multiplication; the reciprocal of a row's sum is a division, about 32 shift-and-subtract steps.
    """
    tokens = stage.side**2
    scores = stage.pixels * tokens * heads
    return AnnLayer(
        name=stage.name(f"block{block}_mixer_attention"),
        macs=2 * stage.pixels * tokens * stage.channels,
        adds=4 * scores + 32 * stage.pixels * heads,
        multiplies=4 * scores + stage.activations,
        weights=0,
        inputs=3 * stage.activations + scores,
        outputs=stage.activations + scores,
    )


def _head(config: EncoderSizes, frames: int) -> AnnLayer:
    """Mean over the map, then a linear layer to the code."""
    channels = config.channels[-1]
    side = config.size >> len(config.channels)
    features = channels * side**2 * frames
    outputs = config.bits * frames
    return AnnLayer(
        name="head",
        macs=channels * outputs,
        adds=features + outputs,
        multiplies=outputs,
        weights=channels * config.bits + config.bits,
        inputs=features,
        outputs=outputs,
    )
