"""Work of the conventional networks, counted as they run, against hand calculations and torch's own counter."""

import math
from math import prod

import numpy as np
import pytest
import torch
from networks import SMALL, TINY
from torch.utils.flop_counter import FlopCounterMode

from deploy.energy.ann_network import AnnLayer, AnnNetwork
from deploy.energy.networks.baselines import ann_twin, baselines, qnn_twin, resnet18, sparse_twin
from deploy.energy.networks.module import haar_adds
from spikinghash.errors import ConfigError
from training.baselines.activations import activation_sparsity
from training.baselines.resnet import ResNet18
from training.baselines.twin import AnnTwin
from training.config import EncoderConfig
from training.model.encoder import Spikinghash
from training.model.plain import PlainEncoder

MIXER = "stages.0.blocks.0.mixer.mixer"


def variant(**changes: object) -> EncoderConfig:
    return EncoderConfig.model_validate(TINY.model_dump() | changes)


def layer_of(network: AnnNetwork, name: str) -> AnnLayer:
    return next(layer for layer in network.layers if layer.name.removesuffix(".conv") == name)


def flops(model: torch.nn.Module, frames: torch.Tensor) -> int:
    """Multiply-accumulates of convolutions and matrix products, by torch's counter."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(frames)
    counted = counter.get_flop_counts()["Global"]
    return (
        sum(counted.get(kind, 0) for kind in (torch.ops.aten.convolution, torch.ops.aten.mm, torch.ops.aten.addmm)) // 2
    )


# ResNet-18


def test_resnet_by_hand() -> None:
    """Eight frames of 32x32, 32 bits: every convolution written out."""
    stem = 16 * 16 * 64 * (2 * 8) * 9
    stage1 = 4 * (16 * 16 * 64 * 64 * 9)
    later = [
        side * side * (wide * wide // 2 * 9 + 3 * wide * wide * 9 + wide * wide // 2)
        for side, wide in ((8, 128), (4, 256), (2, 512))
    ]
    network = resnet18(EncoderConfig())
    assert network.macs == stem + stage1 + sum(later) + 512 * 32
    # With a stem of stride 1 and three channels it is known for 0.56 G multiply-accumulates and 11.2 M parameters.
    assert 4 * (network.macs - stem) == pytest.approx(0.56e9, rel=0.02)
    assert network.weights == pytest.approx(11.2e6, rel=0.01)
    assert network.input_bits == 8 * 2 * 32 * 32


def test_resnet_adds_what_its_shortcuts_and_its_mean_add() -> None:
    network = resnet18(EncoderConfig())
    maps = [(256, 64)] * 4 + [(64, 128)] * 4 + [(16, 256)] * 4 + [(4, 512)] * 4
    outputs = 256 * 64 + sum(map(prod, maps)) + 64 * 128 + 16 * 256 + 4 * 512 + 32  # a shortcut's convolution each
    residual = sum(map(prod, maps[::2]))
    assert sum(layer.adds for layer in network.layers) == outputs + residual + 512 * (4 - 1)
    assert sum(layer.multiplies for layer in network.layers) == outputs
    # A folded batch norm leaves one bias per channel; the hash layer has its own. The gains fold into the weights.
    parameters = dict(ResNet18(8, 32).named_parameters())
    gains = sum(value.numel() for name, value in parameters.items() if value.dim() == 1 and name.endswith("weight"))
    assert network.weights == sum(value.numel() for value in parameters.values()) - gains


# Twins


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize("mixers", [("conv", "ssa"), ("conv", "conv"), ("ssa", "ssa")], ids=str)
def test_convolutions_against_the_counter_of_torch(mixers: tuple[str, ...], frames: int) -> None:
    config = variant(mixers=mixers, heads=(2, 2))
    counted = flops(AnnTwin(config, frames).eval(), torch.zeros(1, frames, 2, 16, 16))
    layers = [layer for layer in ann_twin(config, frames).layers if not layer.name.endswith("product")]
    assert sum(layer.macs for layer in layers) == counted


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize(
    ("wavelet", "axes", "subbands"), [("space-time", 3, 8), ("space", 2, 4), ("time", 1, 2)], ids=str
)
def test_wave_mixers_by_hand(wavelet: str, axes: int, subbands: int, frames: int) -> None:
    """4 channels of 8x8 pixels, one level, 2 channels to a group; one frame has no axis of time to transform."""
    if frames == 1:
        axes, subbands = (0, 1) if wavelet == "time" else (2, 4)
    mixer = layer_of(ann_twin(variant(wavelet=wavelet), frames), MIXER)
    values = frames * 8 * 8 * 4
    assert mixer.macs == 2 * values
    assert mixer.transform_adds == 2 * axes * values  # a butterfly has an addition per output and axis, twice
    assert mixer.weights == subbands * 4 * 2 + 4
    assert mixer.adds == 2 * values  # bias and shortcut
    assert (mixer.multiplies, mixer.inputs, mixer.outputs, mixer.reads) == (values, 2 * values, values, "")


@pytest.mark.parametrize("group", [1, 2, 4])
def test_convolution_mixers_by_hand(group: int) -> None:
    """A 3x3 convolution in groups of channels, down to a depthwise one."""
    mixer = layer_of(ann_twin(variant(mixers=("conv", "ssa"), channels_per_group=group), 4), MIXER)
    values = 4 * 8 * 8 * 4
    assert (mixer.macs, mixer.weights) == (values * 9 * group, 4 * group * 9 + 4)
    assert (mixer.adds, mixer.transform_adds) == (2 * values, 0)
    assert mixer.reads == "stages.0.blocks.0.mixer.lif"


@pytest.mark.parametrize("frames", [1, 4])
def test_attention_by_hand(frames: int) -> None:
    """16 tokens of 8 channels in two heads, loop by loop."""
    network = ann_twin(TINY, frames)
    product = layer_of(network, "stages.1.blocks.0.mixer.mixer.product")
    loops = sum(1 for _ in np.ndindex(2, 16, 16, 4))  # heads, queries, keys, channels of a head
    assert product.macs == frames * 2 * loops
    scores, rows = 2 * 16 * 16, 2 * 16
    assert product.adds == frames * (4 * scores + 32 * rows)
    assert product.multiplies == frames * (4 * scores + 16 * 8)
    assert (product.weights, product.inputs) == (0, frames * (3 * 16 * 8 + scores))
    assert layer_of(network, "stages.1.blocks.0.mixer.mixer.qkv").macs == frames * 16 * 8 * 24


@pytest.mark.parametrize("frames", [1, 4])
def test_the_head_means_over_all_pixels_and_frames_and_maps_once(frames: int) -> None:
    pooled, linear = ann_twin(TINY, frames).layers[-2:]
    assert (pooled.name, pooled.adds, pooled.inputs, pooled.macs) == ("mean", (16 * frames - 1) * 8, frames * 128, 0)
    assert (linear.macs, linear.weights, linear.adds, linear.outputs) == (64, 72, 8, 8)


def test_twin_weights_are_those_of_the_encoder_with_folded_norms() -> None:
    config = EncoderConfig()
    kept = ("conv.weight", "linear.weight", "fusion", "norm.bias")
    parameters = sum(p.numel() for name, p in Spikinghash(config).named_parameters() if name.endswith(kept))
    assert ann_twin(config, config.time_steps).weights == parameters


def test_convolution_macs_against_the_encoder_run_with_hooks() -> None:
    model = PlainEncoder(Spikinghash(TINY)).eval()  # the fast route does not call its convolutions one by one
    counted = []

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        counted.append(output.numel() * module.weight[0].numel())

    for module in model.encoder.stages.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        model(torch.zeros(1, TINY.time_steps, 2, TINY.size, TINY.size))
    twin = ann_twin(TINY, TINY.time_steps)
    assert counted
    assert sum(layer.macs for layer in twin.layers if layer.name.endswith(".conv")) == sum(counted)


@pytest.mark.parametrize(("axes", "side", "levels"), [(3, 4, 2), (3, 2, 1), (2, 8, 3), (1, 4, 1), (1, 8, 2)])
def test_haar_additions_against_a_transform_that_counts_them(axes: int, side: int, levels: int) -> None:
    additions = 0

    def transform(values: np.ndarray) -> np.ndarray:
        nonlocal additions
        for axis in range(axes):
            even, odd = np.split(
                np.swapaxes(values, 0, axis).reshape(-1, 2, *np.swapaxes(values, 0, axis).shape[1:]), 2, 1
            )
            low, high = even + odd, even - odd
            additions += low.size + high.size
            values = np.swapaxes(np.concatenate([low[:, 0], high[:, 0]]), 0, axis)
        return values

    values = np.arange(side**axes, dtype=float).reshape((side,) * axes)
    for _ in range(levels):
        values = transform(values)[tuple(slice(0, length // 2) for length in values.shape)]
    assert haar_adds(side**axes, levels, axes) == 2 * additions


def test_a_summed_frame_has_bytes_and_frames_have_bits() -> None:
    one, four = ann_twin(TINY, 1), ann_twin(TINY, 4)
    assert (one.input_bits, four.input_bits) == (2 * 16 * 16 * 8, 2 * 16 * 16 * 4)
    assert four.macs - 64 == 4 * (one.macs - 64)  # the linear layer to the code runs once
    assert (one.kind, four.kind) == ("ann_twin_1", "ann_twin_t")


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 8, 15, 16])
def test_the_qnn_twin_has_as_many_levels_as_the_spike_count(steps: int) -> None:
    dense = ann_twin(TINY, 1)
    twin = qnn_twin(dense, steps)
    assert twin.activation_bits == math.ceil(math.log2(steps + 1))
    assert twin.input_bits == 2 * TINY.size**2 * twin.activation_bits
    assert twin.layers == dense.layers


# Zeros


def test_layers_read_the_activations_that_hooks_see_them_read() -> None:
    """Random weights and frames: the share of zeros tells whose output a convolution reads."""
    torch.manual_seed(0)
    network = AnnTwin(SMALL, 1).eval()
    read: dict[str, float] = {}
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(
                lambda _, inputs, __, name=name: read.update({name: float((inputs[0] == 0).double().mean())})
            )
    frames = (torch.rand(3, 4, 2, 16, 16) < 0.2).float()
    shares = activation_sparsity(network, (torch.nn.ReLU,), frames)
    readers = {layer.name: layer.reads for layer in ann_twin(SMALL, 1).layers}
    assert readers.keys() >= read.keys()
    for name, share in read.items():
        assert (readers[name] == "") == (name == "stages.0.down.conv")
        assert not readers[name] or shares[readers[name]] == share


def test_skipped_zeros_leave_the_other_macs() -> None:
    dense = ann_twin(TINY, 1)
    readers = {"stages.0.blocks.0.mlp.lif": "stages.0.blocks.0.mlp.expand", "stages.1.lif": "stages.1.down"}
    first, second = (layer_of(dense, name).macs for name in readers.values())
    twin = sparse_twin(TINY, dense, dict(zip(readers, (0.25, 1.0), strict=True)), "results.json")
    assert twin.effective_macs == dense.macs - 0.25 * first - second
    assert twin.macs == dense.macs == dense.effective_macs
    # What a Haar transform or a mean reads saves no multiplication.
    blind = {"stages.0.blocks.0.mixer.lif": 0.9, "activation": 0.9}
    assert sparse_twin(TINY, dense, blind, "results.json").effective_macs == dense.macs


@pytest.mark.parametrize(
    ("shares", "message"), [({"nose": 0.5}, "of nose"), ({"activation": 1.5}, r"activation is 1\.5")]
)
def test_sparsity_of_another_network_is_refused(shares: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=f"results.json: .*{message}"):
        sparse_twin(TINY, ann_twin(TINY, 1), shares, "results.json")


def test_an_encoder_of_one_step_has_one_twin() -> None:
    config = variant(time_steps=1, levels=(0, 0))
    assert [network.kind for network in baselines(config, None, "r")] == ["ann_twin_1", "qnn", "resnet18"]
