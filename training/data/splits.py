"""Seeded, stratified split of a data set into the sets that training and retrieval need."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError

Indices = NDArray[np.int64]

FEW_FILES = 5
"""Of a class, in windows: with fewer, a file is more than the share of the validation by far."""


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
    files: Sequence[str] | None = None,
    overlap: int = 0,
    classes: Sequence[str] = (),
) -> Split:
    """Draw queries from every class; the rest is the database.

    All rows of a file are on one side: windows of one recording find each other, whatever the network has learned.
    Of a class with fewer than ``FEW_FILES`` to train on none is held back for validation, but the last windows of each:
    choices are then made on flattered figures, test figures are not flattered.

    Where a data set has an official test set, all of it is the test queries, so that figures can be held against
    published ones; validation queries and database are then drawn from the rest.

    Args:
        labels: class of each row, shape (rows,).
        validation: share of each class's files that become validation queries (one at least).
        test: share of each class's files that become test queries (one at least).
        seed: the same seed and labels give the same split; a class's draw does not depend on other classes.
        official: which rows are the official test set, shape (rows,); ``test`` is then not used.
        files: the file that each row is of; ``None``: each row is a file. Rows of a file are in order of time.
        overlap: rows before it that a row shares events with.
        classes: names of the classes, for messages.

    Raises:
        RecordingError: a class has too few files; it is named.
    """
    rest = np.arange(len(labels)) if official is None else np.flatnonzero(~official)
    of_file = np.arange(len(labels)) if files is None else np.unique(files, return_inverse=True)[1]
    draw = _Draw([test, validation] if official is None else [validation], seed, overlap, dict(enumerate(classes)))
    parts = [draw.of_class(label, rest[labels[rest] == label], of_file) for label in np.unique(labels).tolist()]
    *tests, validations, database = (np.sort(np.concatenate(part)) for part in zip(*parts, strict=True))
    if not len(validations):
        raise RecordingError(
            f"{len(labels)} windows, {len(database)} of them to train on, leave none to validate on: add recordings, "
            "or use shorter windows"
        )
    return Split(database, validations, tests[0] if official is None else np.flatnonzero(official))


@dataclass(frozen=True)
class _Draw:
    """How the rows of a class are shared out."""

    shares: list[float]
    """Of the test queries, unless there is an official test set, and of the validation queries."""
    seed: int
    overlap: int
    names: dict[int, str]

    def of_class(self, label: int, members: Indices, of_file: Indices) -> list[Indices]:
        """Draw ``shares`` of the files of the rows ``members`` one after the other; the last part is what is left."""
        files = _in_order(of_file[members])
        sizes = [max(1, round(share * len(files))) for share in self.shares]
        windowed = len(members) > len(files)
        needed = len(self.shares) if windowed else max(len(self.shares) + 1, sum(sizes) + 1)
        if len(files) < needed:
            self._refuse(label, len(files), needed)
        shuffled = np.random.default_rng((self.seed, label)).permutation(files)
        *tests, validation, rest = np.split(shuffled, np.cumsum(sizes))
        parts = [members[np.isin(of_file[members], part)] for part in (*tests, validation, rest)]
        if windowed and len(validation) + len(rest) < FEW_FILES:
            return [*parts[:-2], *self._by_time(np.sort(np.concatenate(parts[-2:])), of_file)]
        return parts

    def _by_time(self, rows: Indices, of_file: Indices) -> tuple[Indices, Indices]:
        """The last rows of each file, and those before them that share no event with them."""
        late, early = [], []
        for file in _in_order(of_file[rows]).tolist():
            own = rows[of_file[rows] == file]
            count = max(1, round(self.shares[-1] * len(own))) if len(own) > 1 + self.overlap else 0
            late.append(own[len(own) - count :])
            early.append(own[: len(own) - count - self.overlap] if count else own)
        return np.concatenate(late), np.concatenate(early)

    def _refuse(self, label: int, count: int, needed: int) -> None:
        drawn = len(self.shares) > 1
        sets = (
            "test queries, validation queries and database"
            if drawn
            else "validation queries and database, beside the test"
        )
        raise RecordingError(
            f"class {self.names.get(label, label)} has {count} recording{'s' * (count != 1)}, at least {needed} are "
            f"needed ({sets}); add recordings or leave the class out"
        )


def _in_order(values: Indices) -> Indices:
    """The values that occur, in the order in which they do."""
    return values[np.sort(np.unique(values, return_index=True)[1])]
