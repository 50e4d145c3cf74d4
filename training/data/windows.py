"""Long recordings cut into windows of one length."""

import math
from dataclasses import dataclass, replace

import numpy as np

from spikinghash.errors import RecordingError
from training.data.recordings import Recording

SHORTEST_SHARE = 0.9
"""Of a window: the last events of a recording make one if they span at least so much of it, so that a file that was cut
to the length beforehand, whose first and last event lie inside, is one window."""
LARGEST_COUNT = 100_000
"""Windows of a recording."""
LARGEST_MS = 1e9
"""Of a window or hop: 11 days."""


@dataclass(frozen=True)
class Windows:
    """Length of the windows and time from the start of one to that of the next, both in microseconds."""

    length: int
    hop: int

    @classmethod
    def of_ms(cls, window: float | None, hop: float | None = None) -> "Windows | None":
        """From milliseconds; without a window, whole recordings; by default a window starts where the last one ends.

        Raises:
            RecordingError: a time cannot be used.
        """
        if window is None:
            if hop is not None:
                raise RecordingError(f"--hop {hop:g}: without a window there is none: give --window MS too")
            return None
        times = {"window": window, "hop": window if hop is None else hop}
        for name, value in times.items():
            if not (math.isfinite(value) and 1e-3 <= value <= LARGEST_MS):
                raise RecordingError(f"--{name} {value:g}: milliseconds from 0.001 to {LARGEST_MS:g} are needed")
        return cls(*(round(1000 * value) for value in times.values()))

    @classmethod
    def of_us(cls, length: int | None, hop: int | None) -> "Windows | None":
        """From what files keep, microseconds: without a length, whole recordings; without a hop, it is the length."""
        return None if length is None else cls(length, hop or length)

    def __str__(self) -> str:
        every = "" if self.hop == self.length else f" every {self.hop / 1000:g} ms"
        return f"windows of {self.length / 1000:g} ms{every}"

    @property
    def overlap(self) -> int:
        """How many of the windows before it one shares events with."""
        return -(-self.length // self.hop) - 1

    def cut(self, recording: Recording) -> list[Recording]:
        """The windows of ``recording`` in order of time; those without an event are left out.

        The first starts at the first event. Events behind the last window are not used.

        Raises:
            RecordingError: the recording is shorter than a window, or has far too many of them.
        """
        times = recording.events["t"]
        span = recording.span
        spare = span - int(SHORTEST_SHARE * self.length)
        if spare < 0:
            raise RecordingError(
                f"{recording.name}: its events span {span / 1000:g} ms, a window has {self.length / 1000:g} ms: leave "
                "it out, or set a shorter window (--window MS; data.window_ms in training)"
            )
        if (count := spare // self.hop + 1) > LARGEST_COUNT:
            raise RecordingError(
                f"{recording.name}: {count:,} windows, one every {self.hop} us, limit {LARGEST_COUNT:,}: use a longer "
                "hop"
            )
        starts = np.arange(count) * self.hop
        first = np.searchsorted(times, times[0] + starts)
        after = np.searchsorted(times, times[0] + starts + self.length)
        return [
            replace(recording, events=recording.events[a:b], window=(start, start + self.length), notes=())
            for a, b, start in zip(first, after, starts.tolist(), strict=True)
            if b > a
        ]


def clip(recording: Recording, window: tuple[int, int] | None) -> Recording:
    """The ``window`` of a recording, in microseconds since its first event; ``None``: all of it."""
    if window is None:
        return recording
    first, after = np.searchsorted(recording.events["t"], recording.events["t"][0] + np.array(window))
    return replace(recording, events=recording.events[first:after], window=window, notes=())


def span_text(window: tuple[int, int] | None) -> str:
    """Start and end of a window behind the name of its file; nothing for ``None``."""
    return "" if window is None else "  {start:.3f}-{end:.3f} s".format(**in_seconds(window))


def in_seconds(window: tuple[int, int] | None) -> dict[str, float]:
    """Start and end of a window in seconds, for JSON; nothing for ``None``."""
    return {} if window is None else {"start": window[0] / 1e6, "end": window[1] / 1e6}
