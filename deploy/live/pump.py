"""A thread between a source and the encoder: it takes events as they come, and hands over windows.

What cannot be held back, as a camera, is never waited for: where ``pending`` windows wait for the encoder already, a
window that ends then is dropped, whole, and counted. A file is held back instead.
"""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from deploy.live.source import Source
from deploy.live.windows import Window, Windower
from spikinghash.errors import RecordingError
from training.data.events import LARGEST_STEP_BACK, Events, SensorSize, drop_outside
from training.data.windows import Windows

PENDING = 4
"""Windows that may wait for the encoder."""
_LOOK = 0.1
"""Seconds after which a thread that waits looks whether it is to end."""


@dataclass(frozen=True)
class Arrived:
    """A window that has ended."""

    window: Window
    sensor: SensorSize
    at: float
    """When the event came that ended it, on the clock ``time.monotonic``."""


class Pump:
    """The windows of a source; counts may be read at any time."""

    def __init__(self, source: Source, windows: Windows, *, pending: int, silence: float) -> None:
        """Start to read ``source``.

        Args:
            windows: how it is cut.
            pending: windows that may wait for the encoder.
            silence: seconds without an event after which the stream has ended; 0: it never does by itself.
        """
        self._source, self._windows, self.silence = source, windows, silence
        """Seconds."""
        self._windower = Windower(windows)
        self._queue: queue.Queue[Arrived | BaseException | None] = queue.Queue(pending)
        self._stopped = threading.Event()
        self._late = self._left_out = 0
        self.outside = self.dropped = self.restarts = 0
        """Events outside the sensor, windows dropped, and how often the clock was set back."""
        self.silent = False
        """Whether the stream ended since nothing came."""
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)
        self._thread.start()

    @property
    def late(self) -> int:
        """Events that came when a window that they were of had ended."""
        return self._late + self._windower.late

    @property
    def left_out(self) -> int:
        """Events of windows that hold too many."""
        return self._left_out + self._windower.left_out

    def __iter__(self) -> Iterator[Arrived]:
        """Windows in order of time, until the source ends or ``stop`` is called.

        Raises:
            SpikinghashError: the source cannot be read on.
        """
        while not self._stopped.is_set():
            try:
                item = self._queue.get(timeout=_LOOK)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def stop(self) -> None:
        """Read and hand over no more."""
        self._stopped.set()

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            self._read()
        except BaseException as error:  # whatever it is, it is told where windows are waited for
            end = error
        self._put(end)

    def _read(self) -> None:
        quiet_since = time.monotonic()
        for events in self._source:
            now = time.monotonic()
            if self._stopped.is_set():
                return
            if len(events):
                quiet_since = now
                self._take(events)
            elif self.silence and now - quiet_since > self.silence:
                self.silent = True
                break
        self._hand_over(self._windower.finish())

    def _take(self, events: Events) -> None:
        if self._source.sensor is None:
            raise RecordingError("the stream does not tell the size of its sensor; give it: --sensor WIDTHxHEIGHT")
        inside = drop_outside(events, self._source.sensor)
        self.outside += len(events) - len(inside)
        events = inside
        if not len(events):
            return
        if (np.diff(events["t"]) < 0).any():
            events = events[np.argsort(events["t"], kind="stable")]
        if int(events["t"][-1]) < self._windower.last - LARGEST_STEP_BACK and self._windower.begun:
            self._restart()
        self._hand_over(self._windower.push(events))

    def _restart(self) -> None:
        """The source's clock was set back, as when a camera is plugged in anew: windows begin anew."""
        self._hand_over(self._windower.finish())
        self._late, self._left_out = self.late, self.left_out
        self.restarts += 1
        self._windower = Windower(self._windows)

    def _hand_over(self, windows: Iterator[Window]) -> None:
        for window in windows:
            assert self._source.sensor is not None
            arrived = Arrived(window, self._source.sensor, time.monotonic())
            if self._source.waits:
                self._put(arrived)
                continue
            try:
                self._queue.put_nowait(arrived)
            except queue.Full:
                self.dropped += 1

    def _put(self, item: Arrived | BaseException | None) -> None:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._queue.put(item, timeout=_LOOK)
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join(2 * _LOOK)
