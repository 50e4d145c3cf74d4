"""The networks that Spikinghash is compared with: their layers against plain formulas, their losses against loops."""

import copy
import math

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from tests.networks import SMALL, bars, random_frames
from training.baselines.activations import activation_sparsity
from training.baselines.fit import fit, load_fitting, save_weights, sign_encoder
from training.baselines.losses import CsqLoss, HashNetLoss, TwinLoss
from training.baselines.quantised import QuantisedReLU, RoundPerTensor, activation_bits, best_clip, quantise
from training.baselines.resnet import ResNet18
from training.baselines.twin import AnnTwin, SoftmaxAttention
from training.codes import retrieval_figures
from training.config import TrainConfig
from training.data.frames import Dataset
from training.data.splits import Split, split
from training.loss import HashLoss
from training.model.encoder import Spikinghash
from training.model.lif import Lif


def test_resnet18_has_the_published_parameters() -> None:
    """11,689,512 with the 7x7 stem of 3 channels and 1,000 classes (torchvision's model card and count by hand)."""
    published, stem, classifier = 11_689_512, 7 * 7 * 3 * 64, 512 * 1000 + 1000
    ours = published - stem - classifier + 3 * 3 * 16 * 64 + 512 * 32 + 32
    assert sum(parameter.numel() for parameter in ResNet18(8, 32).parameters()) == ours


def test_resnet18_maps_halve_to_two_pixels() -> None:
    network = ResNet18(4, 16).eval()
    frames = torch.from_numpy(random_frames(SMALL.model_copy(update={"size": 32}), 3))
    assert network(frames).shape == (3, 16)
    assert network.maps(frames.flatten(1, 2).float()).shape == (3, 512, 2, 2)


@pytest.mark.parametrize("frames", [1, 4])
def test_a_twin_has_the_topology_and_no_spiking_neuron(frames: int) -> None:
    twin, spiking = AnnTwin(SMALL, frames), Spikinghash(SMALL)
    kinds = {type(module) for module in twin.modules()}
    assert Lif not in kinds
    neurons = sum(isinstance(module, Lif) for module in spiking.stages.modules())
    assert (
        sum(isinstance(module, nn.ReLU) for module in twin.stages.modules()) + 1 == neurons
    )  # softmax: no LIF on q, k, v
    convolutions = [
        [tuple(module.weight.shape) for module in network.stages.modules() if isinstance(module, nn.Conv2d)]
        for network in (twin, spiking)
    ]
    assert convolutions[0] == convolutions[1]


def test_a_twin_of_one_frame_sees_the_mean_alone() -> None:
    torch.manual_seed(0)
    twin = AnnTwin(SMALL, 1).eval()
    frames = torch.from_numpy(random_frames(SMALL, 3))
    shuffled = frames[:, [2, 0, 3, 1]]
    torch.testing.assert_close(twin(frames), twin(shuffled), rtol=1e-4, atol=1e-6)
    many = AnnTwin(SMALL, SMALL.time_steps).eval()
    assert not torch.allclose(many(frames), many(shuffled), rtol=1e-2)


def test_softmax_attention_is_the_textbook_formula() -> None:
    torch.manual_seed(1)
    attention = SoftmaxAttention(8, 2, nn.Identity()).eval()
    activity = torch.randn(2, 3, 8, 2, 2)
    qkv = attention.qkv(activity).reshape(2, 3, 3, 2, 4, 4).numpy(force=True)
    mixed = np.zeros((2, 3, 2, 4, 4))
    for t, b, head in np.ndindex(2, 3, 2):
        q, k, v = qkv[t, b, :, head]
        scores = np.exp(q.T @ k / math.sqrt(4))
        mixed[t, b, head] = v @ (scores / scores.sum(1, keepdims=True)).T
    expected = attention.projection(torch.from_numpy(mixed).float().reshape(2, 3, 8, 2, 2))
    torch.testing.assert_close(attention(activity), expected, rtol=1e-4, atol=1e-5)


def test_quantised_activations_have_few_levels_and_a_learnable_clip() -> None:
    relu = QuantisedReLU(2, 2.0)
    current = torch.linspace(-1, 3, 401, requires_grad=True)
    output = relu(current)
    levels = sorted(set(output.detach().numpy().round(5).tolist()))
    assert np.allclose(levels, [0, 2 / 3, 4 / 3, 2], atol=1e-4)
    output.sum().backward()
    assert current.grad is not None
    assert relu.clip.grad is not None
    inside = (current > 0) & (current < 2)
    assert torch.equal(current.grad[inside.detach()], torch.ones(int(inside.sum())))
    assert not current.grad[(current < 0).detach()].any()
    assert abs(float(relu.clip.grad) - float((current > 2).sum())) <= 1


def test_a_qnn_twin_has_eight_bit_weights() -> None:
    twin = AnnTwin(SMALL, 1)
    quantise(twin, activation_bits(4), torch.from_numpy(random_frames(SMALL, 4)))
    assert activation_bits(8) == 4
    assert activation_bits(15) == 4
    assert activation_bits(16) == 5
    for module in twin.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            whole = module.weight / (module.weight.abs().max() / 127)
            torch.testing.assert_close(whole, whole.round(), rtol=0, atol=1e-3)
    assert not any(type(module) is nn.ReLU for module in twin.modules())
    assert any(isinstance(module, RoundPerTensor) for module in twin.modules())


@given(arrays.arrays(np.float32, 40, elements=st.floats(0, 100, width=32)), st.integers(1, 8), st.floats(0.01, 1.0))
@settings(max_examples=50)
def test_no_other_clip_rounds_better(values: NDArray[np.float32], bits: int, part: float) -> None:
    """Errors in double precision, by a loop over the values; other clips lie between the 50 that were tried."""
    levels = 2**bits - 1

    def error(clip: float) -> float:
        return sum((round(min(float(v), clip) / clip * levels) * clip / levels - float(v)) ** 2 for v in values)

    clip = best_clip(torch.from_numpy(values), bits)
    other = max(float(values.max()), 1e-6) * math.ceil(part * 50) / 50
    assert error(clip) <= error(other) * (1 + 1e-3) + 1e-9


def test_clips_leave_outliers_out_where_bits_are_few() -> None:
    values = torch.cat([torch.linspace(0, 1, 1000), torch.tensor([5.0])])
    assert best_clip(values, 2) < 2
    assert best_clip(values, 8) == pytest.approx(5.0)


def test_rounding_a_trained_twin_changes_it_little_and_keeps_its_weights() -> None:
    torch.manual_seed(4)
    frames = torch.from_numpy(random_frames(SMALL, 16))
    twin = AnnTwin(SMALL, 1)
    for _ in range(20):
        twin(frames)  # batch norms learn the currents
    rounded = copy.deepcopy(twin)
    quantise(rounded, 8, frames)
    exact, near = twin.eval()(frames), rounded.eval()(frames)
    assert 0 < (exact - near).abs().mean() < 0.1 * exact.std()
    coarse = copy.deepcopy(twin)
    quantise(coarse, 2, frames)
    assert (exact - coarse.eval()(frames)).abs().mean() > 3 * (exact - near).abs().mean()
    clips = [module.clip.item() for module in rounded.modules() if isinstance(module, QuantisedReLU)]
    assert len(set(clips)) == len(clips) == sum(isinstance(module, nn.ReLU) for module in twin.modules())
    assert torch.equal(rounded.linear.parametrizations.weight.original, twin.linear.weight)


def validation_map(network: nn.Module, dataset: Dataset, sets: Split) -> float:
    figures = retrieval_figures(sign_encoder(network), dataset, sets.validation, sets.database)
    return figures.mean_average_precision


def test_what_the_loss_learns_is_trained_too() -> None:
    dataset = bars(40)
    loss = HashLoss(3, 0.5, 0.1)
    before = loss.similarity.learned()
    fit(AnnTwin(SMALL, 1), TwinLoss(loss), dataset, split(dataset.labels), TrainConfig(epochs=1, batch_size=16))
    assert all(abs(value - before[name]) > 1e-4 for name, value in loss.similarity.learned().items())


def test_mixed_precision_trains_in_bfloat16_and_is_evaluated_in_float32() -> None:
    dataset = bars()
    torch.manual_seed(0)
    twin = AnnTwin(SMALL, 1)
    seen: set[tuple[bool, torch.dtype]] = set()
    convolution = next(module for module in twin.modules() if isinstance(module, nn.Conv2d))
    convolution.register_forward_hook(lambda module, _, output: seen.add((module.training, output.dtype)))
    how = TrainConfig(epochs=8, batch_size=16, learning_rate=5e-3, max_shift=0)
    sets = split(dataset.labels)
    fit(twin, TwinLoss(HashLoss(3, 0.5, 0.1)), dataset, sets, how, bfloat16=True)
    assert validation_map(twin, dataset, sets) > 0.9
    assert seen == {(True, torch.bfloat16), (False, torch.float32)}
    assert {value.dtype for value in twin.parameters()} == {torch.float32}


def test_hash_centres_are_half_the_bits_apart_at_least() -> None:
    for bits, classes in ((16, 10), (8, 16)):
        centres = CsqLoss(bits, classes).centres
        distances = (bits - centres @ centres.T) / 2
        assert distances[~torch.eye(classes, dtype=torch.bool)].min() >= bits / 2
    with pytest.raises(ValueError, match="power of two"):
        CsqLoss(24, 10)


def test_csq_against_a_loop() -> None:
    torch.manual_seed(2)
    values, labels = torch.randn(3, 8), torch.tensor([0, 1, 0])
    loss = CsqLoss(8, 2)
    total = 0.0
    for i, k in np.ndindex(3, 8):
        p, target = (math.tanh(values[i, k]) + 1) / 2, (loss.centres[labels[i], k].item() + 1) / 2
        total -= (target * math.log(p) + (1 - target) * math.log(1 - p)) / 24
        total += 1e-4 * math.log(math.cosh(abs(math.tanh(values[i, k])) - 1)) / 24
    assert loss(values, labels, 0.0).item() == pytest.approx(total, rel=1e-5)


def test_hashnet_against_a_loop() -> None:
    torch.manual_seed(3)
    values, labels = torch.randn(4, 8), torch.tensor([0, 1, 0, 2])
    for progress, beta in ((0.0, 1.0), (1.0, 10.0)):
        codes = np.tanh(beta * values.numpy())
        sums, counts = {True: 0.0, False: 0.0}, {True: 0, False: 0}
        for i, j in np.ndindex(4, 4):
            if i != j:
                same = bool(labels[i] == labels[j])
                logit = 10 / 8 * codes[i] @ codes[j]
                sums[same] += math.log(1 + math.exp(logit)) - same * logit
                counts[same] += 1
        expected = sum(sums[same] / counts[same] for same in (True, False)) / 2
        assert HashNetLoss(8)(values, labels, progress).item() == pytest.approx(expected, rel=1e-5)


def test_fitting_learns_what_can_be_learned(tmp_path) -> None:
    """A few epochs are enough for bars that lie or stand."""
    dataset = bars()
    sets = split(dataset.labels)
    torch.manual_seed(0)
    twin = AnnTwin(SMALL, 1)
    settings = TrainConfig(epochs=8, batch_size=16, learning_rate=5e-3, max_shift=0)
    fit(twin, TwinLoss(HashLoss(3, 0.5, 0.1)), dataset, sets, settings)
    assert validation_map(twin, dataset, sets) > 0.9
    zeros = activation_sparsity(twin, (nn.ReLU,), torch.from_numpy(dataset.frames[:10]))
    assert all(0 <= share <= 1 for share in zeros.values())
    assert any(0.05 < share < 0.95 for share in zeros.values())
    save_weights(twin, tmp_path / "twin.pt")
    longer = AnnTwin(SMALL.model_copy(update={"bits": 16}), 1)
    load_fitting(longer, tmp_path / "twin.pt")
    assert torch.equal(longer.stages[0].down.conv.weight, twin.stages[0].down.conv.weight)
    assert longer.linear.weight.shape[0] == 16
    codes = sign_encoder(longer)(torch.from_numpy(dataset.frames[:5]))
    assert set(codes.unique().tolist()) <= {0, 1}
