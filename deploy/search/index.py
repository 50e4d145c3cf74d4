"""What every index of hash codes does, whichever engine is behind it.

Codes are packed uint8, shape (B, K/8), in the bit order of ``numpy.packbits``; ids are int64, chosen by the caller. An
answer is ordered by (distance, id), so that equal distances, which are the rule among short codes, have one order on
every engine.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import SearchError

Codes = NDArray[np.uint8]
Ids = NDArray[np.int64]
_LEAST = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Neighbours:
    """What was found for one query, ordered by (distance, id) unless said otherwise."""

    distances: NDArray[np.int64]
    """Hamming distances in bits, shape (found,)."""
    ids: Ids
    """Shape (found,)."""

    def __len__(self) -> int:
        return len(self.ids)


class CodeIndex(Protocol):
    """Codes of K bits under ids, found by Hamming distance."""

    bits: int

    def __len__(self) -> int:
        """Codes in the index."""

    def add(self, codes: Codes, ids: Ids) -> None:
        """Add ``codes`` (B, K/8) under ``ids`` (B,); all or, with a ``SearchError``, none.

        Raises:
            SearchError: the shapes do not fit, or an id is given twice, is in the index already or is -2^63.
        """

    def lacking(self, ids: Ids) -> NDArray[np.bool_]:
        """Which of ``ids`` (B,) are not in the index, shape (B,)."""

    def search(self, queries: Codes, k: int) -> list[Neighbours]:
        """The ``k`` nearest codes of each query (B, K/8); all codes where there are fewer than ``k``."""

    def within(self, queries: Codes, radius: int) -> list[Neighbours]:
        """All codes at a distance of at most ``radius`` bits from each query (B, K/8)."""

    def reached(self, query: Codes, radius: int) -> Neighbours:
        """As ``within`` for one query (K/8,), but in any order: for those who put many in an order of their own."""

    def remove(self, ids: Ids) -> int:
        """Remove the codes under ``ids``; ids that are not in the index are ignored. Returns how many were removed."""

    def contents(self) -> tuple[Codes, Ids]:
        """All codes (N, K/8) and their ids (N,), ordered by code."""

    def save(self, path: Path) -> None:
        """Write the index to the file ``path``, which is then either whole or as it was."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            SearchError: the file is missing, damaged, or of another kind or version.
        """


def ranked(distances: NDArray[Any], ids: Ids, k: int | None = None) -> Neighbours:
    """The first ``k`` by (distance, id), or all."""
    order = np.lexsort((ids, distances))[:k]
    return Neighbours(np.asarray(distances[order], np.int64), np.asarray(ids[order], np.int64))


def checked_codes(codes: Codes, bits: int) -> Codes:
    """``codes`` as a contiguous array.

    Raises:
        SearchError: they are not packed codes of ``bits`` bits.
    """
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != bits // 8:
        raise SearchError(
            f"codes: {codes.dtype} {codes.shape}, but codes of {bits} bits are uint8 (codes, {bits // 8}); "
            "pack them with numpy.packbits"
        )
    return np.ascontiguousarray(codes)


def checked_ids(ids: Ids, count: int) -> Ids:
    """``ids`` as a contiguous array.

    Raises:
        SearchError: they are not ``count`` different int64, or the least int64 is among them.
    """
    if ids.dtype != np.int64 or ids.shape != (count,):
        raise SearchError(f"ids: {ids.dtype} {ids.shape}, but {count} codes need int64 ({count},)")
    if (ids == _LEAST).any():
        raise SearchError(f"id {_LEAST}: Milvus stores it but does not find it again: use any other int64")
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < count:
        raise SearchError(f"id {values[counts > 1][0]} is given {counts.max()} times; each code needs an id of its own")
    return np.ascontiguousarray(ids)


def check_new(ids: Ids, lacking: NDArray[np.bool_]) -> None:
    """Raise a ``SearchError`` unless the index is ``lacking`` all of ``ids``."""
    present = ids[~lacking]
    if len(present):
        raise SearchError(f"id {present[0]} is in the index already; remove it first")


def check_bits(bits: int) -> None:
    """Raise a ``SearchError`` unless ``bits`` is a positive multiple of 8."""
    if bits <= 0 or bits % 8:
        raise SearchError(f"codes of {bits} bits: the number of bits must be a positive multiple of 8")


def check_k(k: int) -> None:
    """Raise a ``SearchError`` unless ``k`` is positive."""
    if k < 1:
        raise SearchError(f"k = {k}: at least 1 neighbour must be asked for")


def check_radius(radius: int) -> None:
    """Raise a ``SearchError`` unless ``radius`` is at least 0."""
    if radius < 0:
        raise SearchError(f"radius = {radius} bits: it must be at least 0")
