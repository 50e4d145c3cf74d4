"""Prophesee's files: ``.raw`` with EVT 2.0 or EVT 3.0 (the header tells which), and ``.dat``.

Formats: docs.prophesee.ai, "EVT 2.0 Format", "EVT 3.0 Format", "DAT File Format". They are decoded here since no
library was found to be fit: expelliarmus 1.1.12 never comes back from some truncated files and counts some overflows
of EVT 3.0's clock twice; faery 0.7.1 levels a clock that runs backwards and loses the time of EVT 3.0 files that begin
just before their clock wraps. On whole files the tests hold this decoder against expelliarmus.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.data.events import Events, SensorSize, pack_events

Words = NDArray[np.int64]

_EVENT_TYPES = (0, 12)  # of DAT: events of pixels; 14 are triggers
_BASE_BITS = {"2": 28, "3": 12}
"""Bits of a word of EVT that holds the upper part of the time."""


def read_raw(path: Path) -> tuple[Events, SensorSize | None]:
    """Events of a ``.raw`` file; events before its clock's first word are left out.

    Raises:
        RecordingError: the file is truncated or of another encoding, or its clock runs backwards.
    """
    header, body = _cut(path)
    version, size, decode = _encoding(header, path)
    words = np.frombuffer(_whole(body, size, path), f"<u{size}").astype(np.int64)
    try:
        return pack_events(decode(words), str(path)), _sensor(header)
    except ValueError as error:
        raise RecordingError(f"{path}: EVT {version}: {error}") from None


def read_dat(path: Path) -> tuple[Events, SensorSize | None]:
    """Events of a ``.dat`` file.

    Raises:
        RecordingError: the file is truncated or holds something else than events, or its clock runs backwards.
    """
    header, body = _cut(path)
    if not re.search(rb"% Version [2-9]", header):
        raise RecordingError(f"{path}: its header tells no version from 2 on; convert it with Prophesee's tools")
    if len(body) < 2 or body[0] not in _EVENT_TYPES or body[1] != 8:
        raise RecordingError(f"{path}: type and size of its events are {list(body[:2])}, not [12, 8]: no CD events")
    words = np.frombuffer(_whole(body[2:], 8, path), "<u4").astype(np.int64)
    try:
        times = _unwrap(words[::2], 32)
    except ValueError as error:
        raise RecordingError(f"{path}: {error}") from None
    data = words[1::2]
    columns = {"t": times, "x": data & 0x3FFF, "y": data >> 14 & 0x3FFF, "p": data >> 28}
    return pack_events(columns, str(path)), _sensor(header)


def _cut(path: Path) -> tuple[bytes, bytes]:
    """Header (lines that begin with %) and body."""
    content = path.read_bytes()
    start = 0
    while content.startswith(b"%", start):
        line, start = start, content.find(b"\n", start) + 1 or len(content)
        if content[line:start].strip() == b"% end":
            break
    if not start:
        raise RecordingError(f"{path}: no Prophesee header: it begins with {content[:8]!r} instead of b'% '")
    return content[:start], content[start:]


def _encoding(header: bytes, path: Path) -> tuple[str, int, Callable[[Words], dict[str, Words]]]:
    """Version, bytes of a word and decoder."""
    named = re.search(rb"% (?:evt |format EVT)([\d.]+)", header)
    version = named[1].decode().removesuffix(".0") if named else None
    known: dict[str | None, tuple[str, int, Callable[[Words], dict[str, Words]]]] = {
        "2": ("2.0", 4, _decode_evt2),
        "3": ("3.0", 2, _decode_evt3),
    }
    if version not in known or b"endianness=big" in header or b"% endianness big" in header:
        found = f"EVT {version}" if version else "none"
        raise RecordingError(
            f"{path}: encoding {found}{' (big-endian)' * (b'big' in header)} in its header; little-endian EVT 2 and "
            "EVT 3 are read; convert it with Prophesee's tools"
        )
    return known[version]


def _sensor(header: bytes) -> SensorSize | None:
    width = re.search(rb"(?:% geometry |% Width |width=)(\d+)", header)
    height = re.search(rb"(?:% geometry \d+x|% Height |height=)(\d+)", header)
    return (int(width[1]), int(height[1]), 2) if width and height else None


def _whole(body: bytes, size: int, path: Path) -> bytes:
    if len(body) % size:
        raise RecordingError(
            f"{path}: truncated: {len(body)} bytes end within word {len(body) // size}, a word has {size} bytes; "
            "copy or record it again"
        )
    return body


def _unwrap(times: Words, bits: int) -> Words:
    """Times of a clock of ``bits`` bits that wraps: a step back by more than half its range is a wrap.

    Raises:
        ValueError: a smaller step back.
    """
    steps = np.diff(times, prepend=times[:1])
    wraps = steps < -(1 << (bits - 1))
    back = np.flatnonzero((steps < 0) & ~wraps)
    if len(back):
        index = int(back[0])
        raise ValueError(
            f"time {index}: {times[index]}, after {times[index - 1]}; time must not decrease: sort the events by time"
        )
    return times + (np.cumsum(wraps) << bits)


def _last(mask: NDArray[np.bool_]) -> Words:
    """For each word the index of the last one up to it that is in ``mask``; -1 where there is none."""
    return np.maximum.accumulate(np.where(mask, np.arange(len(mask)), -1)) if len(mask) else np.zeros(0, np.int64)


def _decode_evt2(words: Words) -> dict[str, Words]:
    kind = words >> 28
    is_base = kind == 8
    base = np.zeros_like(words)
    base[is_base] = _unwrap(words[is_base] & 0xFFFFFFF, _BASE_BITS["2"])
    clock = _last(is_base)
    used = np.flatnonzero((kind <= 1) & (clock >= 0))
    found = words[used]
    times = base[clock[used]] << 6 | found >> 22 & 0x3F
    return {"t": times, "x": found >> 11 & 0x7FF, "y": found & 0x7FF, "p": kind[used]}


def _decode_evt3(words: Words) -> dict[str, Words]:
    """Words set a state: time, row, and for vectors the first column and polarity, which a vector moves on."""
    kind, value = words >> 12, words & 0xFFF
    is_base, lengths = kind == 8, np.select([kind == 4, kind == 5], [12, 8], 0)
    row, start = _last(kind == 0), _last(kind == 3)
    used = np.flatnonzero((_last(is_base) >= 0) & (row >= 0) & ((kind == 2) | (lengths > 0) & (start >= 0)))
    single = kind[used] == 2
    passed = np.cumsum(lengths) - lengths  # columns that vectors before this word have passed
    source = np.where(single, used, start[used])  # the word with column and polarity
    first = (value[source] & 0x7FF) + np.where(single, 0, passed[used] - passed[source])
    members = np.where(single, 1, value[used] & ((1 << lengths[used]) - 1))
    word, place = np.nonzero(members[:, None] >> np.arange(12) & 1)
    return {
        "t": _evt3_times(kind, value)[used][word],
        "x": first[word] + place,
        "y": value[row[used]][word] & 0x7FF,
        "p": value[source][word] >> 11,
    }


def _evt3_times(kind: Words, value: Words) -> Words:
    """Time at each word. The lower part is that of its last word, or 0 if the upper part has changed since."""
    is_base = kind == 8
    base = np.zeros_like(value)
    base[is_base] = _unwrap(value[is_base], _BASE_BITS["3"])
    clock, low = _last(is_base), _last(kind == 6)
    changed = is_base.copy()
    changed[is_base] = np.diff(base[is_base], prepend=-1) != 0
    fresh = low > _last(changed)
    return base[np.maximum(clock, 0)] << 12 | np.where(fresh, value[np.maximum(low, 0)], 0)
