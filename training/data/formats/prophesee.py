"""Prophesee's files: ``.raw`` with EVT 2.0, 2.1 or 3.0 (the header tells which), and ``.dat``.

Formats: docs.prophesee.ai, "EVT 2.0 Format", "EVT 2.1 Format", "EVT 3.0 Format", "DAT File Format". What is left out,
and what the sensor is where the header does not tell, is as in OpenEB 5.1.1 (its decoders, ``psee_raw_file_header``).
They are decoded here since no library was found to be fit: expelliarmus 1.1.12 never comes back from some truncated
files and counts some overflows of EVT 3.0's clock twice; faery 0.7.1 levels a clock that runs backwards and loses the
time of EVT 3.0 files that begin just before their clock wraps; evlib 0.13.2 and evutils 0.3.18 read one of the two word
orders of EVT 2.1 each. On whole files the tests hold this decoder against expelliarmus.
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.data.events import Asked, Decoded, SensorSize, drop_outside, pack_events, unwrap_clock

Words = NDArray[np.int64]
Columns = dict[str, Words]

_EVENT_TYPES = (0, 12)  # of DAT: events of pixels; 14 are triggers
_BASE_BITS = {"2": 28, "3": 12}
"""Bits of a word of EVT that holds the upper part of the time."""
_VGA = (21, 23, 25, 28, 29, 33, 34, 35, 40, 41, 151, 153, 161, 162)
_HD = (26, 30, 31, 39, 46, 48, 49, 50)
_SYSTEMS: dict[int, SensorSize] = dict.fromkeys(_VGA, (640, 480, 2)) | dict.fromkeys(_HD, (1280, 720, 2))
"""Sensors of cameras by their ``system_ID``: generations 3 and 3.1, and 4, 4.1 and IMX636."""
_BLOCK = 32
"""Columns of a whole block of vectors of EVT 3."""


def read_raw(path: Path, _: Asked) -> Decoded:
    """Events of a ``.raw`` file; those before its clock's first word and outside the sensor it tells are left out.

    Raises:
        RecordingError: the file is truncated or of another encoding.
    """
    header, body = _cut(path)
    sensor = _sensor(header)
    columns, notes = _encoding(header, path)(body, sensor, path)
    if sensor is not None:
        count = len(columns["t"])
        columns, outside = drop_outside(columns, sensor)
        where = f"outside the sensor of {sensor[0]}x{sensor[1]}"
        notes += (f"{outside} of {count} events lie {where} and were left out",) * bool(outside)
    return Decoded(pack_events(columns, str(path)), sensor, notes)


def read_dat(path: Path, _: Asked) -> Decoded:
    """Events of a ``.dat`` file.

    Raises:
        RecordingError: the file is truncated or holds something else than events.
    """
    header, body = _cut(path)
    if not re.search(rb"% Version [2-9]", header):
        raise RecordingError(f"{path}: its header tells no version from 2 on; convert it with Prophesee's tools")
    if len(body) < 2 or body[0] not in _EVENT_TYPES or body[1] != 8:
        raise RecordingError(f"{path}: type and size of its events are {list(body[:2])}, not [12, 8]: no CD events")
    words = np.frombuffer(_whole(body[2:], 8, path), "<u4").astype(np.int64)
    data = words[1::2]
    times = unwrap_clock(words[::2], 32)
    columns = {"t": times, "x": data & 0x3FFF, "y": data >> 14 & 0x3FFF, "p": data >> 28}
    return Decoded(pack_events(columns, str(path)), _sensor(header))


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


Decoder = Callable[[bytes, SensorSize | None, Path], tuple[Columns, tuple[str, ...]]]
"""Events of a body and a sensor, and what was assumed."""


def _encoding(header: bytes, path: Path) -> Decoder:
    """The decoder for what the header names."""
    named = re.search(rb"% (?:evt |format EVT)(\d)\.?(\d?)", header)
    version = b".".join(filter(None, named.groups())).decode().removesuffix(".0") if named else None
    if version == "2.1":
        told = re.search(rb"endianness[= ](legacy|little)", header)
        return functools.partial(_decode_evt21, order=told[1].decode() if told else None)
    known: dict[str | None, Decoder] = {"2": _decode_evt2, "3": _decode_evt3}
    if version not in known or b"endianness=big" in header or b"% endianness big" in header:
        found = f"EVT {version}" if version else "none"
        raise RecordingError(
            f"{path}: encoding {found}{' (big-endian)' * (b'big' in header)} in its header; little-endian EVT 2, "
            "EVT 2.1 and EVT 3 are read; convert it with Prophesee's tools"
        )
    return known[version]


def _sensor(header: bytes) -> SensorSize | None:
    width = re.search(rb"(?:% geometry |% Width |width=)(\d+)", header)
    height = re.search(rb"(?:% geometry \d+x|% Height |height=)(\d+)", header)
    if width and height:
        return int(width[1]), int(height[1]), 2
    system = re.search(rb"% system_ID (\d+)", header)
    return _SYSTEMS.get(int(system[1])) if system else None


def _whole(body: bytes, size: int, path: Path) -> bytes:
    if len(body) % size:
        raise RecordingError(
            f"{path}: truncated: {len(body)} bytes end within word {len(body) // size}, a word has {size} bytes; "
            "copy or record it again"
        )
    return body


def _last(mask: NDArray[np.bool_]) -> Words:
    """For each word the index of the last one up to it that is in ``mask``; -1 where there is none."""
    return np.maximum.accumulate(np.where(mask, np.arange(len(mask)), -1)) if len(mask) else np.zeros(0, np.int64)


def _decode_evt2(body: bytes, _: SensorSize | None, path: Path) -> tuple[Columns, tuple[str, ...]]:
    words = np.frombuffer(_whole(body, 4, path), "<u4").astype(np.int64)
    return _evt2_columns(words)[0], ()


def _decode_evt21(body: bytes, _: SensorSize | None, path: Path, order: str | None) -> tuple[Columns, tuple[str, ...]]:
    """EVT 2.0 in one half of a word; the bits of the other tell which of 32 columns have an event.

    Boards before GenX320 write the halves in the order called legacy. The clock's words tell which it is.
    """
    halves = np.frombuffer(_whole(body, 8, path), "<u4").astype(np.int64).reshape(-1, 2)
    clocks = np.count_nonzero(halves >> 28 == 8, axis=0)
    legacy = clocks[0] > clocks[1] if order is None else order == "legacy"
    words, members = halves[:, 0 if legacy else 1], halves[:, 1 if legacy else 0]
    columns, used = _evt2_columns(words)
    word, place = _set_bits(members[used], 32)
    columns = {field: column[word] for field, column in columns.items()}
    columns["x"] = columns["x"] + place
    said = f"its word order, which the header does not tell, was taken for {'legacy' if legacy else 'little'}"
    return columns, (said,) * (order is None)


def _evt2_columns(words: Words) -> tuple[Columns, Words]:
    """Events of words of EVT 2, and which words they are."""
    kind = words >> 28
    is_base = kind == 8
    base = np.zeros_like(words)
    base[is_base] = unwrap_clock(words[is_base] & 0xFFFFFFF, _BASE_BITS["2"])
    clock = _last(is_base)
    used = np.flatnonzero((kind <= 1) & (clock >= 0))
    found = words[used]
    times = base[clock[used]] << 6 | found >> 22 & 0x3F
    return {"t": times, "x": found >> 11 & 0x7FF, "y": found & 0x7FF, "p": kind[used]}, used


def _decode_evt3(body: bytes, sensor: SensorSize | None, path: Path) -> tuple[Columns, tuple[str, ...]]:
    """Words set a state: time, row, and for vectors the first column and polarity, which a vector moves on."""
    words = np.frombuffer(_whole(body, 2, path), "<u2").astype(np.int64)
    kind, value = words >> 12, words & 0xFFF
    is_base, lengths = kind == 8, np.select([kind == 4, kind == 5], [12, 8], 0)
    row, start = _last(kind == 0), _last(kind == 3)
    used = np.flatnonzero((_last(is_base) >= 0) & (row >= 0) & ((kind == 2) | (lengths > 0) & (start >= 0)))
    single = kind[used] == 2
    passed = np.cumsum(lengths) - lengths  # columns that vectors before this word have passed
    source = np.where(single, used, start[used])  # the word with column and polarity
    first = (value[source] & 0x7FF) + np.where(single, 0, passed[used] - passed[source])
    if sensor is not None:
        first[_over_the_edge(kind, used, first, source, sensor[0])] = sensor[0]
    word, place = _set_bits(np.where(single, 1, value[used] & ((1 << lengths[used]) - 1)), 12)
    columns = {
        "t": _evt3_times(kind, value)[used][word],
        "x": first[word] + place,
        "y": value[row[used]][word] & 0x7FF,
        "p": value[source][word] >> 11,
    }
    return columns, ()


def _set_bits(members: Words, bits: int) -> tuple[Words, Words]:
    """Index and place of each set bit of ``members``, lowest first. Most have bit 0 alone, and cost little."""
    count = np.bitwise_count(members)
    word = np.repeat(np.arange(len(members)), count)
    place = np.zeros(len(word), np.int64)
    more = members != 1
    place[more[word]] = np.nonzero(members[more][:, None] >> np.arange(bits) & 1)[1]
    return word, place


def _over_the_edge(kind: Words, used: Words, first: Words, source: Words, width: int) -> NDArray[np.bool_]:
    """Which of the words ``used`` are of a block of vectors that passes the edge, or follow it on the same base."""
    begins = np.zeros(len(kind), bool)
    begins[:-2] = (kind[:-2] == 4) & (kind[1:-1] == 4) & (kind[2:] == 5)
    over = np.zeros(len(kind), bool)
    over[used[begins[used] & (first + _BLOCK > width)]] = True
    return (kind[used] != 2) & (_last(over)[used] > source)


def _evt3_times(kind: Words, value: Words) -> Words:
    """Time at each word. The lower part is that of its last word, or 0 if the upper part has changed since."""
    is_base = kind == 8
    base = np.zeros_like(value)
    base[is_base] = unwrap_clock(value[is_base], _BASE_BITS["3"])
    clock, low = _last(is_base), _last(kind == 6)
    changed = is_base.copy()
    changed[is_base] = np.diff(base[is_base], prepend=-1) != 0
    fresh = low > _last(changed)
    return base[np.maximum(clock, 0)] << 12 | np.where(fresh, value[np.maximum(low, 0)], 0)
