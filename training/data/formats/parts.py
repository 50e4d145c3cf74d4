"""Formats that are decoded in parts, as a stream brings them: ``.raw``, ``.dat`` and ``.bin``.

What is decoded is that which the whole file would be, whatever the parts.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from spikinghash.errors import RecordingError
from training.data.events import EVENT_DTYPE, Events, RunningClock, SensorSize, pack_events
from training.data.formats import bin40, prophesee

_LONGEST_HEADER = 1 << 16


class Parts(Protocol):
    """A decoder of one stream."""

    sensor: SensorSize | None
    """Where the stream tells it, once it has."""
    outside: int
    """Events outside the sensor that were left out so far."""

    def decode(self, content: bytes, *, last: bool = False) -> Events:
        """Events that ``content`` completes.

        Args:
            last: nothing comes after it; an event that is not whole is left out.

        Raises:
            RecordingError: it is of another format.
        """


class _Headed:
    """A stream of Prophesee's: lines that begin with %, then words."""

    def __init__(self, name: str) -> None:
        self.sensor: SensorSize | None = None
        self.outside = 0
        self._name = name
        self._start: bytes | None = b""

    def decode(self, content: bytes, *, last: bool = False) -> Events:
        """As ``Parts``."""
        if self._start is not None:
            content = self._start + content
            cut = prophesee.cut_header(content)
            if cut is None or (cut == len(content) and not last):
                self._start = content
                if len(content) > _LONGEST_HEADER or last or not b"% ".startswith(content[:2]):
                    raise RecordingError(f"{self._name}: no Prophesee header: it begins with {content[:8]!r}")
                return np.empty(0, EVENT_DTYPE)
            self._begin(content[:cut])
            self._start, content = None, content[cut:]
        return self._body(content, last)

    def _begin(self, header: bytes) -> None:
        raise NotImplementedError

    def _body(self, content: bytes, last: bool) -> Events:
        raise NotImplementedError


class RawParts(_Headed):
    """EVT 2.0, 2.1 and 3.0."""

    def _begin(self, header: bytes) -> None:
        self._machine, self.sensor = prophesee.machine_of(header, self._name)

    def _body(self, content: bytes, last: bool) -> Events:
        events = self._machine.decode(content, last=last)
        self.outside = self._machine.outside
        return events


class DatParts(_Headed):
    """Prophesee's DAT."""

    def _begin(self, header: bytes) -> None:
        prophesee.check_dat(header, self._name)
        self.sensor = prophesee.sensor_of(header)
        self._rest = b""
        self._kind = b""
        self._clock = RunningClock(32)

    def _body(self, content: bytes, last: bool) -> Events:
        if len(self._kind) < 2:
            missing = 2 - len(self._kind)
            self._kind, content = self._kind + content[:missing], content[missing:]
            if len(self._kind) == 2:
                prophesee.check_kind(self._kind, self._name)
        content = self._rest + content
        whole = len(content) // 8 * 8
        self._rest = content[whole:]
        return pack_events(prophesee.dat_columns(content[:whole], self._clock), self._name)


class Bin40Parts:
    """40-bit events of N-MNIST."""

    sensor: SensorSize | None = None
    outside = 0

    def __init__(self, name: str) -> None:
        self._rest = b""
        self._passed = 0

    def decode(self, content: bytes, *, last: bool = False) -> Events:
        """As ``Parts``."""
        content = self._rest + content
        whole = len(content) // bin40.BYTES_PER_EVENT * bin40.BYTES_PER_EVENT
        self._rest = content[whole:]
        events = bin40.decode_events(content[:whole])
        events["t"] += self._passed
        self._passed += bin40.overflows(content[:whole])
        return events


_PARTS: dict[str, Callable[[str], Parts]] = {".raw": RawParts, ".dat": DatParts, ".bin": Bin40Parts}
SUFFIXES = tuple(_PARTS)


def parts_of(suffix: str, name: str) -> Parts:
    """A decoder for files of ``suffix``; ``name`` is what messages call the stream.

    Raises:
        RecordingError: such files are read as a whole only.
    """
    if suffix not in _PARTS:
        raise RecordingError(f"{name}: format {suffix!r} cannot be read as it comes; of files, {', '.join(_PARTS)} can")
    return _PARTS[suffix](name)
