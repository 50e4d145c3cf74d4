"""The ANN twin of an encoder: same topology, ReLU for LIF, softmax attention, int8. Operation counts, no weights.

Two twins: T = 1, one frame that sums the events of the window, and T frames, as many as the spiking network has steps.
The energy model prices the counts with the same terms as the spiking network.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

from spikinghash.errors import GraphError

POLARITIES = 2
"""ON and OFF events: channels of a frame."""
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
class AnnLayer:
    """Work of one layer per code (all frames together), except for ``weights``, which are stored once."""

    name: str
    macs: int
    """int8 multiply-accumulates, dense: every tap of a convolution counts, those on the zero padding too."""
    adds: int
    """int32 additions outside the MACs: bias, residual, pooling, softmax sums."""
    multiplies: int
    """int32 multiplications outside the MACs: requantisation, softmax."""
    weights: int
    inputs: int
    """Activations read, each once."""
    outputs: int
    """Activations written."""
    transform_adds: int = 0
    """int32 additions of the Haar transform and its inverse."""

    @property
    def weight_bytes(self) -> int:
        """Stored weights, one byte each."""
        return self.weights

    def activation_bytes(self, frames: int) -> int:
        """Bytes that one frame's inputs and outputs occupy."""
        return (self.inputs + self.outputs) // frames


@dataclass(frozen=True)
class AnnTwin:
    """An ANN with the topology of the encoder."""

    frames: int
    input_bits: int
    """Bits of all frames that enter: one byte per pixel of the summed frame, one bit per pixel of T binary frames."""
    layers: tuple[AnnLayer, ...]

    @property
    def macs(self) -> int:
        """All multiply-accumulates per code."""
        return sum(layer.macs for layer in self.layers)


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


def ann_twin(config: EncoderSizes, frames: int) -> AnnTwin:
    """Count the ANN twin that reads ``frames`` frames: 1 (the summed frame) or ``config.time_steps``.

    With one frame the Haar transform has no time axis: it is two-dimensional, of 3 L + 1 subbands instead of 7 L + 1.
    """
    pixel_bits = 8 if frames == 1 else 1
    input_bits = POLARITIES * config.size**2 * frames * pixel_bits
    layers = [layer for stage in range(len(config.channels)) for layer in _stage_layers(config, stage, frames)]
    return AnnTwin(frames, input_bits, (*layers, _head(config, frames)))


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
