"""Attention, loss and the encoder as a whole."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks import DEEP, SMALL, calibrated, random_frames
from training.config import EncoderConfig
from training.loss import HashLoss, SoftSimilarity, pair_weights
from training.model.attention import coincidence_counts
from training.model.encoder import HashOutput, Spikinghash
from training.model.plain import PlainEncoder
from training.model.wave_mixer import WaveMixer


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 5))
@settings(max_examples=30)
def test_attention_counts_coincidences(seed: int, width: int, tokens: int) -> None:
    q, k, v = (np.random.default_rng(seed).random((3, width, tokens)) < 0.5).astype(float)
    expected = np.zeros((width, tokens))
    for b, i, j, a in np.ndindex(width, tokens, tokens, width):
        expected[b, i] += q[a, i] and k[a, j] and v[b, j]
    counts = coincidence_counts(*(torch.from_numpy(x) for x in (q, k, v)))
    assert np.array_equal(counts.numpy(), expected)


def hash_output(seed: int, samples: int = 6) -> tuple[HashOutput, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    spikes = (torch.rand(4, samples, 8, generator=generator) < 0.5).double().requires_grad_()
    potentials = torch.randn(4, samples, 8, dtype=torch.float64, generator=generator).requires_grad_()
    return HashOutput(spikes, potentials), torch.tensor([0, 0, 1, 1, 2, 2])[:samples]


def test_soft_labels_move_the_codes_but_not_the_potentials() -> None:
    output, labels = hash_output(0)
    for weight in (0.0, 1.0):
        loss = HashLoss(3, soft_weight=weight, balance_weight=0.0).double()
        spikes, potentials = torch.autograd.grad(
            loss(output, labels), tuple(output), allow_unused=True, retain_graph=True
        )
        if weight == 0.0:
            assert potentials is None or not potentials.any()
            hard_alone = spikes
        else:
            assert potentials is not None
            assert potentials.any()
            assert not torch.allclose(spikes, hard_alone)


def test_soft_similarity_learns_from_the_labels_alone() -> None:
    """The gradient of the potentials is that of the cross entropy of S_soft against equal labels."""
    output, labels = hash_output(1)
    loss = HashLoss(3, soft_weight=1.0, balance_weight=0.0).double()
    (actual,) = torch.autograd.grad(loss(output, labels), output.potentials)
    hard = (labels[:, None] == labels).double()
    probability = loss.similarity(output.potentials.mean(0)).sigmoid()
    entropy = -(hard * probability.log() + (1 - hard) * (1 - probability).log())
    (expected,) = torch.autograd.grad((pair_weights(hard) * entropy).sum(), output.potentials)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-9)


def test_loss_gradients_are_those_of_finite_differences() -> None:
    output, labels = hash_output(2)
    loss = HashLoss(3, soft_weight=0.0, balance_weight=0.3).double()
    relaxed = (torch.rand(4, 6, 8, dtype=torch.float64) * 0.9).requires_grad_()
    assert torch.autograd.gradcheck(lambda spikes: loss(HashOutput(spikes, output.potentials), labels), relaxed)
    similarity = SoftSimilarity().double()
    assert torch.autograd.gradcheck(lambda potentials: similarity(potentials.mean(0)), output.potentials)


def test_the_loss_is_that_of_a_loop_over_pairs() -> None:
    codes, potentials = torch.rand(2, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) * 2 - 1
    labels = [0, 0, 1, 1, 2]
    loss = HashLoss(3, soft_weight=0.7, balance_weight=0.3).double()
    alpha, beta = loss.similarity.learned().values()

    def entropy(logit: float, target: float) -> float:
        return math.log1p(math.exp(-logit)) + (1 - target) * logit

    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    similar = [pair for pair in pairs if labels[pair[0]] == labels[pair[1]]]
    expected = 0.3 * float((codes.mean(0) ** 2).mean())
    for i, j in pairs:
        hard, share = (1.0, len(similar)) if (i, j) in similar else (0.0, len(pairs) - len(similar))
        code = 8 * float(codes[i] @ codes[j]) / 8 - 3.5
        cosine = float(potentials[i] @ potentials[j] / potentials[i].norm() / potentials[j].norm())
        soft = alpha * cosine - beta
        terms = entropy(code, hard) + 0.7 * (entropy(code, 1 / (1 + math.exp(-soft))) + entropy(soft, hard))
        expected += 0.5 / share * terms
    assert loss.of_codes(codes, potentials, torch.tensor(labels)).item() == pytest.approx(expected, rel=1e-6)


def test_pair_weights_share_evenly_and_skip_the_diagonal() -> None:
    labels = torch.tensor([0, 0, 0, 1, 2])
    hard = (labels[:, None] == labels).float()
    weights = pair_weights(hard)
    assert not weights.diagonal().any()
    assert torch.isclose((weights * hard).sum(), torch.tensor(0.5))
    assert torch.isclose((weights * (1 - hard)).sum(), torch.tensor(0.5))


def test_a_bit_is_the_vote_of_its_neuron() -> None:
    model = calibrated(SMALL)
    frames = torch.from_numpy(random_frames(SMALL, 5))
    with torch.no_grad():
        spikes = model(frames).spikes
    assert torch.equal(model.codes(frames), (spikes.sum(0) >= 3).to(torch.uint8))
    assert 0 < model.codes(frames).float().mean() < 1


@pytest.mark.parametrize("config", [SMALL, DEEP], ids=["small", "deep"])
def test_the_fast_route_equals_the_plain_one(config: EncoderConfig) -> None:
    """Spikes, and the gradient of the loss in every parameter, in double precision."""
    torch.manual_seed(0)
    fast = Spikinghash(config).double().train()
    for module in fast.modules():
        if isinstance(module, WaveMixer):
            module.projections = module.projections.double()
    plain = PlainEncoder(fast).train()
    frames = torch.from_numpy(random_frames(config, 12))
    labels = torch.arange(12) % 3
    loss = HashLoss(config.votes, 0.5, 0.1).double()
    outputs = [network(frames) for network in (fast, plain)]
    assert torch.equal(outputs[0].spikes, outputs[1].spikes)
    assert 0 < outputs[0].spikes.mean() < 1
    gradients = [
        torch.autograd.grad(loss(output, labels), list(network.parameters()))
        for output, network in zip(outputs, (fast, plain), strict=True)
    ]
    for (name, _), one, other in zip(fast.named_parameters(), *gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10, msg=name)
        assert one.any(), name
