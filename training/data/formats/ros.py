"""Bags of ROS 1 (``.bag``) and ROS 2 (``.db3``, ``.mcap``), opened by the library ``rosbags``.

Messages are ``dvs_msgs/EventArray``, or ``event_camera_msgs/EventPacket`` in the encodings evt3 and mono. The library
takes a bag apart into messages; their events are decoded here, since it makes an object of each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError, in_one_line
from spikinghash.extras import told_of_extras
from training.data.events import EVENT_DTYPE, Asked, Decoded, Events, SensorSize, pack_events

_ARRAYS, _PACKETS = "dvs_msgs/msg/EventArray", "event_camera_msgs/msg/EventPacket"
_EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("s", "<u4"), ("ns", "<u4"), ("p", "u1")])
"""Of an array, in ROS 1."""
_ALIGNED = np.dtype(
    {"names": ["x", "y", "s", "ns", "p"], "formats": ["<u2", "<u2", "<u4", "<u4", "u1"], "offsets": [0, 2, 6, 10, 14],
     "itemsize": 16}
)  # fmt: skip
"""In ROS 2, from the second event on: a time begins at a multiple of four bytes."""


class _Cursor:
    """Reads the fields of a message, in ROS 1 packed, in ROS 2 aligned."""

    def __init__(self, content: bytes, aligned: bool) -> None:
        self.aligned = aligned
        self._content = content[4:] if aligned else content
        self._place = 0

    def numbers(self, kind: str, count: int = 1) -> list[int]:
        return [int(number) for number in self.array(np.dtype(kind), count, np.dtype(kind).itemsize)]

    def array(self, kind: np.dtype[Any], count: int, align: int = 1) -> NDArray[Any]:
        if self.aligned:
            self._place += -self._place % align
        found = np.frombuffer(self._content, kind, count, self._place)
        self._place += found.nbytes
        return found

    def text(self) -> str:
        (length,) = self.numbers("<u4")
        return self.array(np.dtype("u1"), length).tobytes().rstrip(b"\0").decode(errors="replace")

    def header(self) -> None:
        self.numbers("<u4", 2 if self.aligned else 3)
        self.text()


@dataclass
class _Topic:
    """The events of one topic so far."""

    parts: list[Events]
    sensor: SensorSize | None = None
    machine: Any = None

    def take_array(self, cursor: _Cursor, name: str) -> None:
        """Add the events of a ``dvs_msgs/EventArray``."""
        cursor.header()
        height, width, count = cursor.numbers("<u4", 3)
        self.sensor = (width, height, 2)
        if cursor.aligned and count:
            start = cursor.array(_EVENT, 1)
            cursor.array(np.dtype("u1"), 1 if count > 1 else 0)
            rest = cursor.array(_ALIGNED, count - 2) if count > 2 else np.empty(0, _ALIGNED)
            last = cursor.array(np.dtype("u1"), 15).tobytes() + b"\0" if count > 1 else b""
            tables: list[NDArray[Any]] = [start, rest, np.frombuffer(last, _ALIGNED)]
        else:
            tables = [cursor.array(_EVENT, count)]
        for table in tables:
            seconds, rest_of_second = table["s"].astype(np.int64), table["ns"].astype(np.int64) // 1000
            columns = {"x": table["x"], "y": table["y"], "t": seconds * 1_000_000 + rest_of_second, "p": table["p"]}
            self.parts.append(pack_events(columns, name))

    def take_packet(self, cursor: _Cursor, name: str) -> None:
        """Add the events of an ``event_camera_msgs/EventPacket``."""
        cursor.header()
        height, width = cursor.numbers("<u4", 2)
        _, base = cursor.numbers("<u8", 2)
        encoding = cursor.text()
        cursor.numbers("u1")
        (count,) = cursor.numbers("<u4")
        content = cursor.array(np.dtype("u1"), count).tobytes()
        self.sensor = (width, height, 2)
        if encoding == "mono":
            self.parts.append(_mono(content, base, name))
        elif encoding == "evt3":
            from training.data.formats.evt import EvtMachine

            self.machine = self.machine or EvtMachine("3", self.sensor)
            self.parts.append(self.machine.decode(content))
        else:
            raise RecordingError(f"{name}: events in the encoding {encoding[:40]!r}; evt3 and mono are read")


def _mono(content: bytes, base: int, name: str) -> Events:
    words = np.frombuffer(content, "<u8")
    times = ((words & 0xFFFFFFFF).astype(np.int64) + base) // 1000
    columns = {"x": words >> 32 & 0xFFFF, "y": words >> 48 & 0x7FFF, "t": times, "p": words >> 63}
    return pack_events({field: column.astype(np.int64) for field, column in columns.items()}, name)


_TAKE: dict[str, Callable[[_Topic, _Cursor, str], None]] = {
    _ARRAYS: _Topic.take_array,
    _PACKETS: _Topic.take_packet,
}


def read(path: Path, asked: Asked) -> Decoded:
    """Events of the one topic of events in the bag, or of that which is asked for.

    Of ROS 2 ``path`` is the file beside ``metadata.yaml``.

    Raises:
        MissingToolError: rosbags is not installed.
        RecordingError: the bag is damaged, has no topic of events, or several and none is asked for.
    """
    with told_of_extras():
        from rosbags.highlevel import AnyReader
    try:
        with AnyReader([path if path.suffix.lower() == ".bag" else path.parent]) as bag:
            return _read(bag, path, asked.stream)
    except RecordingError:
        raise
    except Exception as error:  # rosbags, SQLite and MCAP raise all kinds, of lengths that are damaged MemoryError
        raise RecordingError(f"{path}: damaged, or no bag of ROS: {in_one_line(error)}; record it again") from None


def _read(bag: Any, path: Path, stream: str | None) -> Decoded:
    topics = {one.topic: one for one in bag.connections if one.msgtype in _TAKE}
    chosen = [one for name, one in topics.items() if stream in (None, name)]
    if len(chosen) != 1:
        known = ", ".join(sorted(topics)) or "none"
        remedy = "choose one: --stream TOPIC" if topics else f"{_ARRAYS} and {_PACKETS} are read"
        raise RecordingError(f"{path}: {len(chosen)} topics of events to read, of {known}; {remedy}")
    topic, aligned = _Topic([np.empty(0, EVENT_DTYPE)]), bag.is2
    for connection, _, content in bag.messages(connections=chosen):
        _TAKE[connection.msgtype](topic, _Cursor(bytes(content), aligned), str(path))
    if topic.machine is not None:
        topic.parts.append(topic.machine.decode(b"", last=True))
    return Decoded(np.concatenate(topic.parts), topic.sensor)
