"""Hash codes of a live event source, one per sliding window.

Windows start at the first event and then every ``hop_us``: window k begins at ``first + k * hop_us`` and lasts
``window_us``. It is encoded as a recording by itself: its events alone, their first and last setting the time bins.

Latency: the code of a window is yielded as soon as the source delivers an event at or after the window's end, or ends;
no earlier can it be known that no event of the window is still to come. Memory: the events since the start of the
oldest open window, and the chunk that the source just delivered.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from deploy.backends.encoders import Codes, Encoder
from spikinghash.errors import RecordingError, SpikinghashError
from training.data.events import EVENT_DTYPE, Events, SensorSize, check_events
from training.data.recordings import NMNIST_SENSOR, Recording


@dataclass(frozen=True)
class WindowCode:
    """A window of the stream and its code."""

    start: int
    """Microseconds."""
    end: int
    """Microseconds; the first moment after the window."""
    code: Codes | None
    """Packed, (K/8,); None if the window's events are too few or too close in time to make frames of."""


def encode_stream(
    events: Iterable[Events],
    encoder: Encoder,
    window_us: int,
    hop_us: int,
    sensor_size: SensorSize = NMNIST_SENSOR,
) -> Iterator[WindowCode]:
    """Yield the code of each window of a live source, in order of time.

    Windows without events are yielded too, with no code. When the source ends, the windows that have begun are
    encoded as far as they came.

    Args:
        events: chunks of events as they come, of any lengths, empty ones included; time must not decrease.
        encoder: what encodes a window.
        window_us: length of a window in microseconds.
        hop_us: time from the start of a window to the start of the next; if it is longer than a window, the events
            between windows are dropped.

    Raises:
        SpikinghashError: a length cannot be used.
        RecordingError: an event lies outside the sensor, or before an earlier one; the windows before it were yielded.
    """
    if window_us < encoder.time_steps:
        raise SpikinghashError(f"window_us is {window_us}: {encoder.time_steps} time steps need as many microseconds")
    if hop_us < 1:
        raise SpikinghashError(f"hop_us is {hop_us}: at least 1 microsecond is needed")
    start, last, kept = None, 0, np.empty(0, EVENT_DTYPE)
    for number, chunk in enumerate(events):
        if not len(chunk):
            continue
        name, first = f"stream, chunk {number}", int(chunk["t"][0])
        check_events(chunk, sensor_size, name)
        if start is not None and first < last:
            raise RecordingError(
                f"{name}: event 0: t = {first} us, after {last} us in the chunk before; time must not decrease: "
                "sort the events by time"
            )
        start, last, kept = first if start is None else start, int(chunk["t"][-1]), np.concatenate([kept, chunk])
        while last >= start + window_us:
            yield _encoded(kept, start, start + window_us, encoder, sensor_size)
            start += hop_us
        kept = kept[int(np.searchsorted(kept["t"], start)) :].copy()  # a copy, so that the chunk itself is freed
    while start is not None and start <= last:
        yield _encoded(kept, start, start + window_us, encoder, sensor_size)
        start += hop_us


def _encoded(events: Events, start: int, end: int, encoder: Encoder, sensor_size: SensorSize) -> WindowCode:
    first, after = np.searchsorted(events["t"], [start, end])
    try:
        frames = Recording(events[first:after], sensor_size).frames(encoder.time_steps, encoder.size)
    except RecordingError:  # too few events, or too close in time; all else was checked on arrival
        return WindowCode(start, end, None)
    return WindowCode(start, end, encoder.encode(frames[None])[0])
