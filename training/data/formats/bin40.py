"""The 40-bit format of N-MNIST and N-Caltech101 (``.bin``).

A file is a sequence of 40-bit events: x (8 bits), y (8 bits), polarity (1 bit, 1 = ON), time (23 bits, microseconds,
most significant byte first). Source: Orchard et al., "Converting static image datasets to spiking neuromorphic datasets
using saccades", Frontiers in Neuroscience 9:437, 2015.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from spikinghash.files import atomic_path
from training.data.compiled import kernels
from training.data.events import EVENT_DTYPE, Asked, Decoded, Events

BYTES_PER_EVENT = 5

_TIME_LIMIT = 1 << 23
_OVERFLOW_ROW = 240  # an event with this y carries no spike: it tells that the clock has wrapped round
_OVERFLOW_TIME = 1 << 13  # microseconds, as tonic takes it


def read(path: Path, _: Asked) -> Decoded:
    """Events of the file ``path``, which does not tell the size of its sensor.

    Raises:
        RecordingError: the file ends within an event.
    """
    with path.open("rb", buffering=0) as file:  # files are small and many: a buffer takes as long as to open one
        records = file.read()
    if len(records) % BYTES_PER_EVENT:
        raise RecordingError(
            f"{path}: truncated: {len(records)} bytes end within event {len(records) // BYTES_PER_EVENT}, an event has "
            f"{BYTES_PER_EVENT} bytes; copy or download the file again"
        )
    return Decoded(decode_events(records))


def write_recording(path: str | Path, events: Events) -> None:
    """Write ``events`` to ``path``; the file is either whole or absent.

    Raises:
        RecordingError: an event does not fit the format.
    """
    records = encode_events(events, str(path))
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(records.tobytes())


def encode_events(events: Events, name: str) -> NDArray[np.uint8]:
    """The 40-bit form of ``events``, shape (events, 5).

    Raises:
        RecordingError: an event does not fit the format; ``name`` is used in the message.
    """
    for field, limit in (("x", 256), ("y", _OVERFLOW_ROW), ("t", _TIME_LIMIT)):
        outside = np.flatnonzero((events[field] < 0) | (events[field] >= limit))
        if len(outside):
            raise RecordingError(
                f"{name}: event {outside[0]}: {field} = {events[field][outside[0]]}, but the N-MNIST format holds 0 to "
                f"{limit - 1}; crop the recording in space or time"
            )
    time = events["t"]
    high = events["p"].astype(np.int64) << 7 | time >> 16
    columns = (events["x"], events["y"], high, time >> 8 & 255, time & 255)
    return np.stack([column.astype(np.uint8) for column in columns], axis=1)


def decode_events(records: bytes) -> Events:
    """Events of the 40-bit ``records``, unchecked; the number of bytes is a multiple of 5."""
    numbers = np.frombuffer(records, np.uint8)
    events = np.empty(len(numbers) // BYTES_PER_EVENT, EVENT_DTYPE)
    if (compiled := kernels()) is not None:
        return events[: compiled.decode_bin40(numbers, _OVERFLOW_ROW, _OVERFLOW_TIME, events)]
    x, y, high, middle, low = numbers.reshape(-1, BYTES_PER_EVENT).T
    events["x"], events["y"], events["p"] = x, y, high > 127
    events["t"] = (high & 127).astype(np.int32) << 16 | middle.astype(np.int32) << 8 | low
    overflow = y == _OVERFLOW_ROW
    if not overflow.any():
        return events
    events["t"] += _OVERFLOW_TIME * np.cumsum(overflow)
    return events[~overflow]


def overflows(records: bytes) -> int:
    """Microseconds that the clock has passed within ``records`` by wrapping round."""
    rows = np.frombuffer(records, np.uint8)[1::BYTES_PER_EVENT]
    return _OVERFLOW_TIME * int(np.count_nonzero(rows == _OVERFLOW_ROW))
