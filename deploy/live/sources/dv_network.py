"""The network stream of iniVation's software (``dv_processing.io.NetworkWriter``, DV's output module)."""

import time
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from deploy.live.source import NOTHING, PATIENCE, PAUSE, events_of
from spikinghash.errors import RecordingError, in_one_line
from spikinghash.extras import told_of_extras
from training.data.events import Events, SensorSize


class DvNetwork:
    """Events of a server, read by dv-processing."""

    waits = False

    def __init__(self, host: str, port: int) -> None:
        """Connect to ``host``:``port``.

        Raises:
            MissingToolError: dv-processing is not installed.
            RecordingError: no such server answers, or it sends no events.
        """
        with told_of_extras():
            import dv_processing
        place = f"dv://{host}:{port}"
        try:
            self._reader = dv_processing.io.NetworkReader(host, port)
        except Exception as error:  # the library raises RuntimeError and others of its own
            raise RecordingError(f"{place}: no event stream of dv-processing: {in_one_line(error)}") from None
        if not self._reader.isEventStreamAvailable():
            raise RecordingError(f"{place}: sends no events; choose the event stream in the program that sends")
        width, height = self._reader.getEventResolution()
        self.sensor: SensorSize | None = (int(width), int(height), 2)
        self.lost: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Events]:
        quiet = time.monotonic()
        while self._reader.isRunning():
            batch = self._reader.getNextEventBatch()
            if batch is not None and batch.size():
                quiet = time.monotonic()
                array = batch.numpy()
                yield events_of(array, "dv-processing")
                continue
            time.sleep(PAUSE)
            if time.monotonic() - quiet > PATIENCE:
                quiet = time.monotonic()
                yield NOTHING

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._reader
