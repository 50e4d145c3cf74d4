"""jAER's AEDAT 2.0 (``.aedat``): text lines that begin with ``#``, then pairs of a 32-bit address and a 32-bit time.

Files of AEDAT 3.1 have the same suffix, and go to ``aedat3``. Both numbers are big-endian, times are microseconds.
What an address means depends on the chip, which the header names; the layouts are those of jAER's extractors (classes
DVS128 and DavisBaseCamera). Rows count from the bottom and columns from the right; here the origin is the upper left
corner, as in the other formats. tonic 1.7 cannot read these files (its readers unpack two of the three values that its
own header function returns), so they are decoded here.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.data.events import EVENT_DTYPE, IN_TRAINING, Asked, Decoded, Events, SensorSize, unwrap_clock
from training.data.formats import aedat3

_MAGIC = b"#!AER-DAT2.0"
_END_OF_HEADER = b"#End Of ASCII"
_RECORD = np.dtype([("address", ">u4"), ("t", ">u4")])
_NEVER_SET = 0x7FFF0000
"""Bits of an address that a DVS128 leaves 0."""

Records = NDArray[np.void]


@dataclass(frozen=True)
class _Chip:
    """Where an address holds what."""

    width: int
    height: int
    x: tuple[int, int]
    """Shift and mask."""
    y: tuple[int, int]
    polarity: int
    """Bit number."""
    on: int
    """Value of that bit in an ON event."""
    special: int
    """Bits of which none is set in an event of a pixel."""


_DVS128 = _Chip(128, 128, x=(1, 0x7F), y=(8, 0x7F), polarity=0, on=0, special=1 << 31 | 1 << 15)
_DAVIS = {"x": (12, 0x3FF), "y": (22, 0x1FF), "polarity": 11, "on": 1, "special": 1 << 31 | 1 << 10}
_CHIPS = {
    b"DVS128": _DVS128,
    b"DAVIS240": _Chip(240, 180, **_DAVIS),  # type: ignore[arg-type]
    b"DAVIS346": _Chip(346, 260, **_DAVIS),  # type: ignore[arg-type]
}


def read(path: Path, asked: Asked) -> Decoded:
    """Events of the pixels; samples of frames and inertia, and external events, are left out.

    Raises:
        RecordingError: the file is of another version or of an unknown chip, or ends within an event.
    """
    content = path.read_bytes()
    if content.startswith(aedat3.MAGIC):
        return aedat3.decode(content, _source(content), path)
    if not content.startswith(_MAGIC):
        raise RecordingError(
            f"{path}: no AEDAT 2.0 or 3.1 file: it begins with {content[:12]!r} instead of {_MAGIC!r}; "
            "convert it with jAER"
        )
    header, body = _cut(content)
    if len(body) % _RECORD.itemsize:
        raise RecordingError(
            f"{path}: truncated: it ends within event {len(body) // _RECORD.itemsize}, an event has "
            f"{_RECORD.itemsize} bytes; copy or record it again"
        )
    records = np.frombuffer(body, _RECORD)
    chip = _chip(header, path) or _unnamed_chip(records, asked.sensor, path)
    return Decoded(_decode(records, chip), (chip.width, chip.height, 2))


def _cut(content: bytes) -> tuple[bytes, bytes]:
    """Header and body."""
    start = 0
    while content.startswith(b"#", start):
        line, start = start, content.find(b"\n", start) + 1 or len(content)
        if content.startswith(_END_OF_HEADER, line):
            break
    return content[:start], content[start:]


def _source(content: bytes) -> SensorSize | None:
    """The sensor that the header of AEDAT 3.1 names, if it is known."""
    named = re.search(rb"#Source \d+: (\S+)", content[:1000])
    chips = [chip for name, chip in _CHIPS.items() if named and name in named[1].upper()]
    return (chips[0].width, chips[0].height, 2) if chips else None


def _chip(header: bytes, path: Path) -> _Chip | None:
    """The chip that the header names, if it names one."""
    named = re.search(rb"AEChip:\s*(\S+)", header)
    if named is None:
        return None
    for name, chip in _CHIPS.items():
        if name in named[1].upper():
            return chip
    known = ", ".join(name.decode() for name in _CHIPS)
    raise RecordingError(f"{path}: chip {named[1][:40].decode(errors='replace')!r} is unknown; known are {known}")


def _unnamed_chip(records: Records, sensor: SensorSize | None, path: Path) -> _Chip:
    """The chip of a file that names none: that of the sensor, else a DVS128, as all were at first, if it can be one."""
    if sensor is not None and sensor[:2] != (128, 128):
        return _Chip(sensor[0], sensor[1], **_DAVIS)  # type: ignore[arg-type]
    foreign = np.flatnonzero(records["address"] & _NEVER_SET)
    if len(foreign):
        raise RecordingError(
            f"{path}: event {foreign[0]}: address {records['address'][foreign[0]]:#x}, which no DVS128 sends, and the "
            f"header names no chip; give the size of the sensor: --sensor WIDTHxHEIGHT, as 346x260 ({IN_TRAINING})"
        )
    return _DVS128


def _decode(records: Records, chip: _Chip) -> Events:
    records = records[records["address"] & chip.special == 0]
    address = records["address"].astype(np.int64)
    events = np.empty(len(records), EVENT_DTYPE)
    events["x"] = chip.width - 1 - (address >> chip.x[0] & chip.x[1])
    events["y"] = chip.height - 1 - (address >> chip.y[0] & chip.y[1])
    events["p"] = (address >> chip.polarity & 1) == chip.on
    events["t"] = unwrap_clock(records["t"].astype(np.int64), 32)
    return events
