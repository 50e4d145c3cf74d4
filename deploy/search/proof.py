"""How an index folder proves itself: a seal for every row of the manifest, and one sum of all codes and their ids.

The seal tells a damaged row when it is read. The sum tells an index file of other codes than the manifest's when it is
opened, without reading the manifest's rows, of which there may be millions.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deploy.search.index import Codes, Ids

_WORD = 8


def row_seal(row: Sequence[object]) -> bytes:
    """Of the plain values of a row: eight bytes of their SHA-256."""
    return hashlib.sha256(repr(tuple(row)).encode()).digest()[:_WORD]


def sum_of_codes(codes: Codes, ids: Ids) -> int:
    """A number of 64 bits for packed codes (N, K/8) with their ids (N,), in whatever order.

    It is a sum over the pairs, modulo 2^64: what is added and removed can be added and subtracted.
    """
    padded = np.zeros((len(codes), -(-codes.shape[1] // _WORD) * _WORD), np.uint8)
    padded[:, : codes.shape[1]] = codes
    mixed = _mix(ids.astype(np.uint64))
    for word in padded.view(np.uint64).T:
        mixed = _mix(mixed ^ word)
    return int(mixed.sum(dtype=np.uint64))


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of a word moves about half of the bits."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
