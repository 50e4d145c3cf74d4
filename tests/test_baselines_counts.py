"""Operation counts of the conventional networks, against hand calculations and modules run with hooks."""

import math
from dataclasses import asdict, replace
from typing import Any

import pytest
from test_energy import TINY

from deploy.energy.ann_twin import ann_twin, qnn_twin, sparse_twin
from deploy.energy.resnet import resnet18
from spikinghash.errors import ConfigError


def test_resnet_by_hand() -> None:
    """Eight frames of 32x32, 32 bits: every convolution written out."""
    stem = 16 * 16 * 64 * (2 * 8) * 9
    stage1 = 4 * (16 * 16 * 64 * 64 * 9)
    later = [
        side * side * (wide * wide // 2 * 9 + 3 * wide * wide * 9 + wide * wide // 2)
        for side, wide in ((8, 128), (4, 256), (2, 512))
    ]
    network = resnet18(32, 8, 32)
    assert network.macs == stem + stage1 + sum(later) + 512 * 32
    # With a stem of stride 1 and three channels it is known for 0.56 G multiply-accumulates and 11.2 M parameters.
    assert 4 * (network.macs - stem) == pytest.approx(0.56e9, rel=0.02)
    assert network.weights == pytest.approx(11.2e6, rel=0.01)
    assert network.input_bits == 8 * 2 * 32 * 32


@pytest.mark.parametrize(("size", "steps", "bits"), [(32, 8, 32), (34, 4, 16)])
def test_resnet_against_hooks_on_the_network_that_is_trained(size: int, steps: int, bits: int) -> None:
    import torch
    from torch import nn

    from training.baselines.resnet import ResNet18

    network = ResNet18(steps, bits).eval()
    counted: list[tuple[int, int]] = []

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        counted.append((output.numel() * module.weight[0].numel(), output.numel()))

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for module in layers:
        module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, steps, 2, size, size))
    found = resnet18(size, steps, bits)
    assert found.macs == sum(macs for macs, _ in counted)
    assert sum(layer.outputs for layer in found.layers) == sum(outputs for _, outputs in counted)
    # A folded batch norm leaves one bias per channel; the hash layer has its own.
    assert found.weights == sum(module.weight.numel() + module.weight.shape[0] for module in layers)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 8, 15, 16])
def test_the_qnn_twin_has_as_many_levels_as_the_spike_count(steps: int) -> None:
    twin = qnn_twin(replace(TINY, time_steps=steps))
    assert twin.activation_bits == math.ceil(math.log2(steps + 1))
    assert twin.input_bits == 2 * TINY.size**2 * twin.activation_bits
    assert twin.layers == ann_twin(TINY, 1).layers


def test_skipped_zeros_leave_the_other_macs() -> None:
    dense = ann_twin(TINY, 1)
    first, second = dense.layers[0], dense.layers[1]
    twin = sparse_twin(TINY, {first.name: 0.25, second.name: 1.0}, "results.json")
    assert twin.effective_macs == dense.macs - 0.25 * first.macs - second.macs
    assert twin.macs == dense.macs == dense.effective_macs


def test_activations_of_the_trained_twin_are_those_that_layers_read() -> None:
    """Hooks on the trained module: what an activation puts out is what the layers fed by it read."""
    import torch
    from torch import nn

    from training.baselines.activations import activation_sparsity
    from training.baselines.twin import AnnTwin
    from training.config import EncoderConfig

    torch.manual_seed(0)
    network = AnnTwin(EncoderConfig(**asdict(TINY)), 1).eval()
    read: dict[str, float] = {}
    for stage, module in enumerate(network.stages, start=1):
        for name, each in module.named_modules():
            if isinstance(each, nn.Conv2d):
                each.register_forward_hook(_zeros_of(read, f"{stage}:{name}"))
    frames = (torch.rand(3, TINY.time_steps, 2, TINY.size, TINY.size) < 0.2).float()
    shares = activation_sparsity(network, (nn.ReLU,), frames)
    twin = sparse_twin(TINY, shares, "results.json")
    densities = {round(1 - density, 6) for density in twin.density.values()}
    assert densities <= {round(value, 6) for value in read.values()}
    assert {"stage2_down", "stage1_block0_mlp_expand", "stage2_block0_mixer_q", "stage2_block0_mixer_proj"} <= set(
        twin.density
    )
    assert not any(name in twin.density for name in ("stage1_down", "stage1_block0_mixer", "head"))


def _zeros_of(read: dict[str, float], name: str) -> Any:
    def hook(_: object, inputs: tuple[Any, ...], __: object) -> None:
        read[name] = float((inputs[0] == 0).double().mean())

    return hook


@pytest.mark.parametrize(("shares", "message"), [({"nose": 0.5}, "of nose"), ({"head": 1.5}, r"head is 1\.5")])
def test_sparsity_of_another_network_is_refused(shares: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=f"results.json: .*{message}"):
        sparse_twin(TINY, shares, "results.json")
