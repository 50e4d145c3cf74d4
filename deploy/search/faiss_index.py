"""The index in this process's memory, on faiss."""

import threading
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np

from deploy.search.code_lists import CodeLists
from deploy.search.distinct_index import DistinctIndex, Near
from deploy.search.index import Codes, Ids


class FlatIndex(DistinctIndex):
    """Compares a query with every distinct code (``IndexBinaryFlat``); the next search puts new codes in order."""

    def __init__(self, bits: int) -> None:
        super().__init__(CodeLists(bits))
        self._indexed = self._lists.distinct
        self._index = _faiss_of(self._indexed)
        self._indexing = threading.Lock()  # several threads may search

    def add(self, codes: Codes, ids: Ids) -> None:
        """As ``CodeIndex`` says."""
        self._lists.add(codes, ids)

    def remove(self, ids: Ids) -> int:
        """As ``CodeIndex`` says."""
        return self._lists.remove(ids)[0]

    def save(self, path: Path) -> None:
        """As ``CodeIndex`` says."""
        self._lists.save(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """As ``CodeIndex`` says. What faiss keeps is built anew."""
        lists = CodeLists.load(path)
        index = cls(lists.bits)
        index._lists = lists
        return index

    def _settle(self) -> None:
        with self._indexing:
            super()._settle()
            if self._indexed is not self._lists.distinct:
                self._indexed = self._lists.distinct
                self._index = _faiss_of(self._indexed)

    def _nearest_codes(self, queries: Codes, asked: int) -> list[tuple[Near, bool]]:
        asked = min(asked, len(self._indexed))
        distances, places = self._index.search(queries, asked)
        return [(near, asked == len(self._indexed)) for near in zip(distances, places, strict=True)]

    def _codes_within(self, query: Codes, radius: int) -> Near:
        _, distances, places = self._index.range_search(query[None], radius + 1)  # faiss means "< radius"
        return distances, places


def _faiss_of(codes: Codes) -> Any:
    index: Any = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    index.use_heap = False  # counting distances is faster than a heap of 64
    index.add(np.ascontiguousarray(codes))
    return index
