"""Events as datagrams, as AEStream sends them (``aestream ... output udp``).

An event is a word of 32 bits, in the sender's byte order, which is taken to be little: bit 31 tells that no time
follows, bits 16 to 30 are x, bit 15 the polarity, bits 0 to 14 y. With ``--include-timestamp`` a word of the time in
microseconds follows, without its upper bits. Source: AEStream 0.6.4, ``dvs_to_udp.cpp``. Events without a time get that
of their arrival.
"""

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np

from deploy.live.source import NOTHING, PATIENCE, PAUSE
from spikinghash.errors import RecordingError
from training.data.events import Events, RunningClock, SensorSize, pack_events

_LARGEST = 1 << 16
"""Bytes of a datagram."""
_AT_ONCE = 4096
"""Datagrams that are decoded together."""
_BUFFER = 8 * 2**20
"""Bytes that the system is asked to keep for a reader that is busy."""
_BUFFER_FORCE = 33
"""SO_RCVBUFFORCE of Linux: beyond the system's limit, where one may."""


class UdpSource:
    """Datagrams that come to an address."""

    waits = False

    def __init__(self, host: str, port: int, sensor: SensorSize | None) -> None:
        """Listen on ``host``:``port``.

        Raises:
            RecordingError: the sensor is not told, or the address cannot be listened on.
        """
        if sensor is None:
            raise RecordingError("udp: datagrams do not tell the size of the sensor; give it: --sensor WIDTHxHEIGHT")
        self.sensor: SensorSize | None = sensor
        self.lost: Counter[str] = Counter()
        self._clock = RunningClock(32)
        self._timed: bool | None = None
        try:
            kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(kind, socket.SOCK_DGRAM)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, _BUFFER_FORCE, _BUFFER)
            self._socket.bind(address)
        except OSError as error:
            raise RecordingError(f"udp://{host}:{port}: cannot be listened on: {error.strerror}") from None

    @property
    def port(self) -> int:
        """The port, which the system has chosen where 0 was asked for."""
        return int(self._socket.getsockname()[1])

    def __iter__(self) -> Iterator[Events]:
        while True:
            self._socket.settimeout(PATIENCE)
            try:
                first = self._socket.recv(_LARGEST)
            except TimeoutError:
                yield NOTHING
                continue
            time.sleep(PAUSE)
            yield self._decode([first, *self._waiting()])

    def _waiting(self) -> Iterator[bytes]:
        """Datagrams that have come."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                yield self._socket.recv(_LARGEST)

    def _decode(self, datagrams: list[bytes]) -> Events:
        whole = [each for each in datagrams if self._is_whole(each)]
        self.lost["damaged datagrams"] += len(datagrams) - len(whole)
        words = np.frombuffer(b"".join(whole), "<u4").astype(np.int64)
        if self._timed:
            words, times = words[::2], self._clock(words[1::2])
        else:
            times = np.full(len(words), time.monotonic_ns() // 1000)
        columns = {"x": words >> 16 & 0x7FFF, "y": words & 0x7FFF, "t": times, "p": words >> 15 & 1}
        return pack_events(columns, "udp")

    def _is_whole(self, datagram: bytes) -> bool:
        """Whether it holds events of the kind that the first datagram had, with times or without."""
        if len(datagram) < 4:
            return False
        timed = not datagram[3] & 0x80
        if self._timed is None:
            self._timed = timed
        return timed == self._timed and len(datagram) % (8 if timed else 4) == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
