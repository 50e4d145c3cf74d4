"""Events to binary frames of the encoder's size."""

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.data.compiled import kernels
from training.data.events import EVENT_DTYPE, Events, SensorSize

SHORTEST_BIN = 100
"""Microseconds."""
CROPPED_SHARE = 8
"""By default a sensor larger than the frame by at most 1/8 of the frame is cropped, a larger one scaled down."""

Crop = Literal["centre", "whole", "activity"]
"""Which square of the sensor becomes the frame; ``square_side`` and ``place_events`` say how large it is and where."""


def square_side(sensor: tuple[int, int], size: int, crop: Crop | None = None) -> int:
    """Side of the square of a ``sensor`` (width, height) that becomes a frame of ``size`` x ``size``; all in pixels.

    It is never smaller than the frame: nothing is enlarged, and what of a frame lies beside the sensor stays empty.

    Args:
        crop: ``"whole"``: the square around the sensor. ``"centre"`` and ``"activity"``: the largest multiple of
            ``size`` that fits into the sensor, so that each pixel of the frame gathers equally many of the sensor's.
            ``None``: ``size`` where the sensor's longer side is larger by at most 1/8 of it, else as ``"whole"``.

    >>> [square_side((346, 260), 128, crop) for crop in ("whole", "centre", "activity", None)]
    [346, 256, 256, 346]
    >>> square_side((34, 34), 32), square_side((1280, 720), 128, "centre")
    (32, 640)
    """
    side = max(sensor)
    if crop == "whole":
        return max(side, size)
    if crop is not None:
        return size * max(1, min(sensor) // size)
    return side if side - size > size // CROPPED_SHARE else size


def crop_text(crop: Crop | None, sensor: tuple[int, int] | None, size: int) -> str:
    """What of a ``sensor``, where it is known, becomes a frame of ``size`` x ``size`` pixels.

    >>> crop_text("centre", (346, 260), 128)
    'centre: 256x256 of 346x260 pixels become 128x128'
    """
    told = "default: the centre of a sensor little larger than the frame, the whole of others" if crop is None else crop
    if sensor is None:
        return told
    side = square_side(sensor, size, crop)
    return f"{crop or 'default'}: {side}x{side} of {sensor[0]}x{sensor[1]} pixels become {size}x{size}"


def place_events(
    events: Events, sensor_size: SensorSize, size: int, crop: Crop | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Where in a frame of ``size`` x ``size`` pixels the events lie. This is the one place that decides it.

    The frame is a square of the sensor, of ``square_side``, scaled down in whole numbers: a pixel of the frame gathers
    the events of all sensor pixels whose corner lies in it. The square lies on the sensor's centre; with the crop
    ``"activity"`` on the median column and row of the events, of two in the middle the lower one, but inside the sensor
    wherever it fits in. A median stays where it is when a few pixels fire by themselves.

    Returns:
        x, y and whether the event is inside, each of shape (events,).
    """
    side = square_side(sensor_size[:2], size, crop)
    x, y = (_place(events[axis], length, side, size, crop) for axis, length in zip("xy", sensor_size[:2], strict=True))
    return x, y, (x >= 0) & (x < size) & (y >= 0) & (y < size)


def _place(values: NDArray[np.int16], length: int, side: int, size: int, crop: Crop | None) -> NDArray[np.int64]:
    """Columns, or rows, of a frame, of those of a sensor that is ``length`` wide, or high."""
    # Which way an odd half goes is what committed encoders were trained with.
    first = (length - side) // 2 if side == size else -((side - length) // 2)
    if crop == "activity" and length > side and len(values):
        middle = (len(values) - 1) // 2
        median = int(np.partition(values, middle)[middle])
        first = min(max(0, median - side // 2), length - side)
    moved = values.astype(np.int64) - first
    return moved if side == size else moved * size // side


@lru_cache(maxsize=16)
def _tables(sensor_size: SensorSize, size: int, crop: Crop | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where in a frame each column and each row of a sensor lie, as ``place_events`` has it; -1 outside."""
    width, height = sensor_size[:2]
    diagonal = np.zeros(max(width, height), EVENT_DTYPE)
    diagonal["x"] = diagonal["y"] = np.arange(len(diagonal))
    columns, rows, _ = place_events(diagonal, sensor_size, size, crop)
    return _inside(columns[:width], size), _inside(rows[:height], size)


def _inside(places: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return np.where((places >= 0) & (places < size), places, -1)


def _marked(events: Events, sensor_size: SensorSize, crop: Crop | None, frames: NDArray[np.uint8]) -> bool:
    """Whether compiled loops have marked the events in ``frames``; if not, nothing is."""
    compiled = kernels()
    if compiled is None or crop == "activity":  # whose place depends on the events
        return False
    return bool(compiled.mark(events, *_tables(sensor_size, frames.shape[-1], crop), SHORTEST_BIN, frames))


def events_to_frames(
    events: Events,
    sensor_size: SensorSize,
    time_steps: int,
    size: int,
    name: str = "recording",
    crop: Crop | None = None,
) -> NDArray[np.uint8]:
    """Mark the pixels that had an event in each of ``time_steps`` equal time bins.

    The bins span the time from the first to the last event inside the frame, of a window as of a whole recording. Their
    length is a whole number of microseconds: less than ``time_steps`` of them at the end, and the last event, lie
    outside (as with tonic's ``ToFrame``; one event of 4,000 in N-MNIST, without which indexes were made). Where a bin
    would have fewer than ``SHORTEST_BIN``, more would: times are then shared out evenly, and all events used.

    Args:
        events: events in order of time, inside the sensor.
        sensor_size: width, height, polarities of the sensor.
        time_steps: number of frames, T.
        size: height and width of the frames, in pixels; ``place_events`` fits the sensor to it.
        name: what messages call the recording.
        crop: which square of the sensor becomes the frame.

    Returns:
        Frames of zeros and ones, shape (T, 2, size, size); channel 0 is ON, 1 is OFF.

    Raises:
        RecordingError: the events inside the frame span less time than ``time_steps`` microseconds.
    """
    frames = np.zeros((time_steps, 2, size, size), np.uint8)
    if _marked(events, sensor_size, crop, frames):
        return frames
    x, y, inside = place_events(events, sensor_size, size, crop)
    times = events["t"][inside]
    span = int(times[-1] - times[0]) if len(times) else 0
    if span < time_steps:
        raise RecordingError(
            f"{name}: its {len(times)} events inside the frame span {span} us, at least {time_steps} us "
            f"are needed for {time_steps} frames; leave it out or use fewer time steps"
        )
    elapsed, length = times - times[0], span // time_steps
    steps = elapsed // length if length >= SHORTEST_BIN else elapsed * time_steps // (span + 1)
    used = steps < time_steps
    channels = 1 - events["p"][inside][used].astype(np.int64)
    frames[steps[used], channels, y[inside][used], x[inside][used]] = 1
    return frames
