"""The index in this process's memory, on faiss.

faiss cuts ties at the k-th distance as they fall. So each answer is completed to all codes of that distance, of which
the smallest ids stay.
"""

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

_VERSION = 1  # raise it when saved files change


class FlatIndex:
    """Compares a query with every code (``IndexBinaryFlat``)."""

    def __init__(self, bits: int) -> None:
        check_bits(bits)
        self.bits = bits
        self._storage: Any = faiss.IndexBinaryFlat(bits)
        self._index = faiss.IndexBinaryIDMap(self._storage)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def ids(self) -> Ids:
        """All ids, in the order in which they were added."""
        return np.asarray(faiss.vector_to_array(self._index.id_map), np.int64)

    @property
    def codes(self) -> Codes:
        """All codes, packed (codes, K/8), in the order of ``ids``."""
        return np.asarray(faiss.vector_to_array(self._storage.xb), np.uint8).reshape(-1, self.bits // 8)

    def add(self, codes: Codes, ids: Ids) -> None:
        """As ``CodeIndex`` says."""
        codes, ids = checked_codes(codes, self.bits), checked_ids(ids, len(codes))
        check_new(ids, self.lacking(ids))
        self._index.add_with_ids(codes, ids)

    def lacking(self, ids: Ids) -> NDArray[np.bool_]:
        """As ``CodeIndex`` says."""
        return ~np.isin(ids, self.ids)

    def search(self, queries: Codes, k: int) -> list[Neighbours]:
        """As ``CodeIndex`` says."""
        check_k(k)
        queries, k = checked_codes(queries, self.bits), min(k, len(self))
        if not k:
            return [_nothing() for _ in queries]
        radii = self._index.search(queries, k)[0][:, -1]
        found: list[Neighbours] = [_nothing()] * len(queries)
        for radius in np.unique(radii):
            chosen = np.flatnonzero(radii == radius)
            for index, near in zip(chosen, _within(self._index, queries[chosen], int(radius)), strict=True):
                found[index] = Neighbours(near.distances[:k], near.ids[:k])
        return found

    def within(self, queries: Codes, radius: int) -> list[Neighbours]:
        """As ``CodeIndex`` says."""
        check_radius(radius)
        return _within(self._index, checked_codes(queries, self.bits), min(radius, self.bits))

    def remove(self, ids: Ids) -> int:
        """As ``CodeIndex`` says."""
        return int(self._index.remove_ids(faiss.IDSelectorBatch(np.unique(ids))))

    def save(self, path: Path) -> None:
        """As ``CodeIndex`` says; an .npz file, whose format checks the CRC of each array."""
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, version=np.int64(_VERSION), bits=np.int64(self.bits), codes=self.codes, ids=self.ids)

    @classmethod
    def load(cls, path: Path) -> Self:
        """As ``CodeIndex`` says. What faiss keeps beside codes and ids is built anew."""
        bits, codes, ids = _read(path)
        index = cls(bits)
        index.add(codes, ids)
        return index


def _within(index: faiss.IndexBinary, queries: Codes, radius: int) -> list[Neighbours]:
    if not len(queries) or not index.ntotal:
        return [_nothing() for _ in queries]
    limits, distances, ids = index.range_search(queries, radius + 1)  # faiss means "< radius"
    spans = zip(limits[:-1].astype(int), limits[1:].astype(int), strict=True)
    return [ranked(distances[start:end], ids[start:end]) for start, end in spans]


def _nothing() -> Neighbours:
    return Neighbours(np.empty(0, np.int64), np.empty(0, np.int64))


def _read(path: Path) -> tuple[int, Codes, Ids]:
    try:
        file = read_archive(path)
        version, bits, codes, ids = int(file["version"]), int(file["bits"]), file["codes"], file["ids"]
    except (OSError, ValueError, KeyError) as error:
        raise SearchError(
            f"{path}: not a readable index ({type(error).__name__}): delete it, then build again"
        ) from None
    if version != _VERSION:
        raise SearchError(
            f"{path}: an index of version {version}, this program reads version {_VERSION}: build it again"
        )
    return bits, codes, ids
