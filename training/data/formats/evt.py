"""Words of Prophesee's EVT 2.0, 2.1 and 3.0 to events, by machines that keep their state: files, or streams in parts.

A machine takes bytes as they come, whole words or not. Compiled by Numba: the state goes from word to word, which
arrays would have to look up for each.
"""

from collections.abc import Callable
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from training.data.events import EVENT_DTYPE, Events, SensorSize

Version = Literal["2", "2.1", "3"]
_Kernel = Callable[..., Any]
_compiled: Callable[[_Kernel], _Kernel] = numba.njit(nogil=True, cache=True, error_model="numpy")

_BLOCK = 32
"""Columns of a whole block of vectors of EVT 3."""
_LARGEST_X = 2**15 - 1
_BYTES = {"2": 4, "2.1": 8, "3": 2}
"""Of a word."""

OUTSIDE, BASE, RAW, WRAPPED, LOW, ROW, START, POLARITY, PASSED, OVER = range(10)
"""Entries of a state: events left out; the clock's upper part, unwrapped (-1: none yet), as it was read, and what its
wraps add up to; its lower part; row, first column (-1: none yet) and polarity; columns that vectors since have passed;
whether they are of a block that passes the sensor's edge."""


class EvtMachine:
    """Decodes one stream."""

    def __init__(self, version: Version, sensor: SensorSize | None, order: str | None = None) -> None:
        """Make a machine for ``version``.

        Args:
            sensor: what lies outside it is left out; ``None``: nothing is.
            order: of the halves of a word of EVT 2.1, ``legacy`` or ``little``; ``None``: that in which more words of
                the first bytes are the clock's.
        """
        self.version, self.order, self._told = version, order, order is not None or version != "2.1"
        self._size = (-1, -1) if sensor is None else sensor[:2]
        self._state = np.array([0, -1, -1, 0, 0, -1, -1, 0, 0, 0], np.int64)
        self._rest = b""

    @property
    def outside(self) -> int:
        """Events outside the sensor that were left out so far."""
        return int(self._state[OUTSIDE])

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed."""
        said = f"its word order, which the header does not tell, was taken for {self.order}"
        return () if self._told else (said,)

    @property
    def word(self) -> int:
        """Bytes of a word."""
        return _BYTES[self.version]

    @property
    def rest(self) -> int:
        """Bytes that wait for the rest of their word."""
        return len(self._rest) % self.word

    def decode(self, content: bytes, *, last: bool = False) -> Events:
        """Events of the words that ``content`` completes; those before the clock's first word are left out.

        Args:
            last: nothing comes after it.
        """
        content = self._rest + content if self._rest else content
        size = self.word
        whole = len(content) // size
        if self.version == "3":
            words = np.frombuffer(content, "<u2", whole)
            used = whole - (0 if last else _waiting(words))
            self._rest = content[used * size :]
            events = np.empty(_most_evt3(words[:used]), EVENT_DTYPE)
            return events[: _decode_evt3(words, used, self._state, *self._size, events)]
        self._rest = content[whole * size :]
        words = np.frombuffer(content, "<u4", whole * size // 4)
        if self.version == "2":
            events = np.empty(len(words), EVENT_DTYPE)
            return events[: _decode_evt2(words, words, 0, self._state, *self._size, events)]
        halves = words.reshape(-1, 2)
        if self.order is None and (len(halves) or last):
            clocks = np.count_nonzero(halves >> 28 == 8, axis=0)
            self.order = "legacy" if clocks[0] > clocks[1] else "little"
        first, second = (0, 1) if self.order == "legacy" else (1, 0)
        events = np.empty(int(np.bitwise_count(halves[:, second]).sum()), EVENT_DTYPE)
        return events[: _decode_evt2(halves[:, first], halves[:, second], 1, self._state, *self._size, events)]


def _waiting(words: NDArray[np.uint16]) -> int:
    """Words at the end that wait for those behind them, since three in a row tell a block of vectors."""
    kinds = (words[-2:] >> 12).tolist()
    return 2 if kinds == [4, 4] else int(kinds[-1:] == [4])


@_compiled
def _tick(state: NDArray[np.int64], raw: int, bits: int) -> None:
    """Take a new upper part of the time; a step back by more than half its range is a wrap."""
    if state[BASE] >= 0 and raw - state[RAW] < -(1 << (bits - 1)):
        state[WRAPPED] += 1 << bits
    if state[BASE] != raw + state[WRAPPED]:
        state[LOW] = 0
    state[BASE], state[RAW] = raw + state[WRAPPED], raw


@_compiled
def _decode_evt2(
    words: NDArray[np.uint32],
    members: NDArray[np.uint32],
    vectors: int,
    state: NDArray[np.int64],
    width: int,
    height: int,
    events: Any,
) -> int:
    """EVT 2.0, or with ``vectors`` 2.1: the bits of ``members`` tell which of 32 columns have an event."""
    count = 0
    for index in range(len(words)):
        word = np.int64(words[index])
        kind = word >> 28
        if kind == 8:
            _tick(state, word & 0xFFFFFFF, 28)
        elif kind <= 1 and state[BASE] >= 0:
            time = state[BASE] << 6 | word >> 22 & 0x3F
            x, y = word >> 11 & 0x7FF, word & 0x7FF
            bits = np.int64(members[index]) if vectors else 1
            while bits:
                if bits & 1:
                    if width >= 0 and (x >= width or y >= height):
                        state[OUTSIDE] += 1
                    else:
                        event = events[count]
                        event.x, event.y, event.t, event.p = x, y, time, kind == 1
                        count += 1
                x, bits = x + 1, bits >> 1
    return count


@_compiled
def _most_evt3(words: NDArray[np.uint16]) -> int:
    """How many events the words can hold at most."""
    count = 0
    for word in words:
        kind = word >> 12
        if kind == 2:
            count += 1
        elif kind == 4 or kind == 5:
            bits = word & (0xFFF if kind == 4 else 0xFF)
            while bits:
                count, bits = count + 1, bits & (bits - 1)
    return count


@_compiled
def _decode_evt3(
    words: NDArray[np.uint16], used: int, state: NDArray[np.int64], width: int, height: int, events: Any
) -> int:
    """The first ``used`` words of EVT 3; those behind them only tell whether a block of vectors begins."""
    count = 0
    for index in range(used):
        word = np.int64(words[index])
        kind, value = word >> 12, word & 0xFFF
        if kind == 8:
            _tick(state, value, 12)
        elif kind == 6:
            state[LOW] = value
        elif kind == 0:
            state[ROW] = value & 0x7FF
        elif kind == 3:
            state[START], state[POLARITY], state[PASSED], state[OVER] = value & 0x7FF, value >> 11, 0, 0
        elif kind == 2:
            if state[BASE] >= 0 and state[ROW] >= 0:
                count = _put(events, count, state, value & 0x7FF, value >> 11, width, height)
        elif kind == 4 or kind == 5:
            if state[BASE] >= 0 and state[ROW] >= 0 and state[START] >= 0:
                x = state[START] + state[PASSED]
                whole = kind == 4 and index + 2 < len(words) and words[index + 1] >> 12 == 4
                if width >= 0 and whole and words[index + 2] >> 12 == 5 and x + _BLOCK > width:
                    state[OVER] = 1
                bits = value if kind == 4 else value & 0xFF
                while bits:
                    if bits & 1:
                        count = _put(events, count, state, width if state[OVER] else x, state[POLARITY], width, height)
                    x, bits = x + 1, bits >> 1
            state[PASSED] += 12 if kind == 4 else 8
    return count


@_compiled
def _put(events: Any, count: int, state: NDArray[np.int64], x: int, p: int, width: int, height: int) -> int:
    """Add an event of EVT 3 behind ``count`` others, or leave it out; returns how many there are then."""
    if width >= 0 and (x >= width or state[ROW] >= height):
        state[OUTSIDE] += 1
        return count
    event = events[count]
    event.x, event.y, event.t, event.p = min(x, _LARGEST_X), state[ROW], state[BASE] << 12 | state[LOW], p == 1
    return count + 1
