"""Hamming distances, and the nearest of many codes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.search.faiss_index import FlatIndex
from deploy.search.index import Codes, Ids, Neighbours
from spikinghash.errors import SearchError


def hamming(a: Codes, b: Codes) -> NDArray[np.int64]:
    """Hamming distances in bits of packed codes (..., K/8), broadcast against each other: shape (...).

    Raises:
        SearchError: they are no packed codes of one length.

    >>> import numpy as np
    >>> a, b = np.array([[0b1100_0000], [0]], np.uint8), np.array([[0b1000_0001]], np.uint8)
    >>> hamming(a, b).tolist()
    [2, 2]
    >>> hamming(a[:, None], np.concatenate([a, b])).tolist()
    [[0, 2, 2], [2, 0, 2]]
    """
    if a.dtype != np.uint8 or b.dtype != np.uint8 or not a.ndim or not b.ndim or a.shape[-1] != b.shape[-1]:
        raise SearchError(f"codes: {a.dtype} {a.shape} and {b.dtype} {b.shape}; needed are uint8 (..., K/8) of one K")
    return np.bitwise_count(a ^ b).sum(axis=-1, dtype=np.int64)


class Index:
    """Codes of K bits in memory under whole numbers, found by Hamming distance on faiss.

    Answers are in order of (distance, id): distances tie all the time, and equal ones have one order.

    >>> import numpy as np
    >>> index = Index(bits=8)
    >>> index.add(np.array([[0], [255], [1]], np.uint8)).tolist()
    [0, 1, 2]
    >>> nearest = index.search(np.array([[3]], np.uint8), k=2)[0]
    >>> nearest.ids.tolist(), nearest.distances.tolist()
    ([2, 0], [1, 2])
    """

    def __init__(self, bits: int) -> None:
        """An empty index of codes of ``bits`` bits, a multiple of 8.

        Raises:
            SearchError: ``bits`` is another number.
        """
        self._index, self._next = FlatIndex(bits), 0

    def __len__(self) -> int:
        """Codes in the index."""
        return len(self._index)

    @property
    def bits(self) -> int:
        """Of a code, K."""
        return self._index.bits

    def add(self, codes: Codes, ids: Ids | None = None) -> Ids:
        """Add packed codes (B, K/8), or one (K/8,), all or none.

        Args:
            ids: int64 (B,), each of them new; by default the numbers that come next, from 0.

        Returns:
            The ids (B,).

        Raises:
            SearchError: the shapes do not fit, or an id is given twice or is in the index.
        """
        codes = np.atleast_2d(codes)
        given = np.arange(self._next, self._next + len(codes)) if ids is None else np.asarray(ids)
        self._index.add(codes, given)
        self._next = max(self._next, int(given.max(initial=-1)) + 1)
        return given

    def search(self, codes: Codes, k: int = 10) -> list[Neighbours]:
        """The ``k`` nearest of each packed code (B, K/8), or of one (K/8,).

        Returns:
            For each its ``distances`` in bits and ``ids``, both int64 (k,); fewer where the index has fewer.

        Raises:
            SearchError: the codes are of another length, or ``k`` is no positive number.
        """
        return self._index.search(np.atleast_2d(codes), k)

    def within(self, codes: Codes, radius: int) -> list[Neighbours]:
        """All at a distance of at most ``radius`` bits from each packed code (B, K/8), or from one (K/8,).

        Raises:
            SearchError: the codes are of another length, or ``radius`` is negative.
        """
        return self._index.within(np.atleast_2d(codes), radius)

    def save(self, path: str | Path) -> None:
        """Write the index to the file ``path`` (.npz), which is then either whole or as it was.

        Raises:
            WriteError: it cannot be written.
        """
        self._index.save(Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "Index":
        """Read what ``save`` wrote.

        Raises:
            SearchError: the file is missing, damaged, or of another kind.

        >>> import numpy as np, tempfile
        >>> index = Index(bits=8)
        >>> _ = index.add(np.array([[7]], np.uint8))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     index.save(f"{folder}/codes.npz")
        ...     len(Index.load(f"{folder}/codes.npz"))
        1
        """
        index = cls.__new__(cls)
        index._index = FlatIndex.load(Path(path))
        index._next = int(index._index.contents()[1].max(initial=-1)) + 1
        return index
