"""An index whose engine knows the distinct codes only.

Engines cut ties at the k-th distance as they fall. Where that cuts off a code that belongs to the answer, all codes of
that distance are fetched.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.search.code_lists import CodeLists
from deploy.search.index import Codes, Ids, Neighbours, check_k, check_radius, checked_codes, ranked

_LEAST_ASKED = 64
"""Distinct codes that an engine is asked for at least: as cheap as 10, and seldom too few to hold all ties."""

NOTHING: Ids = np.empty(0, np.int64)

Near = tuple[NDArray[Any], Ids]
"""Distances of distinct codes and their places in ``CodeLists.distinct``."""


class DistinctIndex(ABC):
    """What indexes on all engines share; a ``CodeIndex`` but for ``load``."""

    def __init__(self, lists: CodeLists) -> None:
        self.bits = lists.bits
        self._lists = lists

    @abstractmethod
    def _nearest_codes(self, queries: Codes, asked: int) -> list[tuple[Near, bool]]:
        """At least ``asked`` of the nearest distinct codes of each query, by distance, and whether they are all."""

    @abstractmethod
    def _codes_within(self, query: Codes, radius: int) -> Near:
        """All distinct codes within ``radius`` of one query, in any order."""

    def _settle(self) -> None:
        """Make ready to search."""
        self._lists.settle()

    def __len__(self) -> int:
        return len(self._lists)

    def lacking(self, ids: Ids) -> NDArray[np.bool_]:
        """As ``CodeIndex`` says."""
        return self._lists.lacking(ids)

    def contents(self) -> tuple[Codes, Ids]:
        """As ``CodeIndex`` says."""
        return self._lists.contents()

    def search(self, queries: Codes, k: int) -> list[Neighbours]:
        """As ``CodeIndex`` says."""
        check_k(k)
        queries, k = checked_codes(queries, self.bits), min(k, len(self))
        if not k or not len(queries):
            return [Neighbours(NOTHING, NOTHING) for _ in queries]
        self._settle()
        found = self._nearest_codes(queries, max(_LEAST_ASKED, k))
        return [self._first(query, *each, k) for query, each in zip(queries, found, strict=True)]

    def within(self, queries: Codes, radius: int) -> list[Neighbours]:
        """As ``CodeIndex`` says."""
        check_radius(radius)
        found = (self.reached(query, radius) for query in checked_codes(queries, self.bits))
        return [ranked(one.distances, one.ids) for one in found]

    def reached(self, query: Codes, radius: int) -> Neighbours:
        """As ``CodeIndex`` says."""
        check_radius(radius)
        (query,) = checked_codes(query[None], self.bits)
        self._settle()
        if not len(self):
            return Neighbours(NOTHING, NOTHING)
        return self._lists.expanded(*self._codes_within(query, min(radius, self.bits)), None)

    def _first(self, query: Codes, near: Near, whole: bool, k: int) -> Neighbours:
        """The first ``k`` of a query, from the nearest distinct codes in order of distance."""
        distances, places = near
        place = int(np.searchsorted(np.cumsum(self._lists.counts(places)), k))
        radius = int(distances[place]) if place < len(distances) else self.bits
        last = int(distances.max(initial=0))
        if not whole and radius >= last:
            (distances, places), radius = self._completed(query, last, k)
        chosen = distances <= radius
        found = self._lists.expanded(distances[chosen], places[chosen], k)
        return ranked(found.distances, found.ids, k)

    def _completed(self, query: Codes, radius: int, k: int) -> tuple[Near, int]:
        """All distinct codes within the distance of the ``k``-th nearest id, which is ``radius`` or more; and it."""
        while True:
            near = self._codes_within(query, radius)
            if radius == self.bits or self._lists.counts(near[1]).sum() >= k:
                return near, radius
            radius += 1  # an engine may know codes that no id has any more
