"""Event files and arrays of events, and the frames that an encoder reads."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.data.binning import Crop
from training.data.events import SensorSize, check_events, order_events, pack_events, parse_sensor
from training.data.formats.arrays import columns_of
from training.data.recordings import Recording, load_recording

EventsLike: TypeAlias = Recording | NDArray[Any] | Sequence[NDArray[Any]]
"""A recording; a structured array with fields x, y, t, p; rows of x, y, t, p (n, 4); or these four columns."""
Sensor: TypeAlias = tuple[int, ...] | str
"""Width and height in pixels, ``(346, 260)`` or ``"346x260"``."""

_ARRAY = "events"
"""What messages call an array."""


def read_events(path: str | Path, sensor: Sensor | None = None, *, sort: bool = False) -> Recording:
    """The checked events of a file; its suffix names the format (``spikinghash formats`` lists them).

    Args:
        path: the recording.
        sensor: its width and height in pixels, for files that do not tell them.
        sort: put events in order of time however late they are; else at most 10 ms.

    Returns:
        A recording: its ``events`` (n,), a structured array with x and y in pixels from the upper left corner, t in
        microseconds and p, true for ON; its ``sensor``; ``notes`` on what was left out or assumed.

    Raises:
        RecordingError: the file cannot be read, or its events cannot be of one recording.

    >>> recording = read_events(example("7"))
    >>> recording.sensor, recording.events.dtype.names
    ((34, 34, 2), ('x', 'y', 't', 'p'))
    """
    return load_recording(Path(path), sensor_size(sensor), sort=sort)


def to_frames(
    events: EventsLike, time_steps: int, size: int, sensor: Sensor | None = None, crop: Crop | None = None
) -> NDArray[np.uint8]:
    """The frames that an encoder reads: where there was an event in each of equal bins of time.

    Args:
        events: one recording, in any form of ``EventsLike``; x, y in pixels, t in microseconds, p 0 or 1, or -1 or 1.
        time_steps: frames, T.
        size: their height and width in pixels; the sensor is fitted to it.
        sensor: width and height of the sensor in pixels; a ``Recording`` tells its own.
        crop: which square of the sensor becomes the frame: ``"centre"``, ``"whole"``, ``"activity"``; by default that
            of the recording, or the centre of a sensor that is little larger than the frame, the whole of others.

    Returns:
        Frames (T, 2, size, size) of zeros and ones; channel 0 is ON, 1 is OFF.

    Raises:
        RecordingError: the events cannot be of one recording, span too little time, or their sensor is not known.

    >>> import numpy as np
    >>> rows = np.array([[0, 0, 0, 1], [3, 1, 500, 0], [3, 1, 999, 1]])  # x, y, t, p
    >>> frames = to_frames(rows, time_steps=2, size=4, sensor=(4, 4))
    >>> frames.shape, int(frames[0, 0, 0, 0]), int(frames[1, 1, 1, 3])  # t, channel, y, x
    ((2, 2, 4, 4), 1, 1)
    """
    recording = as_recording(events, sensor)
    return replace(recording, crop=crop or recording.crop).frames(time_steps, size)


def as_recording(events: EventsLike, sensor: Sensor | None = None) -> Recording:
    """One recording of events in any form, checked and in order of time.

    Raises:
        RecordingError: as ``to_frames``.
    """
    if isinstance(events, Recording):
        return events
    told = sensor_size(sensor)
    if told is None:
        raise RecordingError(f"{_ARRAY}: an array does not tell the size of its sensor; give sensor=(width, height)")
    ordered, notes = order_events(as_events(events), _ARRAY)
    check_events(ordered, told, _ARRAY)
    return Recording(ordered, told, _ARRAY, notes)


def as_events(events: NDArray[Any] | Sequence[NDArray[Any]]) -> NDArray[np.void]:
    """Events (n,) as the project keeps them, of an array or four columns; neither order nor borders are checked.

    Raises:
        RecordingError: it is of another form, or a value is no whole number.
    """
    if isinstance(events, np.ndarray):
        return pack_events(columns_of(events, _ARRAY), _ARRAY)
    columns = [np.asarray(column) for column in events]
    if len(columns) != 4 or {column.shape for column in columns} != {columns[0].shape[:1]}:
        shapes = [column.shape for column in columns]
        raise RecordingError(f"{_ARRAY}: columns of shapes {shapes}; needed are four of one length: x, y, t, p")
    named: Mapping[str, NDArray[Any]] = dict(zip("xytp", columns, strict=True))
    return pack_events(named, _ARRAY)


def sensor_size(sensor: Sensor | None) -> SensorSize | None:
    """Width, height and polarities of a sensor that was given in either form.

    Raises:
        RecordingError: it is no width and height.
    """
    if sensor is None or isinstance(sensor, str):
        return None if sensor is None else parse_sensor(sensor)
    return parse_sensor("x".join(map(str, sensor[:2])))
