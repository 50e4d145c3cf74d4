"""iniVation's AEDAT 4.0 (``.aedat4``), decoded by the library ``aedat``, which tonic uses too.

The decoder panics on some damaged headers and can end the whole process, so the header is looked at first.
"""

import re
import struct
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError, in_one_line
from training.data.events import Asked, Decoded, pack_events

_MAGIC = b"#!AER-DAT4.0\r\n"
_LENGTH = 4  # bytes that hold the length of the header
_LARGEST_PACKET = 1 << 28
"""Bytes. The library takes as much memory as a packet claims, and ends the process where it gets none."""
_CUT_OFF = "failed to fill whole buffer"  # what the library says of a packet that the file ends in
_REMEDY = "copy the file or record it again"


def read(path: Path, asked: Asked) -> Decoded:
    """Events of the one stream of events in the file, or of that which is asked for.

    A file whose writer stopped within a packet gives the whole packets before it.

    Raises:
        RecordingError: the file is damaged, has no stream of events, or several and none is asked for.
    """
    names = check_header(path)
    import aedat

    packets: list[NDArray[np.void]] = []
    stopped = None
    try:
        decoder = aedat.Decoder(path)
        streams = {key: stream for key, stream in decoder.id_to_stream().items() if stream["type"] == "events"}
        chosen = _choose(streams, names, asked.stream, path)
        packets += (packet["events"] for packet in decoder if packet["stream_id"] == chosen)
    except RecordingError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # Ctrl-C
        stopped = in_one_line(error)
    if stopped and not (packets and _CUT_OFF in stopped):
        raise RecordingError(f"{path}: damaged AEDAT 4.0 file: {stopped}; {_REMEDY}")
    sensor = (int(streams[chosen]["width"]), int(streams[chosen]["height"]), 2)
    columns = {
        field: np.concatenate([packet[name] for packet in packets]) if packets else np.zeros(0, np.int64)
        for field, name in {"x": "x", "y": "y", "t": "t", "p": "on"}.items()
    }
    notes = (f"it ends within a packet: the {len(packets)} whole packets of events before it were read",)
    return Decoded(pack_events(columns, str(path)), sensor, notes if stopped else ())


def _choose(streams: dict[int, Any], names: dict[int, str], asked: str | None, path: Path) -> int:
    """Number of the stream to read."""
    if not streams:
        raise RecordingError(f"{path}: it has no stream of events; record it again with events switched on")
    found = [key for key in streams if asked in (None, str(key), names.get(key))]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{key} ({names.get(key, 'no name')})" for key in sorted(streams))
    if asked is None:
        raise RecordingError(f"{path}: {len(streams)} streams of events: {known}; choose one: --stream NUMBER or NAME")
    raise RecordingError(f"{path}: --stream {asked}: {len(found)} such streams of events; it has {known}")


def check_header(path: Path) -> dict[int, str]:
    """Check what comes before the events: magic number, length, and the description of the streams in XML.

    Returns:
        Names of the streams that have one, by their numbers.

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
        _check_packets(file, _table_position(header, path), path)
    description = re.search(rb"<dv.*</dv>", header, re.DOTALL)
    try:
        root = ElementTree.fromstring(description[0] if description else b"")
    except ElementTree.ParseError as error:
        why = in_one_line(error)
        raise RecordingError(f"{path}: damaged: its streams are not described ({why}); {_REMEDY}") from None
    named = {
        node.get("name", ""): node.findtext("attr[@key='originalOutputName']") or node.findtext("attr[@key='source']")
        for node in root.iterfind("node[@name='outInfo']/node")
    }
    return {int(number): name for number, name in named.items() if name and number.isdecimal()}


def _table_position(header: bytes, path: Path) -> int:
    """Where the table of the file's packets begins, which stands behind them; -1 if there is none.

    It is field 1 of a flatbuffer: its vtable, which the first word of the table leads to, tells where.
    """
    try:
        (root,) = struct.unpack_from("<I", header)
        vtable = root - struct.unpack_from("<i", header, root)[0]
        size, _, _, field = struct.unpack_from("<4H", header, vtable)
        return int(struct.unpack_from("<q", header, root + field)[0]) if size >= 8 and field else -1
    except struct.error:
        raise RecordingError(f"{path}: damaged: its header does not hold together; {_REMEDY}") from None


def _check_packets(file: IO[bytes], end: int, path: Path) -> None:
    """Check what the packets from here to ``end`` claim to be long.

    Raises:
        RecordingError: one is longer than any is.
    """
    while (start := file.tell()) != end and len(head := file.read(8)) == 8:
        length = int.from_bytes(head[4:], "little")
        if length > _LARGEST_PACKET:
            raise RecordingError(
                f"{path}: damaged: byte {start} begins a packet of {length} bytes, at most {_LARGEST_PACKET} are read; "
                f"{_REMEDY}"
            )
        file.seek(length, 1)
