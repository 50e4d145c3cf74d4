"""Training for codes that differ within a class: the terms against loops, where they pull, and that they are off."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

import training.train as trainer
from tests.refusals import refusal_of
from tests.test_training import tiny
from training.config import TrainConfig, parse_config
from training.data.digits import write_recordings
from training.data.frames import Dataset
from training.data.splits import Split
from training.loss import HashLoss, SoftSimilarity, Within, correlation_within
from training.model.encoder import HashOutput
from training.steps import epoch, steps_per_epoch

Floats = NDArray[np.float64]


def of_pairs(codes: Floats, within: Within) -> float:
    """The loss of codes of one class, without the other terms."""
    loss, given = HashLoss(3, 0.0, 0.0, within=within).double(), torch.from_numpy(codes)
    return loss.of_codes(given, given, torch.zeros(len(codes))).item()


@given(st.integers(0, 10**6), st.integers(2, 6))
@settings(max_examples=20)
def test_the_loss_is_that_of_a_loop_over_pairs(seed: int, recordings: int) -> None:
    generator = np.random.default_rng(seed)
    codes, potentials = generator.uniform(-1, 1, (2, 2 * recordings, 16))
    labels = [*generator.integers(0, 3, recordings).tolist()] * 2
    within = Within(similarity=0.8, instance=0.4, decorrelate=0.6)
    learned = SoftSimilarity().learned()

    def entropy(logit: float, target: float) -> float:
        return math.log1p(math.exp(-logit)) + (1 - target) * logit

    pairs = [(i, j) for i in range(len(labels)) for j in range(len(labels)) if i != j]
    similar = [(i, j) for i, j in pairs if labels[i] == labels[j]]
    expected = 0.3 * (codes.mean(0) ** 2).mean()
    for i, j in pairs:
        views = abs(i - j) == recordings
        target = 1.0 if views else 0.8 if labels[i] == labels[j] else 0.0
        share = len(similar) if labels[i] == labels[j] else len(pairs) - len(similar)
        code = 8 * codes[i] @ codes[j] / 16 - 3.5
        cosine = potentials[i] @ potentials[j] / np.linalg.norm(potentials[i]) / np.linalg.norm(potentials[j])
        soft = learned["alpha"] * cosine - learned["beta"]
        terms = entropy(code, target) + 0.7 * (entropy(code, 1 / (1 + math.exp(-soft))) + entropy(soft, target))
        expected += 0.5 / share * terms + (0.4 / len(labels) * entropy(code, 1.0) if views else 0.0)
    expected += 0.6 * plain_correlation(codes, labels)
    loss = HashLoss(3, 0.7, 0.3, within=within).double()
    found = loss.of_codes(torch.from_numpy(codes), torch.from_numpy(potentials), torch.tensor(labels))
    assert found.item() == pytest.approx(expected, rel=1e-6)


def plain_correlation(codes: Floats, labels: list[int]) -> float:
    centred = codes.copy()
    for label in set(labels):
        own = [row for row, each in enumerate(labels) if each == label]
        centred[own] -= codes[own].mean(axis=0)
    bits = range(codes.shape[1])
    products = [(centred[:, a] @ centred[:, b] / len(codes)) ** 2 for a in bits for b in bits if a != b]
    return float(sum(products)) / len(bits)


def test_bits_that_tell_classes_apart_may_be_alike_those_within_may_not() -> None:
    classes = torch.tensor([0, 0, 1, 1, 0, 0, 1, 1])
    hard = (classes[:, None] == classes).double()
    by_class = (2.0 * classes - 1)[:, None].repeat(1, 8).double()
    assert correlation_within(by_class, hard) == 0
    within = torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1], dtype=torch.float64)[:, None].repeat(1, 8)
    assert correlation_within(within, hard) == pytest.approx(7)  # each of 8 bits is the other seven
    apart = torch.tensor([[1.0, 1], [-1, 1], [1, 1], [-1, 1], [1, -1], [-1, -1], [1, -1], [-1, -1]])
    assert correlation_within(apart.double(), hard) == pytest.approx(0)


def two_of_a_class(flipped: int, of_a_view: int = 0) -> Floats:
    """Codes of two recordings and of their second views: as far apart as ``flipped``, one view aside from its first."""
    codes = np.full((4, 32), 0.9999)
    codes[[1, 3], :flipped] *= -1
    codes[3, 32 - of_a_view :] *= -1
    return codes


def test_views_attract_and_other_recordings_of_the_class_keep_a_distance() -> None:
    within = Within(similarity=0.9, instance=0.5)
    by_distance = [of_pairs(two_of_a_class(flipped), within) for flipped in range(17)]
    # C is the logit of 0.9 at a cosine of 0.71: 4.6 of 32 bits apart. Nearer they are driven apart, farther together.
    assert int(np.argmin(by_distance)) == 5
    assert np.all(np.diff(by_distance[:6]) < 0)
    assert np.all(np.diff(by_distance[5:]) > 0)
    by_view = [of_pairs(two_of_a_class(5, bits), within) for bits in range(9)]
    assert np.all(np.diff(by_view) > 0)
    alike = [of_pairs(two_of_a_class(flipped), Within()) for flipped in range(17)]
    assert np.all(np.diff(alike) > 0)


def test_gradients_are_those_of_finite_differences() -> None:
    within = Within(similarity=0.8, instance=0.4, decorrelate=0.6)
    loss, labels = HashLoss(3, 0.0, 0.3, within=within).double(), torch.tensor([0, 0, 1, 0, 0, 1])
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand(4, 6, 8, dtype=torch.float64, generator=generator) * 0.9).requires_grad_()
    potentials = torch.randn(4, 6, 8, dtype=torch.float64, generator=generator)
    assert torch.autograd.gradcheck(lambda each: loss(HashOutput(each, potentials), labels), spikes)


def random_set(recordings: int = 23) -> tuple[Dataset, Split]:
    generator = np.random.default_rng(0)
    frames = (generator.random((recordings, 4, 2, 16, 16)) < 0.3).astype(np.uint8)
    dataset = Dataset(frames, np.arange(recordings) % 3, [str(index) for index in range(recordings)])
    return dataset, Split(np.arange(recordings), np.empty(0, np.int64), np.empty(0, np.int64))


def test_a_batch_holds_two_views_of_each_recording() -> None:
    dataset, sets = random_set()
    how = TrainConfig(batch_size=10, instance=0.5, rotate=10)
    told: list[NDArray[np.int64]] = []
    found = list(epoch(dataset, sets, how, torch.Generator().manual_seed(0), told.append))
    assert len(found) == steps_per_epoch(how, sets) == 4
    seen = []
    for batch, (frames, labels) in zip(told, found, strict=True):
        assert frames.shape == (10, 4, 2, 16, 16)
        assert np.array_equal(batch[:5], batch[5:])
        assert np.array_equal(labels.numpy(), dataset.labels[batch])
        assert not any(torch.equal(frames[row], frames[row + 5]) for row in range(5))
        seen += batch[:5].tolist()
    assert len(set(seen)) == 20


class FormerLoss(HashLoss):
    """The loss as it was before anything was asked within a class, written out."""

    def of_codes(self, codes: Tensor, potentials: Tensor, labels: Tensor) -> Tensor:
        hard = (labels[:, None] == labels[None, :]).to(codes.dtype)
        others = 1.0 - torch.eye(len(hard))
        similar, dissimilar = hard * others, (1.0 - hard) * others
        weights = 0.5 * (similar / similar.sum().clamp(min=1) + dissimilar / dissimilar.sum().clamp(min=1))
        logits, soft_logits = 8.0 / codes.shape[1] * (codes @ codes.T) - 3.5, self.similarity(potentials)

        def entropy(given: Tensor, targets: Tensor) -> Tensor:
            each = torch.nn.functional.binary_cross_entropy_with_logits(given, targets, reduction="none")
            return (weights * each).sum()

        soft = entropy(logits, soft_logits.sigmoid().detach())
        balance = self.balance_weight * codes.mean(0).square().mean()
        return balance + entropy(logits, hard) + self.soft_weight * (soft + entropy(soft_logits, hard))


def trained(root: Path, out: Path, **settings: float) -> dict[str, Tensor]:
    values = tiny(root) | {"train": {"epochs": 2, "batch_size": 10, **settings}}
    return trainer.train(parse_config(values, "tiny"), out, torch.device("cpu")).model.state_dict()


def test_a_former_config_trains_the_network_that_it_trained(
    tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = tmp_path / "recordings"
    write_recordings(recordings / "NMNIST" / "Train", [500 * label + each for label in range(10) for each in range(5)])
    now = trained(recordings, tmp_path / "now")
    other = trained(recordings, tmp_path / "other", instance=0.5, class_similarity=0.9, decorrelate=1.0)
    monkeypatch.setattr(trainer, "HashLoss", FormerLoss)
    former = trained(recordings, tmp_path / "former")
    assert all(torch.equal(value, former[name]) for name, value in now.items())
    assert not all(torch.equal(value, other[name]) for name, value in now.items())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": {"instance": 0.5, "batch_size": 41}}, "batch_size is 41, but instance needs two views of each"),
        ({"train": {"class_similarity": 0.0}}, "train.class_similarity: "),
        (
            {"train": {"decorrelate": 1.0}, "encoder": {"head": "classes", "bits": 10}},
            'train.decorrelate is 1.0, but encoder.head is "classes": codes need "hash"',
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(values: dict[str, object], message: str) -> None:
    assert message in refusal_of(values)
