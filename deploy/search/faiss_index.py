"""The index in this process's memory: every distinct code once, with the ids of the recordings that have it, on faiss.

Codes repeat: a thousand recordings of ten digits have a hundred codes, and ten of these hold most recordings. So faiss
compares a query with the distinct codes alone. It cuts ties at the k-th distance as they fall; where that cuts off a
code that belongs to the answer, all codes of that distance are fetched.
"""

import threading
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from deploy.search.index import (
    Codes,
    Ids,
    Neighbours,
    check_bits,
    check_k,
    check_new,
    check_radius,
    checked_codes,
    checked_ids,
    ranked,
)
from spikinghash.arrays import read_archive
from spikinghash.errors import SearchError
from spikinghash.files import atomic_path

_VERSION = 2  # raise it when saved files change; version 1 held a code for every id
_LEAST_ASKED = 64
"""Distinct codes that faiss is asked for at least: as cheap as 10, and seldom too few to hold all ties."""

_NOTHING: Ids = np.empty(0, np.int64)


class FlatIndex:
    """Compares a query with every distinct code (``IndexBinaryFlat``); the next search puts new codes in order."""

    def __init__(self, bits: int) -> None:
        check_bits(bits)
        self.bits = bits
        self._distinct = np.empty((0, bits // 8), np.uint8)  # in the order of their bytes
        self._starts = np.zeros(1, np.int64)  # where the ids of each distinct code start, and the end of the last
        self._ids = np.empty(0, np.int64)  # by code, ascending
        self._new: list[tuple[Codes, Ids]] = []
        self._index: Any = _faiss_of(self._distinct)
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

    def search(self, queries: Codes, k: int) -> list[Neighbours]:
        """As ``CodeIndex`` says."""
        check_k(k)
        queries, k = checked_codes(queries, self.bits), min(k, len(self))
        if not k or not len(queries):
            return [Neighbours(_NOTHING, _NOTHING) for _ in queries]
        self._settle()
        asked = min(max(_LEAST_ASKED, k), len(self._distinct))
        distances, places = self._index.search(queries, asked)
        return [self._nearest(*each, k) for each in zip(queries, distances, places, strict=True)]

    def within(self, queries: Codes, radius: int) -> list[Neighbours]:
        """As ``CodeIndex`` says."""
        check_radius(radius)
        queries = checked_codes(queries, self.bits)
        self._settle()
        return [self._neighbours(*self._reached(query, min(radius, self.bits)), None) for query in queries]

    def remove(self, ids: Ids) -> int:
        """As ``CodeIndex`` says."""
        self._settle()
        kept = ~np.isin(self._ids, ids)
        owner = self._owners()[kept]
        counts = np.bincount(owner, minlength=len(self._distinct))
        removed = len(self._ids) - len(owner)
        self._take(self._distinct[counts > 0], counts[counts > 0], self._ids[kept])
        return removed

    def save(self, path: Path) -> None:
        """As ``CodeIndex`` says; an .npz file, whose format checks the CRC of each array."""
        self._settle()
        version, bits, counts = np.int64(_VERSION), np.int64(self.bits), np.diff(self._starts)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, version=version, bits=bits, codes=self._distinct, counts=counts, ids=self._ids)

    @classmethod
    def load(cls, path: Path) -> Self:
        """As ``CodeIndex`` says. What faiss keeps is built anew."""
        bits, codes, ids = _read(path)
        index = cls(bits)
        index.add(codes, ids)
        return index

    def _settle(self) -> None:
        """Put what is new among what is in order."""
        with self._settling:
            if self._new:
                self._merge()

    def _merge(self) -> None:
        codes, ids = (np.concatenate(parts) for parts in zip(*self._new, strict=True))
        keys, new = _keys(self._distinct), _keys(codes)
        unseen = np.setdiff1d(new, keys)
        keys = np.insert(keys, np.searchsorted(keys, unseen), unseen)
        old_owner = np.searchsorted(keys, _keys(self._distinct))[self._owners()]
        owner = np.concatenate([old_owner, np.searchsorted(keys, new)])
        everything = np.concatenate([self._ids, ids])
        counts = np.bincount(owner, minlength=len(keys))
        distinct = keys.view(np.uint8).reshape(len(keys), self.bits // 8)
        self._take(distinct, counts, everything[np.lexsort((everything, owner))])
        self._new = []

    def _take(self, distinct: Codes, counts: NDArray[np.int64], ids: Ids) -> None:
        self._distinct, self._ids = distinct, ids
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._index = _faiss_of(distinct)

    def _owners(self) -> NDArray[np.int64]:
        """Which distinct code each of ``_ids`` has."""
        return np.repeat(np.arange(len(self._distinct)), np.diff(self._starts))

    def _nearest(self, query: Codes, distances: NDArray[Any], places: Ids, k: int) -> Neighbours:
        """The first ``k`` of a query, from the nearest distinct codes in order of distance."""
        counted = np.cumsum(self._starts[places + 1] - self._starts[places])
        radius = distances[np.searchsorted(counted, k)]
        if radius == distances[-1] and len(places) < len(self._distinct):
            distances, places = self._reached(query, int(radius))
        near = distances <= radius
        return self._neighbours(distances[near], places[near], k)

    def _reached(self, query: Codes, radius: int) -> tuple[NDArray[Any], Ids]:
        """Distances and places of all distinct codes within ``radius``."""
        if not len(self._distinct):
            return _NOTHING, _NOTHING
        _, distances, places = self._index.range_search(query[None], radius + 1)  # faiss means "< radius"
        return distances, places

    def _neighbours(self, distances: NDArray[Any], places: Ids, k: int | None) -> Neighbours:
        """Ids of distinct codes by (distance, id); of ``k`` asked for, no more of one code."""
        starts, counts = self._starts[places], self._starts[places + 1] - self._starts[places]
        counts = counts if k is None else np.minimum(counts, k)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return ranked(np.repeat(distances, counts), self._ids[np.repeat(starts, counts) + within], k)


def _keys(codes: Codes) -> NDArray[Any]:
    """Codes as one value each, which compare as their bytes do."""
    return np.ascontiguousarray(codes).view(f"V{codes.shape[1]}").ravel()


def _faiss_of(codes: Codes) -> faiss.IndexBinary:
    index: Any = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    index.use_heap = False  # counting distances is faster than a heap of 64
    index.add(np.ascontiguousarray(codes))
    return index


def _read(path: Path) -> tuple[int, Codes, Ids]:
    try:
        file = read_archive(path)
        version, bits, codes, ids = int(file["version"]), int(file["bits"]), file["codes"], file["ids"]
        if version == _VERSION:
            codes = np.repeat(codes, file["counts"], axis=0)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SearchError(
            f"{path}: not a readable index ({type(error).__name__}): delete it, then build again"
        ) from None
    if version not in (1, _VERSION):
        raise SearchError(
            f"{path}: an index of version {version}, this program reads versions 1 and {_VERSION}: build it again"
        )
    return bits, codes, ids
