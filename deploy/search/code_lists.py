"""Every distinct code once, with the ids of the recordings that have it.

Codes repeat: a thousand recordings of ten digits have a hundred codes, and ten of these hold most recordings. So an
engine compares a query with the distinct codes alone, and an answer is expanded to ids here.
"""

import threading
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from deploy.search.index import Codes, Ids, Neighbours, check_bits, check_new, checked_codes, checked_ids
from spikinghash.arrays import read_archive
from spikinghash.errors import SearchError
from spikinghash.files import atomic_path

_VERSION = 2  # raise it when saved files change; version 1 held a code for every id


class CodeLists:
    """Codes in the order of their bytes, and ids by code. What is added waits until ``settle``."""

    def __init__(self, bits: int) -> None:
        check_bits(bits)
        self.bits = bits
        self.distinct = np.empty((0, bits // 8), np.uint8)
        self._starts = np.zeros(1, np.int64)  # where the ids of each distinct code start, and the end of the last
        self._ids = np.empty(0, np.int64)  # by code, ascending
        self._new: list[tuple[Codes, Ids]] = []
        self._settling = threading.Lock()  # several threads may search

    def __len__(self) -> int:
        return len(self._ids) + sum(len(ids) for _, ids in self._new)

    def add(self, codes: Codes, ids: Ids) -> None:
        """As ``CodeIndex`` says."""
        codes, ids = checked_codes(codes, self.bits), checked_ids(ids, len(codes))
        check_new(ids, self.lacking(ids))
        self._new.append((codes.copy(), ids.copy()))

    def lacking(self, ids: Ids) -> NDArray[np.bool_]:
        """As ``CodeIndex`` says."""
        return np.logical_and.reduce([~np.isin(ids, known) for known in (self._ids, *(new for _, new in self._new))])

    def settle(self) -> None:
        """Put what was added among what is in order."""
        with self._settling:
            if self._new:
                self._merge()

    def remove(self, ids: Ids) -> tuple[int, Codes]:
        """Remove ``ids``, as far as they are there: how many were, and the codes that no id has any more."""
        self.settle()
        kept = ~np.isin(self._ids, ids)
        owner = self._owners()[kept]
        counts = np.bincount(owner, minlength=len(self.distinct))
        removed, bare = len(self._ids) - len(owner), self.distinct[counts == 0]
        self._take(self.distinct[counts > 0], counts[counts > 0], self._ids[kept])
        return removed, bare

    def counts(self, places: Ids) -> NDArray[np.int64]:
        """How many ids each of the distinct codes at ``places`` has."""
        return self._starts[places + 1] - self._starts[places]

    def places(self, codes: Codes) -> Ids:
        """Where in ``distinct`` each of ``codes`` (B, K/8) stands; -1 where it does not."""
        known, asked = _keys(self.distinct), _keys(codes)
        found = np.searchsorted(known, asked)
        there = found < len(known)
        there[there] = known[found[there]] == asked[there]
        return np.where(there, found, -1)

    def expanded(self, distances: NDArray[Any], places: Ids, k: int | None) -> Neighbours:
        """Ids of the distinct codes at ``places``, code by code; of ``k`` asked for, no more of one code."""
        starts, counts = self._starts[places], self.counts(places)
        counts = counts if k is None else np.minimum(counts, k)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        found = self._ids[np.repeat(starts, counts) + within]
        return Neighbours(np.repeat(distances, counts).astype(np.int64), found)

    def contents(self) -> tuple[Codes, Ids]:
        """As ``CodeIndex`` says."""
        self.settle()
        return np.repeat(self.distinct, np.diff(self._starts), axis=0), self._ids

    def save(self, path: Path) -> None:
        """Write an .npz file, whose format checks the CRC of each array; it is either whole or as it was."""
        self.settle()
        version, bits, counts = np.int64(_VERSION), np.int64(self.bits), np.diff(self._starts)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, version=version, bits=bits, codes=self.distinct, counts=counts, ids=self._ids)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            SearchError: the file is missing, damaged, or of another version.
        """
        bits, codes, ids = _read(path)
        lists = cls(bits)
        lists.add(codes, ids)
        return lists

    def _merge(self) -> None:
        codes, ids = (np.concatenate(parts) for parts in zip(*self._new, strict=True))
        keys, new = _keys(self.distinct), _keys(codes)
        unseen = np.setdiff1d(new, keys)
        keys = np.insert(keys, np.searchsorted(keys, unseen), unseen)
        old_owner = np.searchsorted(keys, _keys(self.distinct))[self._owners()]
        owner = np.concatenate([old_owner, np.searchsorted(keys, new)])
        everything = np.concatenate([self._ids, ids])
        counts = np.bincount(owner, minlength=len(keys))
        distinct = keys.view(np.uint8).reshape(len(keys), self.bits // 8)
        self._take(distinct, counts, everything[np.lexsort((everything, owner))])
        self._new = []

    def _take(self, distinct: Codes, counts: NDArray[np.int64], ids: Ids) -> None:
        self.distinct, self._ids = distinct, ids
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def _owners(self) -> NDArray[np.int64]:
        """Which distinct code each of ``_ids`` has."""
        return np.repeat(np.arange(len(self.distinct)), np.diff(self._starts))


def _keys(codes: Codes) -> NDArray[Any]:
    """Codes as one value each, which compare as their bytes do."""
    return np.ascontiguousarray(codes).view(f"V{codes.shape[1]}").ravel()


def _read(path: Path) -> tuple[int, Codes, Ids]:
    try:
        file = read_archive(path)
        version, bits, codes, ids = int(file["version"]), int(file["bits"]), file["codes"], file["ids"]
        if version == _VERSION:
            if int(file["counts"].sum()) != len(ids):
                raise ValueError("counts of other ids")
            codes = np.repeat(codes, file["counts"], axis=0)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SearchError(
            f"{path}: not a readable index ({type(error).__name__}): `deploy.search check --repair` makes it anew"
        ) from None
    if version not in (1, _VERSION):
        raise SearchError(
            f"{path}: an index of version {version}, this program reads versions 1 and {_VERSION}: build it again"
        )
    return bits, codes, ids
