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
        sensor_size: width, height, polarities.

    Raises:
        SpikinghashError: a length cannot be used.
        RecordingError: an event lies outside the sensor, or before an earlier one; the windows before it were yielded.
    """
    if window_us < encoder.time_steps:
        raise SpikinghashError(f"window_us is {window_us}: {encoder.time_steps} time steps need as many microseconds")
    if hop_us < 1:
        raise SpikinghashError(f"hop_us is {hop_us}: at least 1 microsecond is needed")
    windows = _Windows(encoder, window_us, hop_us, sensor_size)
    for number, chunk in enumerate(events):
        if len(chunk):
            yield from windows.push(chunk, f"stream, chunk {number}")
    yield from windows.flush()


class _Windows:
    """The events of the windows that are still open."""

    def __init__(self, encoder: Encoder, window_us: int, hop_us: int, sensor_size: SensorSize) -> None:
        self._encoder, self._window, self._hop, self._sensor = encoder, window_us, hop_us, sensor_size
        self._start: int | None = None
        self._last = 0
        self._kept: Events = np.empty(0, EVENT_DTYPE)

    def push(self, events: Events, name: str) -> Iterator[WindowCode]:
        check_events(events, self._sensor, name)
        first = int(events["t"][0])
        if self._start is None:
            self._start = first
        elif first < self._last:
            raise RecordingError(
                f"{name}: event 0: t = {first} us, after {self._last} us in the chunk before; time must not decrease: "
                "sort the events by time"
            )
        self._last = int(events["t"][-1])
        self._kept = np.concatenate([self._kept, events])
        while self._last >= self._start + self._window:
            yield self._close()
        self._drop()

    def flush(self) -> Iterator[WindowCode]:
        """The windows that have begun."""
        while self._start is not None and self._start <= self._last:
            yield self._close()

    def _close(self) -> WindowCode:
        """Encode the oldest open window and go on to the next."""
        assert self._start is not None
        start, end = self._start, self._start + self._window
        first, after = np.searchsorted(self._kept["t"], [start, end])
        self._start += self._hop
        return WindowCode(start, end, self._encode(self._kept[first:after]))

    def _encode(self, events: Events) -> Codes | None:
        try:
            frames = Recording(events, self._sensor).frames(self._encoder.time_steps, self._encoder.size)
        except RecordingError:  # too few events, or too close in time; all else was checked on arrival
            return None
        return self._encoder.encode(frames[None])[0]

    def _drop(self) -> None:
        assert self._start is not None
        first = int(np.searchsorted(self._kept["t"], self._start))
        self._kept = self._kept[first:].copy()  # a copy, so that the chunk itself is freed
