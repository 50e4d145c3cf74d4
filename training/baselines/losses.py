"""Objectives of deep hashing that the tables compare with: HashNet and CSQ."""

import torch
from scipy.linalg import hadamard
from torch import Tensor, nn
from torch.nn import functional

from training.loss import HashLoss, pair_weights


class TwinLoss(nn.Module):
    """Spikinghash's own loss for a network without spikes: the values before the sign are its membrane potentials."""

    def __init__(self, loss: HashLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, values: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Values before the sign (B, K) and classes (B,) to the loss of the batch, a scalar."""
        return self.loss.of_codes(torch.tanh(values), values, labels)


class TwinClassLoss(nn.Module):
    """Cross entropy of a twin's values as logits: with a classification head."""

    def forward(self, values: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Logits (B, K) and classes (B,) to the loss of the batch, a scalar."""
        return functional.cross_entropy(values, labels)


class HashNetLoss(nn.Module):
    """Weighted pairwise likelihood of ``tanh(beta u)``, beta growing (Cao et al. 2017, arXiv:1702.00758, eq. 4 and 6).

    Args:
        bits: K; inner products are taken times 10 / K, as the authors' programs do.
    """

    SHARPEST = 10.0
    """beta at the end of the training; it begins at 1."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.scale = 10.0 / bits

    def forward(self, values: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Values before the sign (B, K), classes (B,), share of the training that is done: the loss, a scalar."""
        codes = torch.tanh(self.SHARPEST**progress * values)
        similar = (labels[:, None] == labels[None, :]).to(codes.dtype)
        logits = self.scale * (codes @ codes.T)
        losses = functional.binary_cross_entropy_with_logits(logits, similar, reduction="none")
        return (pair_weights(similar) * losses).sum()


class CsqLoss(nn.Module):
    """Central similarity (Yuan et al. 2020, arXiv:1908.00347): a class has a hash centre, a row of a Hadamard matrix.

    The loss is the cross entropy of ``(tanh u + 1)/2`` against the centre (eq. 5), plus 1e-4 times the quantisation
    term (eq. 7).

    Args:
        bits: K, a power of two, at least half the number of classes.
        classes: number of classes.
    """

    QUANTISATION = 1e-4
    centres: Tensor

    def __init__(self, bits: int, classes: int) -> None:
        super().__init__()
        if bits & (bits - 1) or 2 * bits < classes:
            raise ValueError(f"{bits} bits, {classes} classes: use a power of two that is at least half the classes")
        rows = torch.from_numpy(hadamard(bits))
        self.register_buffer("centres", torch.cat([rows, -rows])[:classes].float())

    def forward(self, values: Tensor, labels: Tensor, progress: float) -> Tensor:
        """Values before the sign (B, K) and classes (B,): the loss, a scalar."""
        codes = torch.tanh(values)
        central = functional.binary_cross_entropy((codes + 1) / 2, (self.centres[labels] + 1) / 2)
        quantisation = torch.log(torch.cosh(codes.abs() - 1)).mean()
        return central + self.QUANTISATION * quantisation
