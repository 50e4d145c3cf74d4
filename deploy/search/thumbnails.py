"""Thumbnails of recordings: what tells recordings of one code apart.

A thumbnail is made of the frames that the encoder sees: the events of all steps and both polarities, their centre of
mass put in the middle, counted in 8x8 cells; a cell is the root of its count, relative to that of the fullest cell, in
4 bits. Roots, because the deviation of a count grows as its root: a share of the events that is lost then changes all
cells alike. Two thumbnails differ by the sum of the differences of their cells.

The centre of mass of a copy that misses some events, or that was cut at the border, lies up to a pixel elsewhere. So a
query has nine thumbnails, of its frames moved by a pixel in each direction, and differs by the least of their
differences; what is stored stays as it is.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Raise it when the same frames make other thumbnails."""
BYTES = 32
"""Of a packed thumbnail."""
CELLS = 8
"""Along each side."""
LARGEST = 15
"""Of a cell."""
UNKNOWN = 2 * BYTES * LARGEST + 1
"""Difference from what has no thumbnail: more than any two that have one."""

Frames = NDArray[np.uint8]
Thumbnails = NDArray[np.uint8]
"""Packed, (..., 32): a byte is two cells of a row, the first in its upper half. All zero where there is none."""

_PIXELS = 32
"""Frames of this width are moved by one pixel, of larger ones in proportion."""
_compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.njit(nogil=True, cache=True)


def make_thumbnails(frames: Frames) -> Thumbnails:
    """Thumbnails (B, 32) of frames (B, T, 2, S, S) of zeros and ones."""
    counts = _counts(frames)
    return _packed(_levels(_cells(counts, *_centres(counts))))


def query_thumbnails(frames: Frames) -> Thumbnails:
    """The nine thumbnails (9, 32) of the frames (T, 2, S, S) of a query; the first is that which is stored of them."""
    counts = _counts(frames[None])
    step = max(1, round(frames.shape[-1] / _PIXELS))
    moves = sorted(np.ndindex(3, 3), key=lambda move: move != (1, 1))
    down, right = (step * (np.array(axis) - 1) for axis in zip(*moves, strict=True))
    middle_y, middle_x = _centres(counts)
    return _packed(_levels(_cells(np.repeat(counts, len(moves), axis=0), middle_y + down, middle_x + right)))


def differences(query: Thumbnails, stored: Thumbnails, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """How far ``query`` (P, 32) differs from the thumbnails ``stored[rows]``, shape (rows,).

    The least over the P thumbnails of the query, 0 to 960; ``UNKNOWN`` for rows that hold none, and beyond the last.
    """
    return np.asarray(_differences(_cells_of(query), stored, rows))


def _cells_of(packed: Thumbnails) -> NDArray[np.int16]:
    """Cells (P, 64): those in the upper halves of the bytes, then the lower."""
    return np.concatenate([packed >> 4, packed & LARGEST], axis=1).astype(np.int16)


def _counts(frames: Frames) -> NDArray[np.float32]:
    """Events of each pixel, (B, S, S)."""
    return frames.sum(axis=(1, 2), dtype=np.float32)


def _centres(counts: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the centre of mass, rounded, each (B,)."""
    total = np.maximum(counts.sum(axis=(1, 2)), 1)
    places = np.arange(counts.shape[-1])
    rows, columns = ((counts.sum(axis=axis) @ places) / total for axis in (2, 1))
    return np.rint(rows).astype(np.int64), np.rint(columns).astype(np.int64)


def _cells(counts: NDArray[np.float32], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Counts (B, 8, 8) of cells in a square of S x S pixels whose middle lies at ``rows`` and ``columns``."""
    down, right = (_assigned(middles, counts.shape[-1]) for middles in (rows, columns))
    return np.asarray(down.transpose(0, 2, 1) @ counts @ right)


def _assigned(middles: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    """Which of the cells along a side each of ``size`` pixels lies in, (B, size, 8); pixels may lie in none."""
    places = np.arange(size) - middles[:, None] + size // 2
    return (places[:, :, None] * CELLS // size == np.arange(CELLS)).astype(np.float32)


def _levels(cells: NDArray[np.float32]) -> NDArray[np.uint8]:
    # In float64, where the root and the product are the same on every machine.
    fullest = np.maximum(cells.max(axis=(1, 2), keepdims=True), 1).astype(np.float64)
    return np.rint(LARGEST * np.sqrt(cells / fullest)).astype(np.uint8)


def _packed(levels: NDArray[np.uint8]) -> Thumbnails:
    flat = levels.reshape(len(levels), 2 * BYTES)
    return np.bitwise_or(flat[:, ::2] << 4, flat[:, 1::2], dtype=np.uint8)


@_compiled
def _differences(query: Any, stored: Any, rows: Any) -> Any:
    result = np.empty(len(rows), np.int64)
    cells = np.empty(2 * BYTES, np.int16)  # 16 bits hold any sum, and fit more to a vector than 32
    for number in range(len(rows)):
        row, filled = rows[number], np.uint8(0)
        if 0 <= row < len(stored):
            for place in range(BYTES):
                pair = stored[row, place]
                cells[place], cells[BYTES + place] = pair >> 4, pair & LARGEST
                filled |= pair
        least = np.int16(UNKNOWN)
        if filled:
            for probe in range(len(query)):
                total = np.int16(0)
                for place in range(2 * BYTES):
                    total = np.int16(total + abs(np.int16(query[probe, place] - cells[place])))
                least = min(least, total)
        result[number] = least
    return result
