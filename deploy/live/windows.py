"""A stream of events, cut into windows as they end."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training.data.events import EVENT_DTYPE, Events
from training.data.windows import Windows

MOST_EVENTS = 1 << 24
"""That are kept: 210 MiB. What comes beyond, before a window ends, is left out."""


@dataclass(frozen=True)
class Window:
    """Events of a span of time."""

    start: int
    """Microseconds."""
    end: int
    """Microseconds; the first moment after the window."""
    events: Events
    """In order of time."""


class Windower:
    """Window k begins at ``first + k * hop``, where ``first`` is the time of the first event, and lasts ``length``.

    A window ends with the first event at or after its end: no earlier can it be known that none is still to come. Late
    events are put in their place in windows that have not ended. Windows without events are left out.
    """

    def __init__(self, windows: Windows) -> None:
        """Cut a stream as ``windows`` says."""
        self._length, self._hop = windows.length, windows.hop
        self._start: int | None = None
        self._kept: list[Events] = []
        self.last = 0
        """Time of the newest event."""
        self.late = 0
        """Events that came when a window that they were of had ended."""
        self.left_out = 0
        """Events beyond ``MOST_EVENTS``."""

    @property
    def begun(self) -> bool:
        """Whether an event has come."""
        return self._start is not None

    def push(self, events: Events) -> Iterator[Window]:
        """Take the next events, which are in order of time, and yield the windows that end with them."""
        if not len(events):
            return
        if self._start is None:
            self._start = self._ended = int(events["t"][0])
            self.last = self._start
        self.late += int(np.searchsorted(events["t"], self._ended))
        events = events[np.searchsorted(events["t"], self._start) :]
        if sum(map(len, self._kept)) + len(events) > MOST_EVENTS:
            self.left_out += len(events)
            events = events[-1:]
        if len(events):
            self._kept.append(events.copy())  # so that what it is a part of is freed
            self.last = max(self.last, int(events["t"][-1]))
        if self.last >= self._start + self._length:
            self._merge()
        while self.last >= self._start + self._length:
            yield from self._close()

    def finish(self) -> Iterator[Window]:
        """Yield the windows that have begun, as far as they came."""
        self._merge()
        while self._start is not None and self._start <= self.last:
            yield from self._close()

    def _merge(self) -> None:
        """Put what is kept into one array, in order."""
        kept = np.concatenate([*self._kept, np.empty(0, EVENT_DTYPE)])
        if (np.diff(kept["t"]) < 0).any():
            kept = kept[np.argsort(kept["t"], kind="stable")]
        self._kept = [kept]

    def _close(self) -> Iterator[Window]:
        """The oldest window; what no later one needs is let go. Events are merged."""
        assert self._start is not None
        (kept,) = self._kept
        end = self._start + self._length
        inside = kept[slice(*np.searchsorted(kept["t"], [self._start, end]))]
        if len(inside):
            yield Window(self._start, end, inside)
        self._ended = end
        self._start += self._hop
        self._kept = [kept[np.searchsorted(kept["t"], self._start) :]]
        if len(self._kept[0]):  # a source that was silent for long is not walked through window by window
            ahead = int(self._kept[0]["t"][0]) - self._length - self._start
            self._start += max(0, ahead // self._hop + 1) * self._hop
