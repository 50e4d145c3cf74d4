"""Writers of event files, byte by byte, that share nothing with the readers. A row is (x, y, t, p)."""

import csv
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import flatbuffers
import h5py
import numpy as np

Row = tuple[int, int, int, int]
Writer = Callable[[Path, Sequence[Row], int, int], None]
"""Of a path, the events, and the width and height of the sensor in pixels."""

TIME_HIGH = 8
"""Kind of the words of EVT that hold the upper bits of the time."""


def bin40(path: Path, rows: Sequence[Row], width: int, height: int) -> None:
    path.write_bytes(b"".join(bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]) for x, y, t, p in rows))


def aedat2_header(chip: str) -> bytes:
    named = f"# AEChip: ch.unizh.ini.jaer.chip.retina.{chip}\r\n" if chip else ""
    return f"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n{named}".encode()


def aedat2_dvs128(path: Path, rows: Sequence[Row], width: int = 128, height: int = 128) -> None:
    body = [struct.pack(">II", (127 - y) << 8 | (127 - x) << 1 | (not p), t) for x, y, t, p in rows]
    path.write_bytes(aedat2_header("DVS128") + b"".join(body))


def aedat2_davis(path: Path, rows: Sequence[Row], width: int = 346, height: int = 260) -> None:
    body = [struct.pack(">II", (height - 1 - y) << 22 | (width - 1 - x) << 12 | p << 11, t) for x, y, t, p in rows]
    sample_of_a_frame, external_input = struct.pack(">II", 1 << 31 | 77 << 12, 0), struct.pack(">II", 1 << 10, 0)
    chip = {346: "Davis346B", 240: "DAVIS240C"}[width]
    path.write_bytes(aedat2_header(chip) + sample_of_a_frame + external_input + b"".join(body))


def aedat3(path: Path, rows: Sequence[Row], width: int = 128, height: int = 128) -> None:
    """A packet of each half of the events, an event that is marked invalid, and a packet of another kind between."""
    header = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    special = struct.pack("<hhiiiiii", 0, 1, 8, 4, 0, 1, 1, 1) + bytes(8)
    parts = [[*rows[: len(rows) // 2]], [*rows[len(rows) // 2 :]]]
    packets = [
        struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, len(part) + 1, len(part) + 1, len(part))
        + struct.pack("<Ii", 99 << 17, 0)
        + b"".join(struct.pack("<Ii", x << 17 | y << 2 | p << 1 | 1, t) for x, y, t, p in part)
        for part in parts
    ]
    path.write_bytes(header + packets[0] + special + packets[1])


def aedat4(
    path: Path, rows: Sequence[Row], width: int, height: int, streams: str = "EVTS", lz4: bool = True, more: str = ""
) -> None:
    """A file with two packets, after iniVation's flatbuffer schemas IOHeader and EventPacket."""
    attributes = f'<attr key="sizeX" type="int">{width}</attr><attr key="sizeY" type="int">{height}</attr>'
    xml = (
        '<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/"><node name="0" '
        'path="/mainloop/Recorder/outInfo/0/"><attr key="compression" type="string">NONE</attr>'
        f'<attr key="typeIdentifier" type="string">{streams}</attr><node name="info" '
        f'path="/mainloop/Recorder/outInfo/0/info/">{attributes}</node></node>{more}</node></dv>'
    )
    header = flatbuffers.Builder(1024)
    text = header.CreateString(xml)
    header.StartObject(3)
    header.PrependInt32Slot(0, int(lz4), 0)
    header.PrependInt64Slot(1, -1, 0)  # no table of the file's packets
    header.PrependUOffsetTRelativeSlot(2, text, 0)
    header.FinishSizePrefixed(header.EndObject(), b"IOHE")
    middle = len(rows) // 2
    packets = [_event_packet(part) for part in (rows[:middle], rows[middle:]) if part]
    packets = [_lz4_frame(packet) for packet in packets] if lz4 else packets
    framed = [struct.pack("<ii", 0, len(packet)) + packet for packet in packets]
    path.write_bytes(b"#!AER-DAT4.0\r\n" + bytes(header.Output()) + b"".join(framed))


def _lz4_frame(content: bytes) -> bytes:
    """An LZ4 frame of one block that is not compressed (bit 31 of its length), without checksum of the content."""
    begin = struct.pack("<I", 0x184D2204) + bytes([0x60, 0x40, 0x82])  # independent blocks of at most 64 KiB
    return begin + struct.pack("<I", 1 << 31 | len(content)) + content + bytes(4)


def _event_packet(rows: Sequence[Row]) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.StartVector(16, len(rows), 8)
    for x, y, t, p in reversed(rows):
        builder.Prep(8, 16)
        builder.Pad(3)
        builder.PrependBool(bool(p))
        builder.PrependInt16(y)
        builder.PrependInt16(x)
        builder.PrependInt64(t)
    elements = builder.EndVector()
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, elements, 0)
    builder.FinishSizePrefixed(builder.EndObject(), b"EVTS")
    return bytes(builder.Output())


def evt2(path: Path, rows: Sequence[Row], width: int, height: int) -> None:
    words = []
    for x, y, t, p in rows:
        words += [TIME_HIGH << 28 | t >> 6, p << 28 | (t & 63) << 22 | x << 11 | y]
    header = f"% evt 2.0\n% geometry {width}x{height}\n% end\n".encode()
    path.write_bytes(header + struct.pack(f"<{len(words)}I", *words))


def evt3(path: Path, rows: Sequence[Row], width: int, height: int) -> None:
    """Single events; two that follow each other in place and time and are of one polarity become a vector."""
    words, left = [], list(rows)
    while left:
        x, y, t, p = left.pop(0)
        words += [TIME_HIGH << 12 | t >> 12 & 0xFFF, 6 << 12 | t & 0xFFF, y]
        if left and left[0] == (x + 1, y, t, p):
            left.pop(0)
            words += [3 << 12 | p << 11 | x, 5 << 12 | 0b11]
        else:
            words += [2 << 12 | p << 11 | x]
    header = f"% evt 3.0\n% format EVT3;height={height};width={width}\n% end\n".encode()
    path.write_bytes(header + struct.pack(f"<{len(words)}H", *words))


def evt21(path: Path, rows: Sequence[Row], width: int, height: int, order: str = "legacy") -> None:
    """Two events that follow each other in place and time and are of one polarity share a word."""
    halves, left = [], list(rows)
    while left:
        x, y, t, p = left.pop(0)
        beside = bool(left) and left[0] == (x + 1, y, t, p)
        del left[:beside]
        halves += [(TIME_HIGH << 28 | t >> 6, 0), (p << 28 | (t & 63) << 22 | x << 11 | y, 1 | 2 * beside)]
    words = [half for pair in halves for half in (pair if order == "legacy" else pair[::-1])]
    header = f"% evt 2.1\n% format EVT21;endianness={order};height={height};width={width}\n% end\n".encode()
    path.write_bytes(header + struct.pack(f"<{len(words)}I", *words))


def evt21_little(path: Path, rows: Sequence[Row], width: int, height: int) -> None:
    evt21(path, rows, width, height, "little")


def dat(path: Path, rows: Sequence[Row], width: int, height: int) -> None:
    body = b"".join(struct.pack("<II", t, p << 28 | y << 14 | x) for x, y, t, p in rows)
    header = f"% Data file containing CD events\n% Version 2\n% Width {width}\n% Height {height}\n".encode()
    path.write_bytes(header + bytes([12, 8]) + body)


def npy_rows(path: Path, rows: Sequence[Row], width: int, height: int) -> None:
    np.save(path, np.array(rows, np.int64).reshape(-1, 4))


def npy_fields(path: Path, rows: Sequence[Row], width: int, height: int) -> None:
    swapped = [(t, x, y, p) for x, y, t, p in rows]
    np.save(path, np.array(swapped, [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")]))


def table(path: Path, rows: Sequence[Row], width: int, height: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Timestamp", "y", "x", "intensity", "polarity"])
        writer.writerows([t, y, x, 0.5, p] for x, y, t, p in rows)


def npz(path: Path, rows: Sequence[Row], width: int, height: int) -> None:
    x, y, t, p = np.array(rows, np.int64).reshape(-1, 4).T
    np.savez(path, x=x.astype(np.uint16), y=y.astype(np.uint16), timestamp=t, polarity=p.astype(bool))


def text(path: Path, rows: Sequence[Row], width: int, height: int) -> None:
    path.write_text("".join(f"{t} {x} {y} {p}\n" for x, y, t, p in rows))


def dsec(path: Path, rows: Sequence[Row], width: int, height: int) -> None:
    x, y, t, p = np.array(rows, np.int64).reshape(-1, 4).T
    with h5py.File(path, "w") as file:
        file["t_offset"] = 5
        for name, column, kind in (("x", x, "u2"), ("y", y, "u2"), ("t", t - 5, "i8"), ("p", p, "u1")):
            file.create_dataset(f"events/{name}", data=column.astype(kind), compression="gzip")


FORMATS: dict[str, tuple[str, Writer, tuple[int, int], bool]] = {
    "bin": (".bin", bin40, (120, 100), False),
    "aedat 2 DVS128": (".aedat", aedat2_dvs128, (128, 128), True),
    "aedat 2 DAVIS346": (".aedat", aedat2_davis, (346, 260), True),
    "aedat 2 DAVIS240": (".aedat", aedat2_davis, (240, 180), True),
    "aedat 3.1": (".aedat", aedat3, (128, 128), True),
    "aedat 4": (".aedat4", aedat4, (320, 240), True),
    "EVT 2": (".raw", evt2, (640, 480), True),
    "EVT 3": (".raw", evt3, (1280, 720), True),
    "EVT 2.1, legacy": (".raw", evt21, (1280, 720), True),
    "EVT 2.1, little": (".raw", evt21_little, (320, 320), True),
    "DAT": (".dat", dat, (640, 480), True),
    "npy, rows": (".npy", npy_rows, (64, 48), False),
    "npy, fields": (".npy", npy_fields, (64, 48), False),
    "npz": (".npz", npz, (64, 48), False),
    "csv": (".csv", table, (64, 48), False),
    "text": (".txt", text, (64, 48), False),
    "HDF5 of DSEC": (".h5", dsec, (640, 480), False),
}
"""Suffix, writer, sensor, and whether the file tells its sensor."""
