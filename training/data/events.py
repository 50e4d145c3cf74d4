"""Events in memory: what an event is, and the checks that every recording passes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError

EVENT_DTYPE: np.dtype[np.void] = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])
"""tonic's event: x, y (pixels, from the upper left corner), t (microseconds), p (True = ON). Importing tonic
would import torch, which who runs an encoder may not have."""

Events = NDArray[np.void]
SensorSize = tuple[int, int, int]
"""Width, height, polarities, as in tonic."""

FIELDS = ("x", "y", "t", "p")
_LIMITS = {"x": (-(1 << 15), 1 << 15), "y": (-(1 << 15), 1 << 15), "t": (-(1 << 62), 1 << 62), "p": (-1, 2)}


def parse_sensor(text: str) -> SensorSize:
    """The sensor that ``text`` names as ``WIDTHxHEIGHT``.

    Raises:
        RecordingError: it is no such text.
    """
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise RecordingError(f"--sensor {text}: WIDTHxHEIGHT in pixels is needed, as 346x260")
    return int(width), int(height), 2


def pack_events(columns: Mapping[str, NDArray[Any]], name: str) -> Events:
    """Events from columns of numbers ``x``, ``y``, ``t``, ``p``, each of shape (events,).

    A polarity is 0 or 1 (or a bool), or -1 or 1.

    Raises:
        RecordingError: a value is no whole number or cannot be held; ``name`` and the event are in the message.
    """
    events = np.empty(len(columns["t"]), EVENT_DTYPE)
    for field in FIELDS:
        _check_values(columns[field], field, name)
        events[field] = columns[field] > 0 if field == "p" else columns[field]
    return events


def _check_values(column: NDArray[Any], field: str, name: str) -> None:
    if column.dtype.kind not in "biuf":
        raise RecordingError(f"{name}: {field} is of type {column.dtype}; numbers are needed")
    low, high = _LIMITS[field]
    fits = (column >= low) & (column < high)
    whole = fits if column.dtype.kind != "f" else fits & (column == np.rint(column))
    if not whole.all():
        index = int(np.flatnonzero(~whole)[0])
        unit = {"t": " of microseconds", "p": ", 0 or 1"}.get(field, f" from {low} to {high - 1}")
        raise RecordingError(f"{name}: event {index}: {field} = {column[index]}, but a whole number{unit} is needed")


def check_events(events: Events, sensor_size: SensorSize, name: str) -> None:
    """Check that ``events`` is a recording of a sensor of ``sensor_size``; ``name`` is used in messages.

    Raises:
        RecordingError: there is no event, one lies outside the sensor, or time runs backwards.
    """
    if not len(events):
        raise RecordingError(f"{name}: empty: it has 0 events, at least 1 is needed; leave it out or record it again")
    for axis, limit in zip("xy", sensor_size, strict=False):
        outside = np.flatnonzero((events[axis] < 0) | (events[axis] >= limit))
        if len(outside):
            index = int(outside[0])
            raise RecordingError(
                f"{name}: event {index}: {axis} = {events[axis][index]}, outside the sensor (0 to {limit - 1}); "
                "crop the recording or check that it comes from a sensor of this size"
            )
    back = np.flatnonzero(np.diff(events["t"]) < 0)
    if len(back):
        index = int(back[0]) + 1
        raise RecordingError(
            f"{name}: event {index}: t = {events['t'][index]} us, after {events['t'][index - 1]} us in event "
            f"{index - 1}; time must not decrease: sort the events by time"
        )
