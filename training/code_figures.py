"""What codes can tell apart, whatever the classes: how many there are, and whether a recording is found again."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.retrieval import Codes, Floats, hamming_distances


@dataclass(frozen=True)
class CodeFigures:
    """The codes of one set of recordings."""

    recordings: int
    distinct: int
    """Codes that differ."""
    entropy: float
    """Bits; at most log2 of the recordings."""
    effective_dimensions: float
    """Of the bits: as many as there are where they are independent and even, 1 where all are one."""
    instance_recall: dict[int, float]
    """By k: share of copies that find the recording that they are a copy of among the first k, ties in random order."""


def code_figures(
    codes: Codes, copies: Codes, originals: NDArray[np.int64], ks: tuple[int, ...] = (1, 10)
) -> CodeFigures:
    """All figures of packed ``codes`` (N, K/8); ``copies`` (Q, K/8) are of their recordings ``originals`` (Q,)."""
    return CodeFigures(
        recordings=len(codes),
        distinct=len(np.unique(codes, axis=0)),
        entropy=code_entropy(codes),
        effective_dimensions=effective_dimensions(codes),
        instance_recall={k: float(instance_recall(codes, copies, originals, k).mean()) for k in ks},
    )


def code_entropy(codes: Codes) -> float:
    """Entropy of the code of a recording drawn from packed ``codes`` (N, K/8), in bits."""
    shares = np.unique(codes, axis=0, return_counts=True)[1] / len(codes)
    return float(-(shares * np.log2(shares)).sum())


def effective_dimensions(codes: Codes) -> float:
    """Participation ratio of the bits of packed ``codes`` (N, K/8): ``(sum of l)^2 / (sum of l^2)``.

    l are the eigenvalues of the covariance of the bits; 0 where all codes are one.
    """
    covariance = np.atleast_2d(np.cov(np.unpackbits(codes, axis=1), rowvar=False, bias=True))
    squares = float((covariance**2).sum())  # of a symmetric matrix, the sum of the squares of its eigenvalues
    return float(np.trace(covariance)) ** 2 / squares if squares else 0.0


def instance_recall(codes: Codes, copies: Codes, originals: NDArray[np.int64], k: int) -> Floats:
    """Chance that each of ``copies`` finds its original among the first ``k`` of ``codes``, shape (Q,).

    Codes at one distance are in random order.
    """
    distances = hamming_distances(copies, codes)
    own = distances[np.arange(len(copies)), originals][:, None]
    return expected_recall((distances < own).sum(axis=1), (distances == own).sum(axis=1), k)


def expected_recall(nearer: NDArray[np.int64], tied: NDArray[np.int64], k: int) -> Floats:
    """Chance to be among the first ``k`` of what is behind ``nearer`` items, in random order with ``tied`` in all."""
    return np.clip((k - nearer) / tied, 0.0, 1.0)
