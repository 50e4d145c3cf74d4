"""Standard input, or a file that something still writes to."""

import os
import select
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.live.source import NOTHING, PATIENCE
from spikinghash.errors import RecordingError
from training.data.events import Events, SensorSize
from training.data.formats.parts import Parts, parts_of

_READ_AT_ONCE = 1 << 18
"""Bytes; half a megabyte of EVT 3 may be a hundred thousand events."""
STANDARD_INPUT = "-"


class ByteStream:
    """A file of a format that can be decoded in parts."""

    waits = True

    def __init__(self, place: str, suffix: str, sensor: SensorSize | None) -> None:
        """Open the file ``place``, or standard input where it is ``-``.

        Args:
            suffix: of the format.
            sensor: where the stream does not tell it.

        Raises:
            RecordingError: it cannot be read, or is of no such format.
        """
        self._name = "standard input" if place == STANDARD_INPUT else place
        self._parts: Parts = parts_of(suffix, self._name)
        self._told = sensor
        self._own = place != STANDARD_INPUT
        try:
            self._file = os.open(Path(place), os.O_RDONLY) if self._own else 0
        except OSError as error:
            raise RecordingError(f"{place}: cannot be read: {error.strerror}") from None
        self.lost: Counter[str] = Counter()

    @property
    def sensor(self) -> SensorSize | None:
        """What the stream tells goes first."""
        return self._parts.sensor or self._told

    def __iter__(self) -> Iterator[Events]:
        while True:
            content = self._read()
            if content is None:
                yield NOTHING
                continue
            events = self._parts.decode(content, last=not content)
            self.lost["outside the sensor"] = self._parts.outside
            yield events
            if not content:
                return

    def _read(self) -> bytes | None:
        """What has come; None if nothing has, empty at the end, which a file that may grow does not have."""
        if not self._own and not select.select([self._file], [], [], PATIENCE)[0]:
            return None
        content = os.read(self._file, _READ_AT_ONCE)
        if not content and self._own:
            time.sleep(PATIENCE)
            return None
        return content

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own:
            os.close(self._file)
