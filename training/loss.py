"""Training objective: pairwise similarity with dynamic soft labels from membrane potentials, and bit balance."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.model.encoder import HashOutput

Labels = Literal["both", "hard", "soft"]

CODE_SHARPNESS = 8.0
"""Slope of the logit of two codes' similarity over their cosine."""
CODE_OFFSET = 3.5
"""Taken from that logit. More than two codes cannot all be each other's opposite: unrelated ones, at cosine 0, are as
far apart as many classes get. With a logit of 0 such pairs would never be done, and their number outweighs the few
that are still too close."""


@dataclass(frozen=True)
class Within:
    """What is asked of codes within a class; by default, that they are alike."""

    similarity: float = 1.0
    """Of two recordings of a class."""
    instance: float = 0.0
    """Weight of what draws the two views of a recording together. With 0 a batch has one view of each."""
    decorrelate: float = 0.0
    """Weight of the correlation of bits."""


class SoftSimilarity(nn.Module):
    """The learnable similarity matrix ``S_soft[i, j] = sigmoid(alpha cos(u_i, u_j) - beta)``.

    u_i is the mean membrane potential of the hash neurons in the window of sample i. It moves with every training
    step, and so do alpha and beta: the soft labels are dynamic.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.tensor(math.log(5.0)))
        self.beta = nn.Parameter(torch.tensor(2.0))

    def forward(self, potentials: Tensor) -> Tensor:
        """Logits of S_soft, shape (B, B), from mean membrane potentials of shape (B, K)."""
        direction = functional.normalize(potentials, dim=-1)
        result: Tensor = self.log_alpha.exp() * (direction @ direction.T) - self.beta
        return result

    def learned(self) -> dict[str, float]:
        """The values of alpha and beta."""
        return {"alpha": float(self.log_alpha.detach().exp()), "beta": float(self.beta.detach())}

    @torch.no_grad()
    def take_over(self, learned: Mapping[str, float]) -> None:
        """Go on with what ``learned`` told of another training, if it has alpha and beta."""
        if "alpha" in learned and "beta" in learned:
            self.log_alpha.fill_(math.log(learned["alpha"]))
            self.beta.fill_(learned["beta"])


class HashLoss(nn.Module):
    """``L = L_hard + soft_weight (L_soft + L_label) + balance_weight L_balance``, and what is asked ``within`` a class.

    With S the matrix of equal labels (``within.similarity`` in the place of 1, but for two views of a recording), h the
    relaxed codes in (-1, 1)^K and
    C = CODE_SHARPNESS <h_i, h_j> / K - CODE_OFFSET:

    * L_hard: cross entropy of C against S, similar and dissimilar pairs weighted alike (HashNet, arXiv:1702.00758);
    * L_soft: cross entropy of C against S_soft. The labels are held fixed: this term moves the codes alone;
    * L_label: cross entropy of S_soft against S: this term moves the membrane potentials, alpha and beta;
    * L_balance: squared mean of each bit over the batch;
    * within a class: ``instance`` times the cross entropy of C against 1 of the two views of each recording, and
      ``decorrelate`` times ``correlation_within``.

    Pairs of a sample with itself do not count. ``labels`` leaves out the soft terms ("hard") or L_hard ("soft").
    """

    def __init__(
        self, votes: int, soft_weight: float, balance_weight: float, labels: Labels = "both", within: Within = Within()
    ) -> None:
        super().__init__()
        self.votes = votes
        self.labels = labels
        self.soft_weight = soft_weight
        self.balance_weight = balance_weight
        self.within = within
        self.similarity = SoftSimilarity()

    def forward(self, output: HashOutput, labels: Tensor) -> Tensor:
        """The loss of a batch, a scalar; ``labels`` has shape (B,).

        With ``within.instance`` its second half shows the recordings of the first half again, in their order.
        """
        return self.of_codes(relaxed_codes(output.spikes, self.votes), output.potentials.mean(0), labels)

    def of_codes(self, codes: Tensor, potentials: Tensor, labels: Tensor) -> Tensor:
        """The loss of relaxed codes in (-1, 1) and mean membrane potentials, both (B, K)."""
        hard = (labels[:, None] == labels[None, :]).to(codes.dtype)
        code_logits = CODE_SHARPNESS / codes.shape[1] * (codes @ codes.T) - CODE_OFFSET
        soft_logits = self.similarity(potentials)
        weights, targets = pair_weights(hard), self._targets(hard)
        loss = self.balance_weight * codes.mean(0).square().mean()
        if self.labels != "soft":
            loss = loss + cross_entropy(code_logits, targets, weights)
        if self.labels != "hard":
            soft = cross_entropy(code_logits, soft_logits.sigmoid().detach(), weights)
            loss = loss + self.soft_weight * (soft + cross_entropy(soft_logits, targets, weights))
        return loss + self._within(codes, code_logits, hard)

    def _targets(self, hard: Tensor) -> Tensor:
        """Similarity that each pair is trained to have, (B, B)."""
        targets = self.within.similarity * hard
        return torch.maximum(targets, views(hard)) if self.within.instance else targets

    def _within(self, codes: Tensor, code_logits: Tensor, hard: Tensor) -> Tensor:
        loss = codes.new_zeros(())
        if self.within.instance:
            apart = functional.softplus(-code_logits.diagonal(len(codes) // 2))
            loss = loss + self.within.instance * apart.mean()
        if self.within.decorrelate:
            loss = loss + self.within.decorrelate * correlation_within(codes, hard)
        return loss


def relaxed_codes(spikes: Tensor, votes: int) -> Tensor:
    """``tanh(n - votes + 1/2)`` of the spike counts n: (T, B, K) to (B, K). The sign is the bit."""
    return torch.tanh(spikes.sum(0) - votes + 0.5)


def pair_weights(hard: Tensor) -> Tensor:
    """Weights of all pairs, shape (B, B): zero on the diagonal, half for similar and half for dissimilar pairs."""
    others = 1.0 - torch.eye(len(hard), dtype=hard.dtype, device=hard.device)
    similar, dissimilar = hard * others, (1.0 - hard) * others
    return 0.5 * (similar / similar.sum().clamp(min=1) + dissimilar / dissimilar.sum().clamp(min=1))


def views(hard: Tensor) -> Tensor:
    """1 for the two views of a recording, 0 for all other pairs of a batch of two halves, shape (B, B)."""
    return torch.eye(len(hard), dtype=hard.dtype, device=hard.device).roll(len(hard) // 2, dims=1)


def correlation_within(codes: Tensor, hard: Tensor) -> Tensor:
    """Squared covariances of different bits about the means of the classes, summed for each bit; the mean over bits.

    Across classes bits must correlate: ten classes that are far apart take nine directions of a code.
    """
    deviations = codes - hard @ codes / hard.sum(1, keepdim=True)
    covariance = deviations.T @ deviations / len(codes)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / codes.shape[1]


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted binary cross entropy, summed."""
    return (weights * functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")).sum()
