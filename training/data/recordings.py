"""Single recordings in the N-MNIST file format: reading, checking, writing.

A file is a sequence of 40-bit events: x (8 bits), y (8 bits), polarity (1 bit, 1 = ON), time (23 bits, microseconds,
most significant byte first). Source: Orchard et al., "Converting static image datasets to spiking neuromorphic datasets
using saccades", Frontiers in Neuroscience 9:437, 2015.
"""

import io
from pathlib import Path

import numpy as np
import tonic.io
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from spikinghash.files import atomic_path

EVENT_DTYPE: np.dtype[np.void] = tonic.io.events_struct
"""tonic's event: x, y (pixels), t (microseconds), p (True = ON)."""

Events = NDArray[np.void]
SensorSize = tuple[int, int, int]
"""Width, height, polarities, as in tonic."""

BYTES_PER_EVENT = 5
NMNIST_SENSOR: SensorSize = (34, 34, 2)

_TIME_LIMIT = 1 << 23
_OVERFLOW_ROW = 240  # an event with this y carries no spike: it tells that the clock has wrapped round


def read_recording(path: str | Path, sensor_size: SensorSize = NMNIST_SENSOR) -> Events:
    """Read and check the recording ``path``.

    Returns:
        Events of dtype ``EVENT_DTYPE``, in order of time.

    Raises:
        RecordingError: the file cannot be read, is truncated or empty, or fails ``check_events``.
    """
    try:
        records = Path(path).read_bytes()
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}") from None
    if len(records) % BYTES_PER_EVENT:
        raise RecordingError(
            f"{path}: truncated: {len(records)} bytes end within event {len(records) // BYTES_PER_EVENT}, an event has "
            f"{BYTES_PER_EVENT} bytes; copy or download the file again"
        )
    events = decode_events(records)
    check_events(events, sensor_size, str(path))
    return events


def check_events(events: Events, sensor_size: SensorSize, name: str) -> None:
    """Check that ``events`` is a recording of a sensor of ``sensor_size``; ``name`` is used in messages.

    Raises:
        RecordingError: there is no event, one lies outside the sensor, or time runs backwards.
    """
    if not len(events):
        raise RecordingError(f"{name}: empty: it has 0 events, at least 1 is needed; leave it out or record it again")
    for axis, limit in zip("xy", sensor_size, strict=False):
        _check_axis(events, axis, limit, name)
    back = np.flatnonzero(np.diff(events["t"]) < 0)
    if len(back):
        index = int(back[0]) + 1
        raise RecordingError(
            f"{name}: event {index}: t = {events['t'][index]} us, after {events['t'][index - 1]} us in event "
            f"{index - 1}; time must not decrease: sort the events by time"
        )


def _check_axis(events: Events, axis: str, limit: int, name: str) -> None:
    outside = np.flatnonzero((events[axis] < 0) | (events[axis] >= limit))
    if len(outside):
        index = int(outside[0])
        raise RecordingError(
            f"{name}: event {index}: {axis} = {events[axis][index]}, outside the sensor (0 to {limit - 1}); "
            "crop the recording or check that it comes from a sensor of this size"
        )


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
    events: Events = tonic.io.read_mnist_file(io.BytesIO(records), EVENT_DTYPE, is_stream=True)
    return events
