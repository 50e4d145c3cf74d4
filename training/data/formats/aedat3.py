"""iniVation's AEDAT 3.1 (``.aedat``), in which DVS128 Gesture is published: a header in text, then packets of events.

Format: docs.inivation.com, "AEDAT 3.1"; little-endian, rows count from the top. tonic 1.7 cannot read these files (its
readers unpack two of the three values that its own header function returns), so they are decoded here.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.data.events import EVENT_DTYPE, Decoded, SensorSize

MAGIC = b"#!AER-DAT3."
_END = b"#!END-HEADER\r\n"
_PACKET = np.dtype(
    [("type", "<i2"), ("source", "<i2"), *((name, "<i4") for name in
     ("size", "offset", "overflow", "capacity", "number", "valid"))]
)  # fmt: skip
_EVENT = np.dtype([("data", "<u4"), ("t", "<i4")])
_POLARITY = 1
"""Type of the packets of pixels' events; others hold frames, inertia and what comes from outside."""


def decode(content: bytes, sensor: SensorSize | None, path: Path) -> Decoded:
    """Events of the pixels; a file whose writer stopped within a packet gives the whole packets before it.

    Raises:
        RecordingError: the file is compressed, or damaged.
    """
    end = content.find(_END)
    if end < 0:
        raise RecordingError(f"{path}: truncated: its header does not end; copy or record it again")
    kind = re.search(rb"#Format: (\S+)", content[:end])
    if kind and kind[1] != b"RAW":
        raise RecordingError(
            f"{path}: events in the form {kind[1][:40].decode(errors='replace')!r}; RAW is read: record it so"
        )
    packets, whole = _packets(content[end + len(_END) :], path)
    found = np.concatenate([np.empty(0, EVENT_DTYPE), *packets])
    note = f"it ends within a packet: the {len(packets)} whole packets of events before it were read"
    return Decoded(found, sensor, () if whole else (note,))


def _packets(body: bytes, path: Path) -> tuple[list[NDArray[np.void]], bool]:
    """Events of each packet of pixels, and whether the file ends with a packet."""
    packets: list[NDArray[np.void]] = []
    start = 0
    while start + _PACKET.itemsize <= len(body):
        head = np.frombuffer(body, _PACKET, 1, start)[0]
        first, count, size = start + _PACKET.itemsize, int(head["number"]), int(head["size"])
        if count < 0 or size < 1 or (head["type"] == _POLARITY and size != _EVENT.itemsize):
            raise RecordingError(
                f"{path}: damaged: byte {start} of its body begins a packet of {count} events of {size} bytes; "
                "copy or record it again"
            )
        start = first + count * size
        if start > len(body):
            return packets, False
        if head["type"] == _POLARITY:
            packets.append(_events(np.frombuffer(body, _EVENT, count, first), int(head["overflow"])))
    return packets, start == len(body)


def _events(records: NDArray[np.void], overflow: int) -> NDArray[np.void]:
    data = records["data"][records["data"] & 1 == 1]  # the others are marked invalid
    events = np.empty(len(data), EVENT_DTYPE)
    events["x"], events["y"], events["p"] = data >> 17, data >> 2 & 0x7FFF, data >> 1 & 1
    events["t"] = records["t"][records["data"] & 1 == 1].astype(np.int64) + (overflow << 31)
    return events
