"""The conventional networks that an encoder is compared with: built as they are trained, counted as they run."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch

from deploy.energy.ann_network import AnnNetwork
from deploy.energy.networks.module import ACTIVATIONS, count_module
from spikinghash.errors import ConfigError
from training.baselines.quantised import activation_bits
from training.baselines.resnet import ResNet18
from training.baselines.twin import AnnTwin
from training.config import EncoderConfig
from training.model.encoder import INPUT_CHANNELS

FRAME_BITS = 8
"""Of a pixel of the summed frame; of T frames, each pixel is a bit."""


def baselines(config: EncoderConfig, zero_share: Mapping[str, float] | None, source: str) -> Iterator[AnnNetwork]:
    """Conventional networks with codes of the same length.

    Args:
        config: of the encoder.
        zero_share: measured share of zeros that each activation of the trained twin puts out, by its module's name;
            without it no network skips zeros.
        source: where the shares come from; named in messages.
    """
    twins = [ann_twin(config, frames) for frames in dict.fromkeys((1, config.time_steps))]
    yield from twins
    yield qnn_twin(twins[0], config.time_steps)
    if zero_share:
        yield sparse_twin(config, twins[0], zero_share, source)
    yield resnet18(config)


def ann_twin(config: EncoderConfig, frames: int) -> AnnNetwork:
    """The ANN twin in int8 that reads ``frames`` frames: 1 (the summed frame) or ``config.time_steps``."""
    pixels = frames * INPUT_CHANNELS * config.size**2
    layers = count_module(AnnTwin(config, frames).eval(), _frames(config, frames))
    label = f"ANN twin ({frames} frame{'s' if frames > 1 else ''})"
    kind = "ann_twin_1" if frames == 1 else "ann_twin_t"
    return AnnNetwork(label, kind, frames, pixels * (FRAME_BITS if frames == 1 else 1), layers)


def qnn_twin(twin: AnnNetwork, time_steps: int) -> AnnNetwork:
    """The twin on the summed frame whose activations have as many levels as T binary steps: ceil(log2(T + 1)) bits.

    Yan, Bai, Wong, "Reconsidering the energy efficiency of spiking neural networks", arXiv:2409.08290, compare with
    this one: a spike count over T steps carries no more than that.
    """
    bits = activation_bits(time_steps)
    pixels = twin.input_bits // FRAME_BITS
    return replace(twin, label=f"QNN twin ({bits}-bit)", kind="qnn", input_bits=pixels * bits, activation_bits=bits)


def sparse_twin(config: EncoderConfig, twin: AnnNetwork, zero_share: Mapping[str, float], source: str) -> AnnNetwork:
    """The int8 twin on the summed frame, on hardware that skips zero activations.

    A Haar transform and a mean over the map leave no zeros to skip: the layers behind them stay dense.

    Raises:
        ConfigError: a name is no activation of the twin, or a share is outside 0 to 1.
    """
    known = {name for name, module in AnnTwin(config, 1).named_modules() if isinstance(module, ACTIVATIONS)}
    for name, share in zero_share.items():
        if not 0 <= share <= 1:
            raise ConfigError(f"{source}: activation_sparsity of {name} is {share:g}: give a share from 0 to 1")
        if name not in known:
            raise ConfigError(
                f"{source}: activation_sparsity of {name}, which is no activation of an ANN twin: measure it again"
            )
    density = {layer.name: 1 - zero_share[layer.reads] for layer in twin.layers if layer.reads in zero_share}
    return replace(twin, label="int8 twin (zeros skipped)", kind="int8_twin", density=density)


def resnet18(config: EncoderConfig) -> AnnNetwork:
    """ResNet-18 on the T binary frames, stacked as channels."""
    bits = config.time_steps * INPUT_CHANNELS * config.size**2
    layers = count_module(ResNet18(config.time_steps, config.bits).eval(), _frames(config, config.time_steps))
    return AnnNetwork("ResNet-18", "resnet18", 1, bits, layers)


def _frames(config: EncoderConfig, frames: int) -> torch.Tensor:
    return torch.zeros(1, frames, INPUT_CHANNELS, config.size, config.size)
