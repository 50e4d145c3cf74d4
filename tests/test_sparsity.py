"""Training for cost: operations against the exporter's trace, the controller, pruning, grids of few bits, a teacher."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from export.encoder.network import Network, build_network
from export.encoder.operations.attention import Attention
from export.encoder.operations.conv import Conv
from export.encoder.operations.dense import Dense
from export.encoder.operations.wave_mixer import WaveMixer
from export.nir.to_nir import export_nir
from export.synaptic.counted import read_network
from export.synaptic.counting import trace_counts
from tests.networks import DEEP, SMALL, calibrated, random_frames
from training.config import EncoderConfig
from training.model.encoder import Spikinghash
from training.model.lif import Lif
from training.model.plain import PlainLif
from training.model.wave_mixer import to_blocks
from training.quantised import choose_grids, fold, put_on_grids
from training.sparsity.controller import BudgetController
from training.sparsity.operations import Counted, OperationMeter

Frames = NDArray[np.uint8]
CONVOLUTIONS = SMALL.model_copy(update={"mixers": ("conv", "dwconv", "ssa")})
ENCODERS = {"small": SMALL, "deep": DEEP, "convolutions": CONVOLUTIONS}


def pruned(config: EncoderConfig, seed: int = 0) -> Spikinghash:
    """A network on its grids with a third of its weights at zero."""
    model = calibrated(config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("conv.weight"):
                parameter.mul_(torch.rand(parameter.shape, generator=generator) > 1 / 3)
    fold(model)
    put_on_grids(model, choose_grids(model))
    return model


def operations(model: Spikinghash, frames: Frames, counted: Counted) -> dict[str, float]:
    meter = OperationMeter(model, counted)
    with torch.no_grad():
        model(torch.from_numpy(frames))
    parts = {name: float(value) for name, value in meter.parts.items()}
    assert float(meter.per_recording()) == sum(parts.values()) / len(frames)
    meter.close()
    return parts


def arriving(node: Conv | Dense | WaveMixer, spikes: torch.Tensor) -> float:
    """What a graph's linear map with all its non-zero weights at 1 sends in all: one for each operation."""
    if isinstance(node, WaveMixer):
        present = torch.from_numpy(node.weight != 0).double()
        return float((to_blocks(spikes.transpose(0, 1), node.levels, len(present)) @ present.mT).sum())
    maps, present = spikes.flatten(0, 1), torch.from_numpy(node.weight != 0).double()
    if isinstance(node, Dense):
        return float(torch.einsum("abcdef,ndef->", present, maps))
    return float(functional.conv2d(maps, present, stride=node.stride, padding=node.padding, groups=node.groups).sum())


def products(heads: int, qkv: torch.Tensor) -> float:
    """Additions of K^T V, one per key and channel of the values, and of Q (K^T V), one per query and column."""
    q, k, _ = qkv.reshape(*qkv.shape[:2], 3, heads, -1, qkv.shape[-2] * qkv.shape[-1]).unbind(2)
    ones = torch.ones_like(k)
    return float(
        torch.einsum("bthaj,bthcj->", k, ones)
        + torch.einsum("bthai,bthac->", q, ones[..., :1].expand(*q.shape[:-1], q.shape[-2]))
    )


def natural_by_graph(network: Network, frames: Frames) -> dict[str, float]:
    """Operations of each linear map of the encoder's graph, from the spikes that its executor sees."""
    _, layers = network.executor().layers(frames)
    graph, result = network.graph, dict[str, float]()
    for name, node in graph.nodes.items():
        if name == "vote_count" or not isinstance(node, Conv | Dense | WaveMixer | Attention):
            continue
        (source,) = graph.sources(name)
        spikes = torch.from_numpy(frames if source == "input" else layers[source]).double()
        result[name] = products(node.heads, spikes) if isinstance(node, Attention) else arriving(node, spikes)
    return result


@pytest.mark.parametrize("name", ENCODERS)
def test_natural_operations_are_those_of_the_integer_graph(name: str) -> None:
    model = pruned(ENCODERS[name])
    frames = random_frames(ENCODERS[name], 5)
    expected = natural_by_graph(build_network(model), frames)
    assert min(expected.values()) > 0
    assert operations(model, frames, "natural") == expected


def lowered_by_trace(network: Network, frames: Frames, path: Path) -> float:
    """The exporter's count of the deployed graph, but for what the valid line and its clocks send."""
    export_nir(network, path)
    counts = {layer.name: layer for layer in trace_counts(path, frames, 1.0).layers}
    total = sum(float(layer.synops.sum()) for layer in counts.values())
    for projection in read_network(path).projections:
        if projection.target not in counts:
            continue
        spikes, source = counts[projection.source].neuron_spikes, counts[projection.source]
        assert spikes is not None
        fan_out = np.bincount(projection.weights.indices, minlength=len(spikes)) * spikes
        if source.layer == "valid":
            total -= fan_out.sum()
        elif source.kind == "input" or source.layer == "input":
            total -= fan_out.reshape(3, -1)[2].sum()
    return total


@pytest.mark.parametrize("name", ENCODERS)
def test_natural_operations_are_those_of_a_trace(name: str, tmp_path: Path) -> None:
    model, frames = pruned(ENCODERS[name]), random_frames(ENCODERS[name], 3)
    export_nir(build_network(model), tmp_path / "encoder.nir")
    natural = trace_counts(tmp_path / "encoder.nir", frames, 1.0).natural
    assert natural is not None
    votes = {"vote_count"}  # of a counter, which no budget can spare
    traced = {each.map.name: float(each.synops.sum()) for each in natural.maps if each.map.name not in votes}
    assert operations(model, frames, "natural") == traced


@pytest.mark.parametrize("name", ENCODERS)
def test_lowered_operations_are_those_of_the_deployed_graph(name: str, tmp_path: Path) -> None:
    model = pruned(ENCODERS[name])
    frames = random_frames(ENCODERS[name], 3)
    expected = lowered_by_trace(build_network(model), frames, tmp_path / "encoder.nir")
    assert sum(operations(model, frames, "lowered").values()) == expected


def with_plain_neurons(model: Spikinghash) -> Spikinghash:
    """A copy in which every layer is called, its neurons being Norse's."""
    result = copy.deepcopy(model)
    for module in list(result.modules()):
        for name, child in module.named_children():
            if isinstance(child, Lif):
                setattr(module, name, PlainLif())
    return result


@pytest.mark.parametrize("counted", ["natural", "lowered"])
@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_the_plain_encoder(counted: Counted, training: bool) -> None:
    """Counts of layers in one node, and their gradients to all parameters, against layers one by one."""
    model = copy.deepcopy(calibrated(SMALL)).double().train(training)
    plain = with_plain_neurons(model)
    frames = torch.from_numpy(random_frames(SMALL, 4))
    totals = []
    for network in (model, plain):
        meter = OperationMeter(network, counted)
        network(frames)
        totals.append(torch.stack(list(meter.parts.values())).sum())
    assert totals[0] == totals[1]
    gradients = [
        torch.autograd.grad(total, list(network.parameters()), allow_unused=True)
        for total, network in zip(totals, (model, plain), strict=True)
    ]
    assert sum(one is not None for one in gradients[0]) > len(gradients[0]) / 2
    for one, other in zip(*gradients, strict=True):
        if one is None:
            assert other is None
            continue
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7)


def test_a_meter_goes_on_after_another_one() -> None:
    """As when a network is measured between two epochs of its training."""
    model, frames = copy.deepcopy(calibrated(SMALL)), torch.from_numpy(random_frames(SMALL, 2))
    meter = OperationMeter(model)
    model(frames)
    expected = {name: float(part.detach()) for name, part in meter.parts.items()}
    other = OperationMeter(model, "lowered")
    model(frames)
    other.close()
    model(frames)
    assert {name: float(part.detach()) for name, part in meter.parts.items()} == expected


def test_a_closed_meter_leaves_the_network_as_it_was() -> None:
    model = copy.deepcopy(calibrated(SMALL))
    frames = torch.from_numpy(random_frames(SMALL, 2))
    before = model(frames).potentials
    meter = OperationMeter(model)
    meter.close()
    assert torch.equal(model(frames).potentials, before)
    assert not meter.parts


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_controller_holds_its_budget(noise: float) -> None:
    """A network that spends 8 M without a penalty and follows lambda with a lag of ten steps: 8 M / (1 + 2 lambda)."""
    generator, spent, steps = np.random.default_rng(0), 8e6, 2000
    controller, course = BudgetController(1.7e6, steps, 0.6), []
    for _ in range(steps):
        weight = controller.weight(spent * (1 + noise * generator.normal()))
        spent += 0.1 * (8e6 / (1 + 2 * weight) - spent)
        course.append(spent)
    tail = np.array(course[int(0.8 * steps) :])
    assert abs(tail.mean() / 1.7e6 - 1) < 0.02
    assert tail.std() / 1.7e6 < 0.02 + noise / 4
    halfway = (8e6 * 1.7e6) ** 0.5  # at half of the ramp: the target falls at a constant rate, the network lags behind
    assert halfway < np.mean(course[int(0.3 * steps) - 20 : int(0.3 * steps) + 20]) < 1.25 * halfway


def test_a_controller_lets_go_below_its_budget() -> None:
    controller = BudgetController(1e6, 100, 0.0)
    weights = [controller.weight(5e5) for _ in range(100)]
    assert weights[-1] < 0.5 * weights[0]


def test_a_controller_is_soon_back_when_a_budget_is_exceeded_again() -> None:
    controller = BudgetController(1e6, 3000, 0.0)
    slack = [controller.weight(5e5) for _ in range(2000)]
    assert slack[-1] == slack[-2] < 0.05
    assert max(controller.weight(2e6) for _ in range(250)) > 0.3


def test_a_controller_goes_on_from_its_state() -> None:
    whole, first, second = (BudgetController(1e6, 50, 0.5) for _ in range(3))
    spent = np.random.default_rng(0).uniform(0.5e6, 4e6, 50).tolist()
    expected = [whole.weight(each) for each in spent]
    found = [first.weight(each) for each in spent[:20]]
    second.load_state_dict(first.state_dict())
    assert found + [second.weight(each) for each in spent[20:]] == expected
