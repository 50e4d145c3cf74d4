"""Every format of recordings: written byte by byte here, read back; and files that are damaged in every way."""

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import event_files
import h5py
import numpy as np
import pytest
import tonic.io
from event_files import FORMATS, Row
from expelliarmus import Wizard
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.search.files import find_sources
from spikinghash.errors import RecordingError
from training.data.binning import events_to_frames
from training.data.recordings import (
    EVENT_DTYPE,
    SUFFIXES,
    decode_events,
    is_recording,
    load_recording,
    parse_sensor,
)

TEXT = (".csv", ".txt")
IN_PACKETS = ("aedat 3.1", "aedat 4")
GOOD: list[Row] = [(3, 7, 1000, 1), (4, 7, 1000, 1), (2, 9, 20_000, 0), (33, 1, 300_000, 1)]


@st.composite
def recordings(draw: st.DrawFn, width: int, height: int) -> list[Row]:
    pixels = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))
    times = sorted(draw(st.lists(st.integers(0, 2**23 - 1), min_size=1, max_size=20)))
    rows = [(*draw(pixels), time, draw(st.integers(0, 1))) for time in times]
    beside = [(x + 1, y, t, p) for x, y, t, p in rows[:1] if x + 1 < width]  # what EVT 3 writes as a vector
    return rows[:1] + beside + rows[1:]


def rows_of(path: Path, sensor: tuple[int, int]) -> list[Row]:
    events = load_recording(path, (*sensor, 2)).events
    return [(int(e["x"]), int(e["y"]), int(e["t"]), int(e["p"])) for e in events]


def written(folder: Path, name: str, rows: Sequence[Row] = GOOD) -> Path:
    suffix, write, sensor, _ = FORMATS[name]
    path = folder / f"one{suffix}"
    write(path, rows, *sensor)
    return path


def message(path: Path, sensor: tuple[int, int] | None = (64, 48)) -> str:
    """The one line that says why ``path`` cannot be read."""
    with pytest.raises(RecordingError) as caught:
        load_recording(path, None if sensor is None else (*sensor, 2))
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 5), max_size=20))
def test_40_bit_events_are_those_that_tonic_reads(rows: list[tuple[int, ...]]) -> None:
    """Any bytes, those that tell that the clock has wrapped round among them."""
    rows = [row if number % 3 else (row[0], 240, *row[2:]) for number, row in enumerate(rows)]
    records = np.array(rows, np.uint8).tobytes()
    expected = tonic.io.read_mnist_file(io.BytesIO(records), tonic.io.events_struct, is_stream=True)
    assert decode_events(records).dtype == expected.dtype
    assert decode_events(records).tolist() == expected.tolist()


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=10)
@given(data=st.data())
def test_a_written_file_reads_back(tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject) -> None:
    sensor = FORMATS[name][2]
    rows = data.draw(recordings(*sensor))
    path = written(tmp_path_factory.mktemp("recording"), name, rows)
    assert rows_of(path, sensor) == rows


@pytest.mark.parametrize("name", FORMATS)
def test_the_sensor_is_what_the_file_tells_else_what_the_caller_tells(tmp_path: Path, name: str) -> None:
    _, _, sensor, told = FORMATS[name]
    path = written(tmp_path, name)
    assert load_recording(path, (999, 998, 2)).sensor == ((*sensor, 2) if told else (999, 998, 2))
    if told:
        assert load_recording(path).sensor == (*sensor, 2)
    elif name != "bin":
        assert "does not tell the size of its sensor" in message(path, None)
    else:
        assert load_recording(path).sensor == (34, 34, 2)  # N-MNIST


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_recording_is_an_error(tmp_path: Path, name: str) -> None:
    assert "empty: it has 0 events" in message(written(tmp_path, name, []))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"no events here, only words\n" * 30, bytes(range(256)) * 5 + b"abc"])
def test_a_file_of_something_else_is_an_error(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    message(path)


@pytest.mark.parametrize("name", FORMATS)
def test_time_must_not_run_backwards(tmp_path: Path, name: str) -> None:
    rows = [(3, 7, 100_000, 1), (2, 9, 200_000, 0), (5, 5, 120_000, 1)]
    assert "time must not decrease" in message(written(tmp_path, name, rows))


@pytest.mark.parametrize("name", [name for name in FORMATS if not name.startswith(("aedat 2 DVS", "EVT"))])
def test_an_event_outside_the_sensor_is_an_error(tmp_path: Path, name: str) -> None:
    suffix, write, (width, height), _ = FORMATS[name]
    for axis, row in (("x", (width, 2, 90, 1)), ("y", (2, height, 90, 1))):
        path = tmp_path / f"{axis}{suffix}"
        if suffix == ".aedat":  # there the sensor's edge is not at a power of two, but its rows count down from it
            path.write_bytes(event_files.aedat2_header("DAVIS240C") + struct.pack(">II", 200 << 22 | 250 << 12, 90))
        else:
            write(path, [*GOOD[:3], (row[0], row[1], 30_000, 1)], width, height)
        assert "outside the sensor" in message(path, (width, height))


@pytest.mark.parametrize("name", [name for name in FORMATS if name.startswith("EVT")])
def test_evt_leaves_out_events_outside_the_sensor_that_it_tells(tmp_path: Path, name: str) -> None:
    width, height = FORMATS[name][2]
    path = written(tmp_path, name, [*GOOD[:3], (width, 2, 30_000, 1), (2, height, 30_000, 1), *GOOD[3:]])
    assert rows_of(path, (1, 1)) == GOOD
    assert load_recording(path).notes == (
        f"2 of 6 events lie outside the sensor of {width}x{height} and were left out",
    )


@pytest.mark.parametrize("name", FORMATS)
def test_events_a_little_late_are_put_in_order(tmp_path: Path, name: str) -> None:
    width, height = FORMATS[name][2]
    rows = [(3, 7, 100_000, 1), (2, 9, 200_000, 0), (5, 5, 190_000, 1), (6, 5, 199_999, 1), (6, 5, 200_000, 1)]
    found = load_recording(written(tmp_path, name, rows), (width, height, 2))
    assert found.events["x"].tolist() == [3, 5, 6, 2, 6]
    assert found.notes == ("2 of 5 events came up to 10000 us late and were put in order of time",)
    path = written(tmp_path, name, [(3, 7, 100_000, 1), (2, 9, 200_000, 0), (5, 5, 189_999, 1)])
    assert "event 2: t = 189999 us, 10001 us before an earlier event" in message(path, (width, height))
    assert load_recording(path, (width, height, 2), sort=True).events["x"].tolist() == [3, 5, 2]


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in IN_PACKETS])
def test_a_file_that_ends_within_an_event_is_an_error(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name)
    whole = path.read_bytes()
    path.write_bytes(whole[: -1 if path.suffix not in TEXT else -6])  # cut in a number: the last line is short
    assert message(path)


@pytest.mark.parametrize("name", IN_PACKETS)
def test_a_file_that_ends_within_a_packet_gives_the_whole_ones(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name)
    path.write_bytes(path.read_bytes()[:-1])
    assert rows_of(path, (1, 1)) == GOOD[:2]
    assert load_recording(path).notes == ("it ends within a packet: the 1 whole packets of events before it were read",)


def test_a_file_cut_anywhere_is_read_in_part_or_an_error(tmp_path: Path) -> None:
    """And comes back at all: some readers of Prophesee's files do not."""
    for name in FORMATS:
        path = written(tmp_path, name)
        whole = path.read_bytes()
        sensor = FORMATS[name][2]
        for length in range(0, len(whole), max(1, len(whole) // 60)):
            path.write_bytes(whole[:length])
            try:
                found = rows_of(path, sensor)
            except RecordingError:
                continue
            whole_numbers = found if path.suffix not in TEXT else found[:-1]  # of text, a number can be cut short
            assert whole_numbers == GOOD[: len(whole_numbers)]


@settings(max_examples=60)
@given(data=st.data(), name=st.sampled_from([name for name in FORMATS if not name.startswith("HDF5")]))
def test_damaged_bytes_give_events_inside_the_sensor_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str
) -> None:
    path = written(tmp_path_factory.mktemp("damaged"), name)
    content = bytearray(path.read_bytes())
    start = content.index(b"</dv>") if path.suffix == ".aedat4" else 0  # its XML has a test of its own
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(start, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        recording = load_recording(path, (*FORMATS[name][2], 2))
    except RecordingError:
        return
    assert recording.events["x"].max() < recording.sensor[0]
    assert np.all(np.diff(recording.events["t"]) >= 0)


# --- one format each ----------------------------------------------------------------------------------------------


def test_an_unknown_suffix_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    assert "suffix '.mp4' is no format of recordings; use .bin, .aedat," in message(tmp_path / "film.mp4")


def test_a_folder_or_a_huge_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "folder.bin").mkdir()
    with (tmp_path / "huge.raw").open("wb") as file:
        file.truncate(2**31)
    assert "folder.bin: not a file" in message(tmp_path / "folder.bin")
    assert "huge.raw: 2147483648 bytes, at most 268435456 are read; cut the" in message(tmp_path / "huge.raw")


def test_a_name_stands_for_the_path(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"^query: cannot be read"):
        load_recording(tmp_path / "none.bin", name="query")


def test_clocks_of_aedat_3_are_carried_by_the_packets(tmp_path: Path) -> None:
    path = written(tmp_path, "aedat 3.1")
    head = struct.pack("<hhiiiiii", 1, 1, 8, 4, 1, 1, 1, 1)
    path.write_bytes(path.read_bytes() + head + struct.pack("<Ii", 5 << 17 | 6 << 2 | 1, 7))
    assert rows_of(path, (1, 1)) == [*GOOD, (5, 6, 2**31 + 7, 0)]


def test_aedat_3_in_other_forms_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "aedat 3.1")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"RAW", b"Compressed"))
    assert "'Compressed'; RAW is read" in message(path)
    path.write_bytes(whole[:40])
    assert "truncated: its header does not end" in message(path)
    path.write_bytes(whole.replace(struct.pack("<hhi", 1, 1, 8), struct.pack("<hhi", 1, 1, 12)))
    assert "damaged: byte 0 of its body begins a packet of 3 events of 12 bytes" in message(path)


def test_an_unknown_chip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "chip.aedat"
    path.write_bytes(event_files.aedat2_header("Cochlea64") + bytes(8))
    assert "Cochlea64' is unknown; known are DVS128, DAVIS240, DAVIS346" in message(path)


def test_a_file_that_names_no_chip_is_of_a_dvs128_if_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "old.aedat"
    path.write_bytes(event_files.aedat2_header("") + struct.pack(">II", 1 << 8 | 2 << 1 | 1, 5))
    assert rows_of(path, (128, 128)) == [(125, 126, 5, 0)]  # 127 - 2, 127 - 1; a set bit is OFF
    assert np.array_equal(load_recording(path).events, load_recording(path, (128, 128, 2)).events)


@pytest.mark.parametrize("sensor", [(346, 260), (240, 180)])
def test_a_file_that_names_no_chip_takes_it_from_the_sensor(tmp_path: Path, sensor: tuple[int, int]) -> None:
    """As v2e writes it."""
    path = tmp_path / "davis.aedat"
    event_files.aedat2_davis(path, GOOD, *sensor)
    path.write_bytes(path.read_bytes().replace(b"# AEChip", b"# Chipless"))
    assert rows_of(path, sensor) == GOOD
    assert "event 0: address 0x" in (text := message(path, None))
    assert "--sensor WIDTHxHEIGHT" in text


@pytest.mark.parametrize("name", ["aedat 2 DVS128", "DAT", "EVT 2"])
def test_clocks_wrap(tmp_path: Path, name: str) -> None:
    bits = 34 if name == "EVT 2" else 32
    path = written(tmp_path, name, [(1, 2, (1 << bits) - 5, 1)])
    before = path.read_bytes()
    after = written(tmp_path, name, [(3, 4, 7, 0)]).read_bytes()
    path.write_bytes(before + after[-8:])
    assert rows_of(path, (128, 128)) == [(1, 2, (1 << bits) - 5, 1), (3, 4, (1 << bits) + 7, 0)]


@pytest.mark.parametrize("position", [14, "packet"])
def test_a_length_of_2_gigabytes_in_aedat_4_is_an_error(tmp_path: Path, position: int | str) -> None:
    path = written(tmp_path, "aedat 4")
    content = bytearray(path.read_bytes())
    header = int.from_bytes(content[14:18], "little")
    at = position if isinstance(position, int) else 18 + header + 4
    content[at : at + 4] = struct.pack("<I", 2**31 - 1)
    path.write_bytes(content)
    assert "truncated" in message(path) or "damaged" in message(path)


def test_a_length_of_2_gigabytes_in_npy_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "long.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (67_108_864, 4)})
        file.write(bytes(64))
    assert "damaged" in message(path)


@pytest.mark.parametrize("header", ["{'descr': [('t', '<u8'), \0'x'", "{'descr': 3, 'shape': (1, 4)}", "{[", ""])
def test_a_damaged_header_of_npy_is_an_error(tmp_path: Path, header: str) -> None:
    """NumPy reads it as Python, which fails in many ways."""
    path = written(tmp_path, "npy, fields")
    content = path.read_bytes()
    path.write_bytes(content[:10] + header.encode().ljust(117) + b"\n" + content[128:])
    assert "damaged" in message(path)


@pytest.mark.parametrize("length", [2**28 + 1, 3_126_461_602, 2**32 - 1])
def test_an_absurd_packet_of_aedat_4_is_refused_before_memory_is_taken(tmp_path: Path, length: int) -> None:
    """The library aborts the process where it does not get as much memory as a packet claims."""
    path = written(tmp_path, "aedat 4")
    content = path.read_bytes()
    start = 18 + int.from_bytes(content[14:18], "little")
    path.write_bytes(content[: start + 4] + length.to_bytes(4, "little") + content[start + 8 :])
    assert f"damaged: byte {start} begins a packet of {length} bytes, at most 268435456 are read" in message(path)


def test_what_a_damaged_header_cites_is_short(tmp_path: Path) -> None:
    path = written(tmp_path, "aedat 2 DVS128")
    path.write_bytes(path.read_bytes().replace(b"DVS128\r\n", b"x" * 9000 + b"\r\n"))
    assert len(message(path)) < 1000
    path = written(tmp_path, "aedat 3.1")
    path.write_bytes(path.read_bytes().replace(b"RAW", b"x" * 9000))
    assert len(message(path)) < 1000


def test_damaged_xml_in_aedat_4_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "aedat 4")
    path.write_bytes(path.read_bytes().replace(b'<node name="info"', b'<node name="info'))
    assert "its streams are not described" in message(path)


def test_one_of_several_streams_of_aedat_4_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "stereo.aedat4"
    event_files.aedat4(path, GOOD, 64, 48)
    content = path.read_bytes()
    node = content[content.index(b'<node name="0"') : content.index(b"</node></dv>")]
    other = node.replace(b'<node name="0"', b'<node name="1"').replace(b"outInfo/0/", b"outInfo/1/")
    named = other.replace(b"<attr", b'<attr key="originalOutputName" type="string">right</attr><attr', 1)
    event_files.aedat4(path, GOOD, 64, 48, more=named.decode())
    assert "2 streams of events: 0 (no name), 1 (right); choose one: --stream NUMBER or NAME" in message(path)
    assert len(load_recording(path, stream="0").events) == len(GOOD)
    for name in ("1", "right"):
        with pytest.raises(RecordingError, match="empty"):
            load_recording(path, stream=name)
    with pytest.raises(RecordingError, match="--stream left: 0 such streams of events; it has 0"):
        load_recording(path, stream="left")


def test_aedat_4_without_events_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "frames.aedat4"
    event_files.aedat4(path, [], 64, 48, streams="FRME")
    assert "it has no stream of events" in message(path)


def test_an_uncompressed_aedat_4_reads_the_same(tmp_path: Path) -> None:
    event_files.aedat4(tmp_path / "plain.aedat4", GOOD, 64, 48, lz4=False)
    assert rows_of(tmp_path / "plain.aedat4", (1, 1)) == GOOD


@pytest.mark.parametrize(("name", "encoding"), [("EVT 2", "evt2"), ("EVT 3", "evt3"), ("DAT", "dat")])
def test_expelliarmus_reads_the_same(tmp_path: Path, name: str, encoding: str) -> None:
    times = (5000, 5000, 6000, 8000)  # of one upper part of EVT 3's clock: expelliarmus errs where it changes
    path = written(tmp_path, name, [(x, y, t, p) for (x, y, _, p), t in zip(GOOD, times, strict=True)])
    found = Wizard(encoding=encoding).read(path)
    assert [(int(e["x"]), int(e["y"]), int(e["t"]), int(e["p"])) for e in found] == rows_of(path, (1, 1))


def test_the_clock_of_evt_3_wraps(tmp_path: Path) -> None:
    path = tmp_path / "wrap.raw"
    high, low = 8 << 12, 6 << 12
    words = [high | 4095, low | 4095, 7, 2 << 12 | 9, high | 0, low | 1, 2 << 12 | 10]
    path.write_bytes(b"% evt 3.0\n% geometry 64x48\n% end\n" + struct.pack("<7H", *words))
    assert rows_of(path, (1, 1)) == [(9, 7, 2**24 - 1, 0), (10, 7, 2**24 + 1, 0)]


def test_evt_3_events_count_from_a_changed_upper_part_of_the_time(tmp_path: Path) -> None:
    path = tmp_path / "low.raw"
    high, low = 8 << 12, 6 << 12
    words = [2 << 12 | 1, high | 1, low | 20, 7, 2 << 12 | 9, high | 1, 2 << 12 | 10, high | 2, 2 << 12 | 11]
    path.write_bytes(b"% evt 3.0\n% geometry 64x48\n% end\n" + struct.pack("<9H", *words))
    assert rows_of(path, (1, 1)) == [(9, 7, 4116, 0), (10, 7, 4116, 0), (11, 7, 8192, 0)]  # none before the clock


def test_evt_3_vectors_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "vectors.raw"
    words = [8 << 12, 6 << 12, 7, 3 << 12 | 1 << 11 | 5, 4 << 12 | 0b1000_0000_0001, 5 << 12 | 0b101, 4 << 12 | 0b10]
    path.write_bytes(b"% evt 3.0\n% geometry 64x48\n% end\n" + struct.pack("<7H", *words))
    assert rows_of(path, (1, 1)) == [(x, 7, 0, 1) for x in (5, 16, 17, 19, 26)]  # 5 + 12 + 8 columns


def test_evt_3_blocks_that_pass_the_edge_are_left_out_with_what_follows_on_their_base(tmp_path: Path) -> None:
    """As OpenEB's decoder does, which takes three words for one block of 32 columns."""
    path = tmp_path / "edge.raw"
    block = [4 << 12 | 1, 4 << 12 | 1, 5 << 12 | 1]
    clock = [8 << 12, 6 << 12, 7]
    words = [*clock, 3 << 12 | 0, *block, *block, *block, 3 << 12 | 32, *block, 2 << 12 | 4, 4 << 12 | 1]
    path.write_bytes(b"% evt 3.0\n% geometry 64x48\n% end\n" + struct.pack(f"<{len(words)}H", *words))
    assert [row[0] for row in rows_of(path, (1, 1))] == [0, 12, 24, 32, 44, 56, 32, 44, 56, 4]
    assert load_recording(path).notes == ("4 of 14 events lie outside the sensor of 64x48 and were left out",)


@pytest.mark.parametrize(("system", "sensor"), [(49, (1280, 720, 2)), (28, (640, 480, 2))])
def test_old_raw_files_tell_their_sensor_by_their_system(
    tmp_path: Path, system: int, sensor: tuple[int, int, int]
) -> None:
    path = tmp_path / "old.raw"
    event_files.evt2(path, GOOD, 64, 48)
    path.write_bytes(path.read_bytes().replace(b"% geometry 64x48", f"% system_ID {system}".encode()))
    assert load_recording(path).sensor == sensor
    path.write_bytes(path.read_bytes().replace(f"% system_ID {system}".encode(), b"% system_ID 7"))
    assert "--sensor WIDTHxHEIGHT" in message(path, None)


@pytest.mark.parametrize("order", ["legacy", "little"])
def test_the_word_order_of_evt_21_is_seen_where_the_header_does_not_tell_it(tmp_path: Path, order: str) -> None:
    path = tmp_path / "one.raw"
    event_files.evt21(path, GOOD, 64, 48, order)
    path.write_bytes(path.read_bytes().replace(f"endianness={order};".encode(), b""))
    assert rows_of(path, (1, 1)) == GOOD
    assert order in load_recording(path).notes[0]


def test_triggers_in_dat_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "triggers.dat"
    path.write_bytes(b"% Version 2\n" + bytes([14, 8]) + bytes(16))
    assert "[14, 8]" in message(path)


def test_a_raw_file_of_no_known_encoding_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "one.raw"
    path.write_bytes(b"% geometry 64x48\n% end\n" + bytes(64))
    assert "encoding none in its header" in message(path)


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        (["x,y,t,p", "1,2,3,1", "1,2,nan,1"], ["line 3", "t = 'nan'"]),
        (["x,y,t,p", "1,2,3,1", "", "1,2.5,4,1"], ["event 1", "y = 2.5"]),
        (["x,y,t,p", "1,2,3"], ["line 2", "p = ''"]),
        (["1,2,3,1,0", "1,2,4,1,0"], ["line 1", "no column x, y, t, p", "'1 2 3 1 0'"]),
        (["1 2 3 1", "1 2 word 1"], ["line 2", "y = 'word'"]),
        (["x,y,t", "1,2,3"], ["line 1", "no column p"]),
        (["x,y,t,p", "70000,2,3,1"], ["event 0", "x = 70000"]),
        (["x,y,t,p", "1,2,3,1", "1,2,4,7"], ["event 1", "p = 7"]),
        (["x,y,t,p", "1,2,99999999999999999999999,1"], ["t = 1e+23"]),
    ],
)
def test_a_bad_line_of_a_table_is_named(tmp_path: Path, lines: list[str], parts: list[str]) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(lines) + "\n")
    text = message(path)
    assert [part for part in parts if part not in text] == []


@pytest.mark.parametrize(
    ("array", "parts"),
    [
        (np.array([[1, 2, np.nan, 1]]), ["event 0", "t = nan", "whole number of microseconds"]),
        (np.array([[1, 2, 3.0, 1], [1, 2, 3.5, 1]]), ["event 1", "t = 3.5"]),
        (np.array([[1, 2, np.inf, 1]]), ["event 0", "t = inf"]),
        (np.zeros((4, 5)), ["shape (4, 5)", "rows of x, y, t, p"]),
        (np.array([["a", "b", "c", "d"]]), ["numbers are needed"]),
        (np.array([[1, 2, 3, None]], object), ["damaged"]),
        (np.array([[1, 2, 3, 4]]), ["event 0", "p = 4"]),
    ],
)
def test_a_bad_array_is_named(tmp_path: Path, array: np.ndarray, parts: list[str]) -> None:
    path = tmp_path / "bad.npy"
    np.save(path, array, allow_pickle=True)
    text = message(path)
    assert [part for part in parts if part not in text] == []


@pytest.mark.parametrize(
    "lines",
    [
        ["x,y,t,p", "3,7,1000,True", "4,8,60000,False"],
        ["t,x@64,y@48,on", "1000,3,7,1", "60000.0,4,8,0"],
        ["0.001 3 7 1", "0.06 4 8 -1"],
        ["0.001,3,7,1", "0.06,4,8,0"],
        ["64 48", "1000 3 7 1", "60000 4 8 0"],
        ["# timestamp x y polarity", "1000 3 7 1", "60000 4 8 0"],
    ],
)
def test_tables_as_others_write_them(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "one.txt"
    path.write_text("\n".join(lines))
    assert rows_of(path, (64, 48)) == [(3, 7, 1000, 1), (4, 8, 60_000, 0)]
    if "64" in lines[0]:
        assert load_recording(path).sensor == (64, 48, 2)


@pytest.mark.parametrize(
    "kinds",
    [
        [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), (("p", "on"), "?")],  # of the package aedat
        [("timestamp", "<i8"), ("x", "<i2"), ("y", "<i2"), ("polarity", "i1")],  # of dv-processing
        [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")],  # of event_stream
    ],
)
def test_fields_have_the_names_that_libraries_give_them(tmp_path: Path, kinds: list[Any]) -> None:
    array = np.zeros(1, kinds)
    array[0] = (1000, 3, 7, 1)
    np.save(tmp_path / "one.npy", array)
    assert rows_of(tmp_path / "one.npy", (64, 48)) == [(3, 7, 1000, 1)]


@pytest.mark.parametrize(("kind", "attributes"), [("f8", {}), ("f4", {"units": "s"}), ("i8", {"units": "ns"})])
def test_times_of_hdf5_have_units(tmp_path: Path, kind: str, attributes: dict[str, str]) -> None:
    path = tmp_path / "rpg.h5"
    times = np.array([0.25, 0.5])
    with h5py.File(path, "w") as file:
        file.attrs["sensor_resolution"] = (180, 240)
        for name, column in (("xs", [3, 4]), ("ys", [7, 8]), ("ps", [True, False])):
            file[f"events/{name}"] = column
        file["events/ts"] = (times * 1e9 if kind == "i8" else times).astype(kind)
        file["events/ts"].attrs.update(attributes)
    assert rows_of(path, (1, 1)) == [(3, 7, 250_000, 1), (4, 8, 500_000, 0)]
    assert load_recording(path).sensor == (240, 180, 2)


def test_arrays_that_are_no_columns_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", x=[1], y=[2], t=[3])
    assert "no array p in it, but t, x, y" in message(tmp_path / "one.npz")
    np.savez(tmp_path / "two.npz", x=[1], y=[2], t=[3], p=[1, 0])
    assert "arrays of shapes [(1,), (2,)]" in message(tmp_path / "two.npz")


def test_all_events_of_coarse_times_are_used() -> None:
    events = np.zeros(16, EVENT_DTYPE)
    events["t"], events["x"], events["y"] = np.arange(16), np.arange(16) % 8, np.arange(16) % 8
    assert events_to_frames(events, (8, 8, 2), 8, 8).sum(axis=(1, 2, 3)).tolist() == [2] * 8


def test_polarities_may_be_minus_1_and_1(tmp_path: Path) -> None:
    np.save(tmp_path / "signed.npy", np.array([[1, 2, 3, -1], [1, 2, 4, 1]]))
    assert [row[3] for row in rows_of(tmp_path / "signed.npy", (64, 48))] == [0, 1]


def test_a_recording_becomes_frames_of_its_own_sensor(tmp_path: Path) -> None:
    path = written(tmp_path, "aedat 4", [(0, 40, 0, 1), (319, 279 - 40, 100, 0), (5, 5, 101, 1)])
    found = load_recording(path).frames(2, 32)
    events = load_recording(path).events
    assert np.array_equal(found, events_to_frames(events, (320, 240, 2), 2, 32))
    assert found[0, 0, 8, 0] == 1  # 320x240 lies in the middle of 320x320: row (40 + 40) / 10


@pytest.mark.parametrize("text", ["346", "346x", "x", "0x5", "-3x4", "3.5x4", "axb"])
def test_a_sensor_is_named_as_width_and_height(text: str) -> None:
    assert parse_sensor("346x260") == (346, 260, 2)
    with pytest.raises(RecordingError, match="WIDTHxHEIGHT in pixels is needed, as 346x260"):
        parse_sensor(text)


def test_a_note_in_a_folder_is_no_recording(tmp_path: Path) -> None:
    notes, events = tmp_path / "README.txt", tmp_path / "events.txt"
    notes.write_text("the recordings of May\n")
    events.write_text("".join(f"{time} 3 4 1\n" for time in range(0, 5000, 500)))
    (tmp_path / "folder.bin").mkdir()
    assert [path for path in sorted(tmp_path.iterdir()) if is_recording(path)] == [events]
    assert [source.path for source in find_sources(tmp_path)] == [events]
