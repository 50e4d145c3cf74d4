"""Every format of recordings: written byte by byte here, read back; and files that are damaged in every way."""

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import event_files
import numpy as np
import pytest
import tonic.io
from event_files import FORMATS, Row
from expelliarmus import Wizard
from hypothesis import given, settings
from hypothesis import strategies as st

from spikinghash.errors import RecordingError
from training.data.binning import events_to_frames
from training.data.recordings import SUFFIXES, decode_events, load_recording, parse_sensor, recording_frames

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


@pytest.mark.parametrize("name", [name for name in FORMATS if not name.startswith("aedat 2 DVS")])
def test_an_event_outside_the_sensor_is_an_error(tmp_path: Path, name: str) -> None:
    suffix, write, (width, height), _ = FORMATS[name]
    for axis, row in (("x", (width, 2, 90, 1)), ("y", (2, height, 90, 1))):
        path = tmp_path / f"{axis}{suffix}"
        if suffix == ".aedat":  # there the sensor's edge is not at a power of two, but its rows count down from it
            path.write_bytes(event_files.aedat2_header("DAVIS240C") + struct.pack(">II", 200 << 22 | 250 << 12, 90))
        else:
            write(path, [*GOOD[:3], (row[0], row[1], 30_000, 1)], width, height)
        assert "outside the sensor" in message(path, (width, height))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_ends_within_an_event_is_an_error(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name)
    whole = path.read_bytes()
    path.write_bytes(whole[: -1 if path.suffix != ".csv" else -6])  # cut in the last number of a line: line 5 is short
    assert message(path)


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
            whole_numbers = found if path.suffix != ".csv" else found[:-1]  # of text, a number can be cut short
            assert whole_numbers == GOOD[: len(whole_numbers)]


@settings(max_examples=60)
@given(data=st.data(), name=st.sampled_from(sorted(FORMATS)))
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


def test_aedat_3_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new.aedat"
    path.write_bytes(b"#!AER-DAT3.1\r\n#Format: RAW\r\n" + bytes(64))
    assert "no AEDAT 2.0 file: it begins with b'#!AER-DAT3.1'" in message(path)


def test_an_unknown_chip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "chip.aedat"
    path.write_bytes(event_files.aedat2_header("Cochlea64") + bytes(8))
    assert "Cochlea64' is unknown; known are DVS128, DAVIS240, DAVIS346" in message(path)


def test_a_file_that_names_no_chip_is_of_a_dvs128(tmp_path: Path) -> None:
    path = tmp_path / "old.aedat"
    path.write_bytes(event_files.aedat2_header("") + struct.pack(">II", 1 << 8 | 2 << 1 | 1, 5))
    assert rows_of(path, (1, 1)) == [(125, 126, 5, 0)]  # 127 - 2, 127 - 1; a set bit is OFF


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


def test_damaged_xml_in_aedat_4_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "aedat 4")
    path.write_bytes(path.read_bytes().replace(b'<node name="info"', b'<node name="info'))
    assert "its streams are not described" in message(path)


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
        (["x,y,t,p", "1,2,3,1", "", "1,2.5,4,1"], ["line 4", "y = '2.5'"]),
        (["x,y,t,p", "1,2,3"], ["line 2", "p = ''"]),
        (["1,2,3,1", "1,2,4,1"], ["line 1", "no column x, y, t, p", "'1,2,3,1'"]),
        (["x,y,t", "1,2,3"], ["line 1", "no column p"]),
        (["x,y,t,p", "70000,2,3,1"], ["event 0", "x = 70000"]),
        (["x,y,t,p", "1,2,3,1", "1,2,4,7"], ["event 1", "p = 7"]),
        (["x,y,t,p", "1,2,99999999999999999999999,1"], ["999"]),
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


def test_polarities_may_be_minus_1_and_1(tmp_path: Path) -> None:
    np.save(tmp_path / "signed.npy", np.array([[1, 2, 3, -1], [1, 2, 4, 1]]))
    assert [row[3] for row in rows_of(tmp_path / "signed.npy", (64, 48))] == [0, 1]


def test_a_recording_becomes_frames_of_its_own_sensor(tmp_path: Path) -> None:
    path = written(tmp_path, "aedat 4", [(0, 40, 0, 1), (319, 279 - 40, 100, 0), (5, 5, 101, 1)])
    found = recording_frames(path, 2, 32)
    events = load_recording(path).events
    assert np.array_equal(found, events_to_frames(events, (320, 240, 2), 2, 32))
    assert found[0, 0, 8, 0] == 1  # 320x240 lies in the middle of 320x320: row (40 + 40) / 10


@pytest.mark.parametrize("text", ["346", "346x", "x", "0x5", "-3x4", "3.5x4", "axb"])
def test_a_sensor_is_named_as_width_and_height(text: str) -> None:
    assert parse_sensor("346x260") == (346, 260, 2)
    with pytest.raises(RecordingError, match="WIDTHxHEIGHT in pixels is needed, as 346x260"):
        parse_sensor(text)
