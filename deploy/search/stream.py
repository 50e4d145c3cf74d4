"""Hash codes of a live event source, one per sliding window.

Windows start at the first event and then every ``hop_us``: window k begins at ``first + k * hop_us`` and lasts
``window_us``. It is encoded as a recording by itself: its events alone, their first and last setting the time bins.

Latency: the code of a window is yielded as soon as the source delivers an event at or after the window's end, or ends;
no earlier can it be known that no event of the window is still to come. Memory: the events since the start of the
oldest open window, and the chunk that the source just delivered.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from deploy.backends.encoders import Codes, Encoder
from deploy.live.windows import Window, Windower
from spikinghash.errors import RecordingError, SpikinghashError
from training.data.events import Events, SensorSize, check_events
from training.data.facts import crop_of
from training.data.recordings import NMNIST_SENSOR, Recording
from training.data.windows import Windows

_PIECE = 1 << 16
"""Events."""


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
    _check_lengths(window_us, hop_us, encoder.time_steps)
    windower = Windower(Windows(window_us, hop_us))
    start: int | None = None

    def empty_ones(until: int) -> Iterator[WindowCode]:
        nonlocal start
        while start is not None and start < until:
            yield WindowCode(start, start + window_us, None)
            start += hop_us

    def encoded(windows: Iterator[Window]) -> Iterator[WindowCode]:
        nonlocal start
        for window in windows:
            yield from empty_ones(window.start)
            yield _encoded(window, encoder, sensor_size)
            start = window.start + hop_us

    for chunk in _checked(events, sensor_size):
        start = int(chunk["t"][0]) if start is None else start
        yield from encoded(windower.push(chunk))
        yield from empty_ones(windower.last - window_us + 1)
    yield from encoded(windower.finish())


def _check_lengths(window_us: int, hop_us: int, time_steps: int) -> None:
    if window_us < time_steps:
        raise SpikinghashError(f"window_us is {window_us}: {time_steps} time steps need as many microseconds")
    if hop_us < 1:
        raise SpikinghashError(f"hop_us is {hop_us}: at least 1 microsecond is needed")


def _checked(events: Iterable[Events], sensor_size: SensorSize) -> Iterator[Events]:
    """The chunks that hold events, in pieces: what a window keeps is copied with each.

    Raises:
        RecordingError: as ``encode_stream``.
    """
    last: int | None = None
    for number, chunk in enumerate(events):
        if not len(chunk):
            continue
        name, first = f"stream, chunk {number}", int(chunk["t"][0])
        check_events(chunk, sensor_size, name)
        if last is not None and first < last:
            raise RecordingError(
                f"{name}: event 0: t = {first} us, after {last} us in the chunk before; time must not decrease: "
                "sort the events by time"
            )
        yield from (chunk[at : at + _PIECE] for at in range(0, len(chunk), _PIECE))
        last = int(chunk["t"][-1])


def _encoded(window: Window, encoder: Encoder, sensor_size: SensorSize) -> WindowCode:
    try:
        recording = Recording(window.events, sensor_size, crop=crop_of(encoder.data))
        frames = recording.frames(encoder.time_steps, encoder.size)
    except RecordingError:  # too few events, or too close in time; all else was checked on arrival
        return WindowCode(window.start, window.end, None)
    return WindowCode(window.start, window.end, encoder.encode(frames[None])[0])
