"""The order of what is found: by class, codes first; or by recording, thumbnails first.

Codes are short and repeat, so that many recordings lie at one distance from a query. Among these the thumbnails decide.
Whoever looks for one recording takes the codes for a first choice only: all within a radius are candidates.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from deploy.search.index import CodeIndex, Codes, Ids, check_k
from deploy.search.thumbnails import UNKNOWN, Thumbnails, differences

Find = Literal["class", "recording"]
"""What is looked for: recordings of the same class, or the same recording."""
FINDS: tuple[Find, ...] = get_args(Find)
NEIGHBOURS = 10
"""Recordings that are found unless said otherwise."""
_KEYS = 1 << 20  # above all differences and distances


@dataclass(frozen=True)
class Query:
    """What is known of a recording that is searched for."""

    code: Codes
    """Packed, (K/8,)."""
    thumbnails: Thumbnails
    """As ``query_thumbnails`` makes them."""


@dataclass(frozen=True)
class Ranking:
    """What was found for one query, in order."""

    ids: Ids
    """Shape (found,)."""
    distances: NDArray[np.int64]
    """Hamming distances in bits, shape (found,)."""
    differences: NDArray[np.int64]
    """Of the thumbnails, shape (found,)."""
    radius: int
    """Class: the distance of the last that was found. Recording: that within which all were candidates."""
    candidates: int
    """How many there are at that distance, or within it."""
    chosen: int
    """How many of them were found."""
    bare: int
    """How many of the candidates have no thumbnail: they stand last, in the order of their ids."""


def default_radius(bits: int) -> int:
    """Within which the candidates for one recording lie.

    Copies of recordings (2 pixels aside, a tenth of the events missing, 5 ms of jitter) keep within 4 of 32 bits of
    them in 96 of 100 cases, within 12 in 99.8; a tenth of all recordings are within either.
    """
    return bits * 3 // 8


def rank(
    index: CodeIndex, stored: Thumbnails, query: Query, find: Find, k: int | None = None, radius: int | None = None
) -> Ranking:
    """What ``index`` holds, in the order of what is looked for.

    Class: the ``k`` nearest codes, or the first ``k`` within ``radius``, by (distance, difference of thumbnails, id).
    Recording: the first ``k`` within ``radius`` by (difference, distance, id).

    Args:
        stored: thumbnails by id, as ``Manifest.thumbnails`` has them.
        k: recordings at most; None for all within ``radius``, or ``NEIGHBOURS`` where there is none.
        radius: Hamming distance in bits, inclusive; for a recording ``default_radius`` unless given.

    Raises:
        SearchError: ``k`` or ``radius`` cannot be used.
    """
    if k is not None:
        check_k(k)
    if radius is None:
        k = NEIGHBOURS if k is None else k
        radius = default_radius(index.bits) if find == "recording" else _distance_of(index, query.code, k)
    near = index.reached(query.code, radius)
    differ = differences(query.thumbnails, stored, near.ids)
    order = _order(near.distances, differ, near.ids, find, k)
    last = int(near.distances[order].max(initial=0)) if find == "class" else radius
    among = near.distances == last if find == "class" else near.distances <= radius
    return Ranking(
        ids=near.ids[order],
        distances=near.distances[order],
        differences=differ[order],
        radius=last,
        candidates=int(among.sum()),
        chosen=int(among[order].sum()),
        bare=int((differ[among] == UNKNOWN).sum()),
    )


def _distance_of(index: CodeIndex, code: Codes, k: int) -> int:
    """Distance of the ``k``-th nearest."""
    nearest = index.search(code[None], k)[0]
    return int(nearest.distances[-1]) if len(nearest) else 0


def _order(
    distances: NDArray[np.int64], differ: NDArray[np.int64], ids: Ids, find: Find, k: int | None
) -> NDArray[np.int64]:
    """Places of the first ``k``, without putting the others in order."""
    keys = distances * _KEYS + differ if find == "class" else differ * _KEYS + distances
    if k is None or k >= len(ids):
        return np.lexsort((ids, keys))
    first = np.flatnonzero(keys <= np.partition(keys, k - 1)[k - 1])
    return first[np.lexsort((ids[first], keys[first]))][:k]
