"""What is done with every event of a recording, compiled by Numba. In NumPy the same stands where these are called."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_Kernel = Callable[..., Any]
_compiled: Callable[[_Kernel], _Kernel] = numba.njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def decode_bin40(records: NDArray[np.uint8], overflow_row: int, overflow_time: int, events: Any) -> int:
    """Decode 40-bit ``records``, five bytes each, into ``events``, an array of as many; returns how many there are.

    Source: ``training.data.formats.bin40``.
    """
    count, passed = 0, np.int64(0)
    for index in range(len(events)):
        start = np.uint64(5) * np.uint64(index)  # without a sign, so that no index is looked at for being negative
        y, high = np.int64(records[start + np.uint64(1)]), np.int64(records[start + np.uint64(2)])
        middle, low = np.int64(records[start + np.uint64(3)]), np.int64(records[start + np.uint64(4)])
        event = events[count]
        event.x, event.y, event.p = records[start], y, high > 127
        event.t = ((high & 127) << 16 | middle << 8 | low) + passed
        count += 1
        if y == overflow_row:
            passed += overflow_time
            count -= 1
    return count


@_compiled
def are_right(events: Any, width: int, height: int) -> bool:
    """Whether there are ``events``, all are on the sensor, and time does not decrease."""
    wrong, last = len(events) == 0, np.int64(-(1 << 63))
    for index in range(len(events)):
        event = events[index]
        wrong |= (event.x < 0) | (event.x >= width) | (event.y < 0) | (event.y >= height) | (event.t < last)
        last = event.t
    return not wrong


@_compiled
def mark(
    events: Any, columns: NDArray[np.int64], rows: NDArray[np.int64], shortest: int, frames: NDArray[np.uint8]
) -> bool:
    """Mark the pixels of ``events`` in ``frames`` (T, 2, S, S), which are zeros, each in its time bin.

    Args:
        events: in order of time, on the sensor.
        columns: of a frame, for each column of the sensor; -1 outside it.
        rows: alike.
        shortest: length of a bin in microseconds.

    Returns:
        Whether it was done: bins are not shorter, and ``events`` are as they must be; else nothing is marked.
    """
    front, back = 0, len(events) - 1
    while front < len(events) and not _inside(events[front], columns, rows):
        front += 1
    while back > front and not _inside(events[back], columns, rows):
        back -= 1
    if front > back:
        return False
    length = (events[back].t - events[front].t) // len(frames)
    if length < shortest:
        return False
    index, after, end = np.uint64(front), np.uint64(back + 1), events[front].t
    for frame in frames:
        end += length
        while index < after and events[index].t < end:
            event = events[index]
            x, y = np.uint64(np.int64(event.x)), np.uint64(np.int64(event.y))
            if x >= np.uint64(len(columns)) or y >= np.uint64(len(rows)):
                frames[:] = 0
                return False
            column, row = columns[x], rows[y]
            if column >= 0 and row >= 0:
                frame[1 - np.int64(event.p), row, column] = 1
            index += np.uint64(1)
    return True


@_compiled
def _inside(event: Any, columns: NDArray[np.int64], rows: NDArray[np.int64]) -> bool:
    """Whether an event lies in the frame."""
    known = 0 <= event.x < len(columns) and 0 <= event.y < len(rows)
    return known and columns[event.x] >= 0 and rows[event.y] >= 0
