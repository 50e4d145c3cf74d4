"""Prophesee's files: ``.raw`` with EVT 2.0, 2.1 or 3.0 (the header tells which), and ``.dat``.

Formats: docs.prophesee.ai, "EVT 2.0 Format", "EVT 2.1 Format", "EVT 3.0 Format", "DAT File Format". What is left out,
and what the sensor is where the header does not tell, is as in OpenEB 5.1.1 (its decoders, ``psee_raw_file_header``).
They are decoded here since no library was found to be fit: expelliarmus 1.1.12 never comes back from some truncated
files and counts some overflows of EVT 3.0's clock twice; faery 0.7.1 levels a clock that runs backwards and loses the
time of EVT 3.0 files that begin just before their clock wraps; evlib 0.13.2 and evutils 0.3.18 read one of the two word
orders of EVT 2.1 each. On whole files the tests hold this decoder against expelliarmus.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.data.events import Asked, Decoded, RunningClock, SensorSize, pack_events

if TYPE_CHECKING:
    from training.data.formats.evt import EvtMachine

_EVENT_TYPES = (0, 12)  # of DAT: events of pixels; 14 are triggers
_VGA = (21, 23, 25, 28, 29, 33, 34, 35, 40, 41, 151, 153, 161, 162)
_HD = (26, 30, 31, 39, 46, 48, 49, 50)
_SYSTEMS: dict[int, SensorSize] = dict.fromkeys(_VGA, (640, 480, 2)) | dict.fromkeys(_HD, (1280, 720, 2))
"""Sensors of cameras by their ``system_ID``: generations 3 and 3.1, and 4, 4.1 and IMX636."""


def read_raw(path: Path, _: Asked) -> Decoded:
    """Events of a ``.raw`` file; those before its clock's first word and outside the sensor it tells are left out.

    Raises:
        RecordingError: the file is truncated or of another encoding.
    """
    header, body = _cut(path)
    machine, sensor = machine_of(header, str(path))
    events = machine.decode(body, last=True)
    if machine.rest:
        _whole(body, machine.word, path)
    notes = machine.notes
    if machine.outside:
        of = f"{machine.outside} of {len(events) + machine.outside} events"
        assert sensor is not None
        notes += (f"{of} lie outside the sensor of {sensor[0]}x{sensor[1]} and were left out",)
    return Decoded(events, sensor, notes)


def read_dat(path: Path, _: Asked) -> Decoded:
    """Events of a ``.dat`` file.

    Raises:
        RecordingError: the file is truncated or holds something else than events.
    """
    header, body = _cut(path)
    check_dat(header, str(path))
    check_kind(body[:2], str(path))
    columns = dat_columns(_whole(body[2:], 8, path), RunningClock(32))
    return Decoded(pack_events(columns, str(path)), sensor_of(header))


def check_dat(header: bytes, name: str) -> None:
    """Check that a header is that of a ``.dat`` file as it is written today.

    Raises:
        RecordingError: it is not; ``name`` is in the message.
    """
    if not re.search(rb"% Version [2-9]", header):
        raise RecordingError(f"{name}: its header tells no version from 2 on; convert it with Prophesee's tools")


def check_kind(kind: bytes, name: str) -> None:
    """Check what stands between header and events of a ``.dat`` file: their type and size.

    Raises:
        RecordingError: they are no events of pixels; ``name`` is in the message.
    """
    if len(kind) < 2 or kind[0] not in _EVENT_TYPES or kind[1] != 8:
        raise RecordingError(f"{name}: type and size of its events are {list(kind)}, not [12, 8]: no CD events")


def dat_columns(body: bytes, clock: RunningClock) -> dict[str, NDArray[np.int64]]:
    """x, y, t and p of whole events of DAT."""
    words = np.frombuffer(body, "<u4").astype(np.int64)
    data = words[1::2]
    return {"t": clock(words[::2]), "x": data & 0x3FFF, "y": data >> 14 & 0x3FFF, "p": data >> 28}


def _cut(path: Path) -> tuple[bytes, bytes]:
    """Header and body."""
    content = path.read_bytes()
    start = cut_header(content)
    if start is None:
        raise RecordingError(f"{path}: no Prophesee header: it begins with {content[:8]!r} instead of b'% '")
    return content[:start], content[start:]


def cut_header(content: bytes) -> int | None:
    """Where the header ends, lines that begin with %; ``None``: there is none. All of a content that is but header."""
    start = 0
    while content.startswith(b"%", start):
        line, start = start, content.find(b"\n", start) + 1 or len(content)
        if content[line:start].strip() == b"% end":
            break
    return start or None


def machine_of(header: bytes, name: str) -> tuple["EvtMachine", SensorSize | None]:
    """The decoder of what stands behind a header, and the sensor, where it is known.

    Raises:
        RecordingError: it is of another encoding; ``name`` is in the message.
    """
    from training.data.formats.evt import EvtMachine  # Numba is slow to import, and seldom needed

    named = re.search(rb"% (?:evt |format EVT)(\d)\.?(\d?)", header)
    version = b".".join(filter(None, named.groups())).decode().removesuffix(".0") if named else None
    sensor = sensor_of(header)
    if version == "2.1":
        told = re.search(rb"endianness[= ](legacy|little)", header)
        return EvtMachine("2.1", sensor, told[1].decode() if told else None), sensor
    if version not in ("2", "3") or b"endianness=big" in header or b"% endianness big" in header:
        found = f"EVT {version}" if version else "none"
        raise RecordingError(
            f"{name}: encoding {found}{' (big-endian)' * (b'big' in header)} in its header; little-endian EVT 2, "
            "EVT 2.1 and EVT 3 are read; convert it with Prophesee's tools"
        )
    return EvtMachine("2" if version == "2" else "3", sensor), sensor


def sensor_of(header: bytes) -> SensorSize | None:
    """The sensor that a header tells."""
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
