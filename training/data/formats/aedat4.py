"""iniVation's AEDAT 4.0 (``.aedat4``), decoded by the library ``aedat``, which tonic uses too.

The decoder panics on some damaged headers and can end the whole process, so the header is looked at first.
"""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from spikinghash.errors import RecordingError
from training.data.events import Events, SensorSize, pack_events

_MAGIC = b"#!AER-DAT4.0\r\n"
_LENGTH = 4  # bytes that hold the length of the header
_REMEDY = "copy the file or record it again"


def read(path: Path) -> tuple[Events, SensorSize]:
    """Events of the first stream of events in the file.

    Raises:
        RecordingError: the file is damaged, or has no stream of events.
    """
    check_header(path)
    import aedat

    try:
        decoder = aedat.Decoder(path)
        streams = {key: stream for key, stream in decoder.id_to_stream().items() if stream["type"] == "events"}
        if not streams:
            raise RecordingError(f"{path}: it has no stream of events; record it again with events switched on")
        first = min(streams)
        packets = [packet["events"] for packet in decoder if packet["stream_id"] == first]
    except RecordingError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # Ctrl-C
        raise RecordingError(f"{path}: damaged AEDAT 4.0 file: {' '.join(str(error).split())}; {_REMEDY}") from None
    sensor = (int(streams[first]["width"]), int(streams[first]["height"]), 2)
    columns = {
        field: np.concatenate([packet[name] for packet in packets]) if packets else np.zeros(0, np.int64)
        for field, name in {"x": "x", "y": "y", "t": "t", "p": "on"}.items()
    }
    return pack_events(columns, str(path)), sensor


def check_header(path: Path) -> None:
    """Check what comes before the events: magic number, length, and the description of the streams in XML.

    Raises:
        RecordingError: one of them is damaged.
    """
    with path.open("rb") as file:
        magic = file.read(len(_MAGIC))
        if magic != _MAGIC:
            raise RecordingError(f"{path}: no AEDAT 4.0 file: it begins with {magic!r} instead of {_MAGIC!r}")
        length = int.from_bytes(file.read(_LENGTH), "little")
        left = path.stat().st_size - file.tell()
        if length > left:
            raise RecordingError(
                f"{path}: truncated: a header of {length} bytes is announced, {left} follow; {_REMEDY}"
            )
        header = file.read(length)
    description = re.search(rb"<dv.*</dv>", header, re.DOTALL)
    try:
        ElementTree.fromstring(description[0] if description else b"")
    except ElementTree.ParseError as error:
        raise RecordingError(f"{path}: damaged: its streams are not described ({error}); {_REMEDY}") from None
