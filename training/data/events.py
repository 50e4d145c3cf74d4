"""Events in memory: what an event is, and the checks that every recording passes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.data.compiled import kernels

EVENT_DTYPE: np.dtype[np.void] = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])
"""tonic's event: x, y (pixels, from the upper left corner), t (microseconds), p (True = ON). Importing tonic
would import torch, which who runs an encoder may not have."""

Events = NDArray[np.void]
SensorSize = tuple[int, int, int]
"""Width, height, polarities, as in tonic."""

IN_TRAINING = "data.sensor in training"
"""What stands in a config for the option ``--sensor``."""
LARGEST_SIDE = 1 << 15
"""Of a sensor, in pixels: columns and rows are held in 16 bits with a sign."""
LARGEST_SENSOR = 1 << 24
"""Pixels: pictures of what a sensor saw are made in memory."""

FIELDS = ("x", "y", "t", "p")
_ALSO = {"ts": "t", "time": "t", "timestamp": "t", "timestamps": "t", "pol": "p", "polarity": "p", "on": "p"}
"""Other names that libraries give the fields."""
LARGEST_STEP_BACK = 10_000
"""Microseconds. Cameras deliver events a little out of order; what comes later than this was put together wrongly."""
_LIMITS = {"x": (-(1 << 15), 1 << 15), "y": (-(1 << 15), 1 << 15), "t": (-(1 << 62), 1 << 62), "p": (-1, 2)}


@dataclass(frozen=True)
class Asked:
    """What is known of a file beside its content."""

    sensor: SensorSize | None = None
    stream: str | None = None
    """Name or number of the stream of events to read, where the file has several."""


@dataclass(frozen=True)
class Decoded:
    """What a file holds."""

    events: Events
    """Not yet checked."""
    sensor: SensorSize | None = None
    """Where the file tells it."""
    notes: tuple[str, ...] = ()
    """What was left out or assumed, each fit to be shown to the user."""


def parse_sensor(text: str, name: str = "--sensor") -> SensorSize:
    """The sensor that ``text`` names as ``WIDTHxHEIGHT``; ``name`` says in messages where it stands.

    Raises:
        RecordingError: it is no such text, or no size of a sensor.
    """
    found = re.fullmatch(r"(0*[1-9]\d{0,8})x(0*[1-9]\d{0,8})", text)
    if found is None:
        raise RecordingError(f"{name} {text[:40]}: WIDTHxHEIGHT in pixels is needed, as 346x260")
    sensor = int(found[1]), int(found[2]), 2
    check_sensor(sensor, name)
    return sensor


def check_sensor(sensor: SensorSize, name: str) -> None:
    """Check that a sensor can have this size; ``name`` says in messages who tells it.

    Raises:
        RecordingError: it has no pixels, or too many.
    """
    width, height = sensor[:2]
    if min(width, height) < 1 or max(width, height) > LARGEST_SIDE or width * height > LARGEST_SENSOR:
        size = f"{width}x{height}"[:40]
        raise RecordingError(
            f"{name}: a sensor of {size} pixels; 1 to {LARGEST_SIDE} on each side, at most {LARGEST_SENSOR} in all are "
            "taken: give the sensor's width and height in pixels"
        )


def find_fields(names: Iterable[str]) -> dict[str, str]:
    """Which of ``names`` holds x, y, t and p; fields that none holds are absent.

    >>> find_fields(["Timestamp", "x@34", "y", "polarity"])
    {'t': 'Timestamp', 'x': 'x@34', 'y': 'y', 'p': 'polarity'}
    """
    plain = {re.sub(r"@\d+$", "", name.strip().lower()): name for name in names}
    found = {_ALSO.get(name, name): original for name, original in plain.items()}
    return {field: original for field, original in found.items() if field in FIELDS}


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
    if column.dtype.kind not in "biuf" or column.ndim != 1:
        raise RecordingError(f"{name}: {field} is of type {column.dtype}{column.shape[1:] or ''}; numbers are needed")
    low, high = _LIMITS[field]
    fits = (column >= low) & (column < high)
    whole = fits if column.dtype.kind != "f" else fits & (column == np.rint(column))
    if not whole.all():
        index = int(np.flatnonzero(~whole)[0])
        unit = {"t": " of microseconds", "p": ", 0 or 1"}.get(field, f" from {low} to {high - 1}")
        raise RecordingError(f"{name}: event {index}: {field} = {column[index]}, but a whole number{unit} is needed")


def are_right(events: Events, sensor: SensorSize) -> bool:
    """Whether ``order_events`` and ``check_events`` have nothing to do; where that is not quick to see, no."""
    compiled = kernels()
    return compiled is not None and bool(compiled.are_right(events, *sensor[:2]))


def check_events(events: Events, sensor_size: SensorSize, name: str) -> None:
    """Check that ``events`` is a recording of a sensor of ``sensor_size``; ``name`` is used in messages.

    Raises:
        RecordingError: there is no event, one lies outside the sensor, or time runs backwards.
    """
    if not len(events):
        raise RecordingError(f"{name}: empty: it has 0 events, at least 1 is needed; leave it out or record it again")
    for axis, limit in zip("xy", sensor_size, strict=False):
        column = np.ascontiguousarray(events[axis])
        if column.min() < 0 or column.max() >= limit:
            index = int(np.flatnonzero((column < 0) | (column >= limit))[0])
            raise RecordingError(
                f"{name}: event {index}: {axis} = {events[axis][index]}, outside the sensor (0 to {limit - 1}); "
                f"crop the recording or give the size of its sensor: --sensor WIDTHxHEIGHT ({IN_TRAINING})"
            )
    times = np.ascontiguousarray(events["t"])
    if (times[1:] < times[:-1]).any():
        index = int(np.flatnonzero(times[1:] < times[:-1])[0]) + 1
        raise RecordingError(
            f"{name}: event {index}: t = {events['t'][index]} us, after {events['t'][index - 1]} us in event "
            f"{index - 1}; time must not decrease: sort the events by time"
        )


def order_events(events: Events, name: str, *, any_step: bool = False) -> tuple[Events, tuple[str, ...]]:
    """Put ``events`` in order of time, and say so in a note. Those of one time keep their order.

    Args:
        any_step: sort whatever the steps back; else they are at most ``LARGEST_STEP_BACK``.

    Raises:
        RecordingError: an event comes later than that.
    """
    times = np.ascontiguousarray(events["t"])
    if not (times[1:] < times[:-1]).any():
        return events, ()
    late = np.maximum.accumulate(times) - times
    most = int(late.max())
    if most > LARGEST_STEP_BACK and not any_step:
        index = int(np.flatnonzero(late > LARGEST_STEP_BACK)[0])
        raise RecordingError(
            f"{name}: event {index}: t = {events['t'][index]} us, {late[index]} us before an earlier event; time must "
            f"not decrease by more than {LARGEST_STEP_BACK} us: check the file, or read it with --sort"
        )
    ordered = events[np.argsort(events["t"], kind="stable")]
    count = f"{np.count_nonzero(late)} of {len(events)}"
    return ordered, (f"{count} events came up to {most} us late and were put in order of time",)


def drop_outside(events: Events, sensor: SensorSize) -> Events:
    """Those of ``events`` that lie on the sensor."""
    inside = (events["x"] >= 0) & (events["x"] < sensor[0]) & (events["y"] >= 0) & (events["y"] < sensor[1])
    return events if inside.all() else events[inside]


class RunningClock:
    """``unwrap_clock`` of a stream, part by part."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._read: NDArray[np.int64] = np.empty(0, np.int64)
        self._passed = 0

    def __call__(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """The times of the next part, unwrapped."""
        joined = np.concatenate([self._read, times])
        found = unwrap_clock(joined, self._bits) + self._passed
        if len(joined):
            self._passed = int(found[-1] - joined[-1])
            self._read = joined[-1:]
        return found[len(joined) - len(times) :]


def unwrap_clock(times: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Times of a clock of ``bits`` bits that wraps: a step back by more than half its range is a wrap."""
    wraps = np.diff(times, prepend=times[:1]) < -(1 << (bits - 1))
    return times + (np.cumsum(wraps) << bits)
