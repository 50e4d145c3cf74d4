"""Events to binary frames of the encoder's size."""

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.data.events import Events, SensorSize

SHORTEST_BIN = 100
"""Microseconds."""
CROPPED_SHARE = 8
"""A sensor that is larger than the frame by at most 1/8 of the frame is cropped, a larger one scaled down."""


def is_scaled(side: int, size: int) -> bool:
    """Whether a sensor whose longer side is ``side`` is scaled down to frames of ``size``, not cropped to them."""
    return side - size > size // CROPPED_SHARE


def place_events(
    events: Events, sensor_size: SensorSize, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Where in a frame of ``size`` x ``size`` pixels the events lie. This is the one place that decides it.

    The frame is laid on the centre of the square around the sensor. If that square is larger than the frame by at most
    1/8 (N-MNIST: 34 to 32), its border is cut off; if it is smaller, the border of the frame stays empty; else it is
    scaled down, aspect kept: a pixel of the frame gathers the events of all sensor pixels whose corner lies in it.

    Returns:
        x, y and whether the event is inside, each of shape (events,).
    """
    width, height = sensor_size[:2]
    side = max(width, height)
    x, y = events["x"].astype(np.int64), events["y"].astype(np.int64)
    if is_scaled(side, size):
        x, y = (x + (side - width) // 2) * size // side, (y + (side - height) // 2) * size // side
    else:
        x, y = x - (width - size) // 2, y - (height - size) // 2
    return x, y, (x >= 0) & (x < size) & (y >= 0) & (y < size)


def events_to_frames(
    events: Events, sensor_size: SensorSize, time_steps: int, size: int, name: str = "recording"
) -> NDArray[np.uint8]:
    """Mark the pixels that had an event in each of ``time_steps`` equal time bins.

    The bins span the time from the first to the last event inside the frame. Their length is a whole number of
    microseconds, so that up to ``time_steps`` microseconds at the end, the last event among them, lie outside (as with
    tonic's ``ToFrame``). Where a bin would have fewer than ``SHORTEST_BIN`` of them, that would be much: times are then
    shared out evenly, and all events used.

    Args:
        events: events in order of time, inside the sensor.
        sensor_size: width, height, polarities of the sensor.
        time_steps: number of frames, T.
        size: height and width of the frames, in pixels; ``place_events`` fits the sensor to it.
        name: what messages call the recording.

    Returns:
        Frames of zeros and ones, shape (T, 2, size, size); channel 0 is ON, 1 is OFF.

    Raises:
        RecordingError: the events inside the frame span less time than ``time_steps`` microseconds.
    """
    x, y, inside = place_events(events, sensor_size, size)
    times = events["t"][inside]
    span = int(times[-1] - times[0]) if len(times) else 0
    if span < time_steps:
        raise RecordingError(
            f"{name}: its {len(times)} events inside the central {size}x{size} pixels span {span} us, at least "
            f"{time_steps} us are needed for {time_steps} frames; leave it out or use fewer time steps"
        )
    if span // time_steps < SHORTEST_BIN:
        steps = (times - times[0]) * time_steps // (span + 1)
    else:
        steps = (times - times[0]) // (span // time_steps)
    used = steps < time_steps
    channels = 1 - events["p"][inside][used].astype(np.int64)
    frames = np.zeros((time_steps, 2, size, size), np.uint8)
    frames[steps[used], channels, y[inside][used], x[inside][used]] = 1
    return frames
