"""Seeded, stratified split of a data set into the sets that training and retrieval need."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError

Indices = NDArray[np.int64]

_SMALLEST_CLASS = 3  # one recording each for test queries, validation queries and the database


@dataclass(frozen=True)
class Split:
    """Indices into a data set, each set sorted. Queries are in neither training set nor database."""

    database: Indices
    """Recordings that are searched."""
    validation: Indices
    """Queries on which choices are made."""
    test: Indices
    """Queries on which figures are reported; no choice is made on them."""

    @property
    def training(self) -> Indices:
        """Recordings that the encoder is trained on: the database."""
        return self.database


def split(labels: Indices, *, validation: float = 0.1, test: float = 0.1, seed: int = 0) -> Split:
    """Draw queries from every class; the rest is the database.

    Args:
        labels: class of each recording, shape (recordings,).
        validation: share of each class that becomes validation queries (one recording at least).
        test: share of each class that becomes test queries (one recording at least).
        seed: the same seed and labels give the same split; a class's draw does not depend on other classes.

    Raises:
        RecordingError: a class has too few recordings; it is named.
    """
    parts = [_split_class(labels, label, (test, validation), seed) for label in np.unique(labels).tolist()]
    tests, validations, rest = (np.sort(np.concatenate(part)) for part in zip(*parts, strict=True))
    return Split(database=rest, validation=validations, test=tests)


def _split_class(labels: Indices, label: int, shares: tuple[float, float], seed: int) -> list[Indices]:
    members = np.flatnonzero(labels == label)
    sizes = [max(1, round(share * len(members))) for share in shares]
    if len(members) < _SMALLEST_CLASS or sum(sizes) >= len(members):
        raise RecordingError(
            f"class {label} has {len(members)} recording{'s' * (len(members) != 1)}, at least "
            f"{max(_SMALLEST_CLASS, sum(sizes) + 1)} are needed (test queries, validation queries and database); "
            "add recordings or leave the class out"
        )
    shuffled = np.random.default_rng((seed, label)).permutation(members)
    return np.split(shuffled, np.cumsum(sizes))
