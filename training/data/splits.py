"""Seeded, stratified split of a data set into the sets that training and retrieval need."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError

Indices = NDArray[np.int64]

_OFFICIAL = -1  # stands for the class of recordings that are not to be drawn


@dataclass(frozen=True)
class Split:
    """Indices into a data set, each set sorted. Queries are in neither training set nor database."""

    database: Indices
    """Recordings that are searched."""
    validation: Indices
    """Queries on which choices are made."""
    test: Indices
    """Queries on which figures are reported; no choice is made on them."""
    extra: Indices = field(default_factory=lambda: np.empty(0, np.int64))
    """Recordings that are trained on and not searched."""

    @property
    def training(self) -> Indices:
        """Recordings that the encoder is trained on: the database and the extra ones."""
        return np.concatenate([self.database, self.extra])


def split(
    labels: Indices,
    *,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    official: NDArray[np.bool_] | None = None,
) -> Split:
    """Draw queries from every class; the rest is the database.

    Where a data set has an official test set, all of it is the test queries, so that figures can be held against
    published ones; validation queries and database are then drawn from the rest.

    Args:
        labels: class of each recording, shape (recordings,).
        validation: share of each class that becomes validation queries (one recording at least).
        test: share of each class that becomes test queries (one recording at least).
        seed: the same seed and labels give the same split; a class's draw does not depend on other classes.
        official: which recordings are the official test set, shape (recordings,); ``test`` is then not used.

    Raises:
        RecordingError: a class has too few recordings; it is named.
    """
    names = np.unique(labels).tolist()
    drawn, shares = labels, [test, validation]
    if official is not None:
        drawn, shares = np.where(official, _OFFICIAL, labels), [validation]
    parts = [_split_class(drawn, label, shares, seed) for label in names]
    *tests, validations, rest = (np.sort(np.concatenate(part)) for part in zip(*parts, strict=True))
    return Split(rest, validations, tests[0] if official is None else np.flatnonzero(official))


def _split_class(labels: Indices, label: int, shares: Sequence[float], seed: int) -> list[Indices]:
    """Draw ``shares`` of the class one after the other; the last part is what is left."""
    members = np.flatnonzero(labels == label)
    sizes = [max(1, round(share * len(members))) for share in shares]
    needed = max(len(shares) + 1, sum(sizes) + 1)
    if len(members) < needed:
        test = "test queries, " * (len(shares) - 1)
        raise RecordingError(
            f"class {label} has {len(members)} recording{'s' * (len(members) != 1)}, at least {needed} are needed "
            f"({test}validation queries and database); add recordings or leave the class out"
        )
    shuffled = np.random.default_rng((seed, label)).permutation(members)
    return np.split(shuffled, np.cumsum(sizes))
