"""Live streams: what comes in parts is what the whole file holds, and windows are those of the file."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dv_processing as dv
import hypothesis.strategies as st
import numpy as np
import pytest
from event_files import FORMATS, Row
from hypothesis import given, settings
from live_cases import SENSOR, WINDOW, Listed, as_events, await_listener, digits

from deploy.backends.encoders import load_encoder
from deploy.live.pump import Pump
from deploy.live.source import NOTHING
from deploy.live.sources.dv_network import DvNetwork
from deploy.live.sources.udp import UdpSource
from deploy.live.windows import MOST_EVENTS, Window, Windower
from spikinghash.errors import RecordingError
from spikinghash.resources import example
from training.data.binning import events_to_frames
from training.data.events import EVENT_DTYPE, Events, SensorSize
from training.data.formats.parts import parts_of
from training.data.recordings import load_recording
from training.data.windows import Windows

ENCODER = Path(__file__).parents[1] / "checkpoints" / "digits.onnx"
COMMAND = [sys.executable, "-m", "deploy.live"]


def rows_of(count: int, seed: int = 0, step: int = 40) -> list[Row]:
    generator = np.random.default_rng(seed)
    times = np.sort(generator.integers(0, step * count, count))
    columns = generator.integers(0, 34, count), generator.integers(0, 34, count), times, generator.integers(0, 2, count)
    return [tuple(row) for row in np.stack(columns, 1).tolist()]


def expected(events: Events, encoder_path: Path, sensor: SensorSize = SENSOR) -> list[str | None]:
    """Codes of all windows of a finished recording that hold events."""
    encoder, found = load_encoder(encoder_path), []
    for start in range(int(events["t"][0]), int(events["t"][-1]) + 1, WINDOW):
        part = events[(events["t"] >= start) & (events["t"] < start + WINDOW)]
        frames = events_to_frames(part, sensor, encoder.time_steps, encoder.size)
        found.append(encoder.encode(frames[None])[0].tobytes().hex())
    return found


def codes(output: str) -> list[str | None]:
    return [json.loads(line)["code"] for line in output.splitlines()]


def command(*options: object, encoder: Path, window: float = WINDOW / 1000) -> list[str]:
    return [*COMMAND, *map(str, options), "--encoder", str(encoder), "--window", f"{window:g}", "--json"]


@pytest.mark.parametrize("name", ["bin", "EVT 2", "EVT 3", "EVT 2.1, legacy", "EVT 2.1, little", "DAT"])
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 1200), max_size=12), seed=st.integers(0, 9))
def test_parts_are_what_the_whole_file_is(
    name: str, cuts: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    suffix, write, sensor, _ = FORMATS[name]
    path = tmp_path_factory.mktemp("parts") / f"a{suffix}"
    write(path, rows_of(80, seed), *sensor)
    content, edges = path.read_bytes(), sorted(cuts)
    decoder = parts_of(suffix, "stream")
    pieces = [content[a:b] for a, b in zip([0, *edges], [*edges, len(content)], strict=True)]
    found = np.concatenate([*map(decoder.decode, pieces), decoder.decode(b"", last=True)])
    assert np.array_equal(found, load_recording(path, (*sensor, 2)).events)


def test_clocks_that_wrap_are_unwrapped_from_part_to_part(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    overflow = bytes([0, 240, 0, 0, 0])
    path.write_bytes(bytes([1, 1, 0, 0, 9]) + 2 * overflow + bytes([2, 2, 0, 0, 9]) + overflow + bytes([3, 3, 0, 0, 9]))
    decoder = parts_of(".bin", "stream")
    parts = [decoder.decode(path.read_bytes()[start : start + 4]) for start in range(0, 30, 4)]
    assert np.concatenate(parts)["t"].tolist() == load_recording(path).events["t"].tolist() == [9, 16393, 24585]


@pytest.mark.parametrize("content", [b"\x00\x01", b"% evt 4.0\n% end\n\x00\x00", b"%" + bytes(70_000)])
def test_a_stream_of_another_format_is_told(content: bytes) -> None:
    with pytest.raises(RecordingError, match="stream: "):
        parts_of(".raw", "stream").decode(content)


@settings(max_examples=40)
@given(
    times=st.lists(st.integers(0, 3_000), min_size=1, max_size=60),
    length=st.integers(1, 900),
    hop=st.integers(1, 900),
    cut=st.integers(0, 60),
)
def test_windows_hold_the_events_of_their_time(times: list[int], length: int, hop: int, cut: int) -> None:
    events = np.zeros(len(times), EVENT_DTYPE)
    events["t"] = sorted(times)
    windower = Windower(Windows(length, hop))
    parts = [*windower.push(events[:cut]), *windower.push(events[cut:]), *windower.finish()]
    first = min(times)
    plain = {
        start: [t for t in sorted(times) if start <= t < start + length] for start in range(first, max(times) + 1, hop)
    }
    assert {one.start: one.events["t"].tolist() for one in parts} == {key: held for key, held in plain.items() if held}
    assert windower.late == 0


def test_late_events_get_their_place_or_are_counted() -> None:
    windower = Windower(Windows(100, 100))
    first, late = as_events([(0, 0, 10, 1), (0, 0, 80, 1)]), as_events([(1, 0, 40, 1)])
    assert list(windower.push(first)) == []
    assert list(windower.push(late)) == []
    (window,) = windower.push(as_events([(0, 0, 115, 1)]))
    assert window.events["t"].tolist() == [10, 40, 80]
    assert list(windower.push(as_events([(0, 0, 109, 1)]))) == []
    assert windower.late == 1


def test_a_silent_hour_is_not_walked_through() -> None:
    windower = Windower(Windows(100, 1))
    before = list(windower.push(as_events([(0, 0, 0, 1)])))
    after = list(windower.push(as_events([(0, 0, 10**15, 1)])))
    assert (len(before), len(after)) == (0, 1)
    assert [one.start for one in windower.finish()] == list(range(10**15 - 99, 10**15 + 1))


def test_a_clock_that_stands_still_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_EVENTS * EVENT_DTYPE.itemsize < 2**28
    monkeypatch.setattr("deploy.live.windows.MOST_EVENTS", 1000)
    windower = Windower(Windows(100, 100))
    for _ in range(50):
        assert list(windower.push(as_events([(0, 0, 5, 1)] * 100))) == []
    (window,) = windower.finish()
    assert len(window.events) + windower.left_out >= 5000 > len(window.events) + 3900


def pumped(chunks: list[Events], *, waits: bool = True, before: float = 0) -> tuple[list[Window], Pump]:
    with Pump(Listed(chunks, waits=waits), Windows(100, 100), pending=4, silence=0) as pump:
        time.sleep(before)
        return [one.window for one in pump], pump


def test_windows_are_dropped_whole_where_the_encoder_is_slower_than_a_camera() -> None:
    chunks = [as_events([(0, 0, 100 * number, 1), (1, 0, 100 * number + 50, 1)]) for number in range(50)]
    windows, pump = pumped(chunks, waits=False, before=0.5)
    assert pump.dropped == 46
    assert [one.start for one in windows] == [0, 100, 200, 300]
    assert all(len(one.events) == 2 for one in windows)
    windows, pump = pumped(chunks, waits=True)
    assert (len(windows), pump.dropped) == (50, 0)


def test_a_clock_that_is_set_back_begins_anew() -> None:
    chunks = [as_events([(0, 0, 10**9, 1)]), as_events([(0, 0, 7, 1), (99, 0, 8, 1)]), as_events([(0, 0, 9, 1)])]
    windows, pump = pumped(chunks)
    assert [one.events["t"].tolist() for one in windows] == [[10**9], [7, 9]]
    assert (pump.restarts, pump.outside, pump.late) == (1, 1, 0)


def test_a_source_that_fails_is_told_where_windows_are_awaited() -> None:
    def failing() -> Any:
        yield as_events([(0, 0, 1, 1)])
        raise RecordingError("broken")

    source = Listed([], waits=True)
    source._chunks = failing()
    with Pump(source, Windows(100, 100), pending=4, silence=0) as pump, pytest.raises(RecordingError, match="broken"):
        list(pump)


def test_silence_ends_a_stream() -> None:
    source = Listed([as_events([(0, 0, 1, 1)])], waits=True)

    def quiet() -> Iterator[Events]:
        yield as_events([(0, 0, 1, 1)])
        while True:
            time.sleep(0.01)
            yield NOTHING

    source.__class__ = type("Quiet", (Listed,), {"__iter__": lambda self: quiet()})
    with Pump(source, Windows(100, 100), pending=4, silence=0.2) as pump:
        assert len(list(pump)) == 1
    assert pump.silent


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a.raw"
    FORMATS["EVT 3"][1](path, digits(), 34, 34)
    return path


def test_standard_input_gives_the_codes_of_the_file(recording: Path) -> None:
    events = load_recording(recording).events
    done = subprocess.run(
        command("-", "--format", "raw", encoder=ENCODER), input=recording.read_bytes(), capture_output=True
    )
    assert done.returncode == 0, done.stderr
    found = codes(done.stdout.decode())
    assert found == expected(events, ENCODER)
    assert len(found) == 10
    assert len(set(found)) > 7


def test_the_nearest_recording_of_each_window_is_told(tmp_path: Path) -> None:
    """An encoder by its name, and the sensor of N-MNIST where its format is asked for, as of files."""
    one = example("7")
    build = [sys.executable, "-m", "deploy.search", "build", one.parents[1], "--encoder", "digits"]
    subprocess.run([*build, "--index", tmp_path / "index"], check=True, capture_output=True)
    asked = [*COMMAND, "-", "--format", "bin", "--encoder", "digits", "--index", tmp_path / "index", "--window", "300"]
    done = subprocess.run(asked, input=one.read_bytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.decode().splitlines()
    assert line.startswith("8ed1c341 ")
    assert line.split()[-3:] == ["7", "0", str(one)]


def test_a_growing_file_gives_the_codes_of_the_file_and_ends_with_silence(recording: Path, tmp_path: Path) -> None:
    growing, content = tmp_path / "growing.raw", recording.read_bytes()
    growing.write_bytes(content[:20_000])
    with subprocess.Popen(
        command(growing, "--silence", 2, encoder=ENCODER), stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        with growing.open("ab") as file:
            file.write(content[20_000:])
        rest, said = process.stdout.read(), process.stderr.read()
    assert codes(first + rest) == expected(load_recording(recording).events, ENCODER)
    assert "nothing came for 2 s" in said
    assert process.returncode == 0


def aestream_file(path: Path, rows: Sequence[Row]) -> None:
    """AEDAT 4 with the table of packets that AEStream needs, written by dv-processing."""
    store = dv.EventStore()
    for x, y, t, p in rows:
        store.push_back(t, x, y, bool(p))
    writer = dv.io.MonoCameraWriter(str(path), dv.io.MonoCameraWriter.EventOnlyConfig("test", (34, 34)))
    writer.writeEvents(store)
    del writer


@pytest.mark.parametrize("timed", [True, False])
def test_aestream_sends_what_is_read(timed: bool, tmp_path: Path) -> None:
    rows, path = rows_of(192), tmp_path / "a.aedat4"  # AEStream 0.6.4 reads 4,096 bytes of a packet of AEDAT 4
    aestream_file(path, rows)
    program = Path(sys.executable).with_name("aestream")
    with UdpSource("127.0.0.1", 0, SENSOR) as source:
        options = ["input", "file", str(path), "output", "udp", "127.0.0.1", str(source.port)]
        subprocess.run([program, *options, *(["--include-timestamp", "1"] * timed)], check=True, capture_output=True)
        found: list[Events] = []
        for events in source:
            if not len(events):
                break
            found.append(events)
    events = np.concatenate(found)
    fields = ["x", "y", "t", "p"] if timed else ["x", "y", "p"]
    whole = as_events(rows)
    assert len(events) == len(whole)
    assert all(np.array_equal(events[field], whole[field]) for field in fields)


def test_udp_gives_the_codes_of_the_file_and_drops_what_is_damaged() -> None:
    rows = digits()
    words = np.array([(x << 16 | p << 15 | y, t) for x, y, t, p in rows], "<u4")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            address = free.getsockname()
        options = f"udp://127.0.0.1:{address[1]}", "--sensor", "34x34", "--silence", 2, "--pending", 100
        with subprocess.Popen(command(*options, encoder=ENCODER), stdout=-1, stderr=-1, text=True) as process:
            await_listener(address[1])
            for datagram in (words[:32].tobytes(), b"abc", words[:1].tobytes()[:7]):
                sender.sendto(datagram, address)
            for start in range(32, len(words), 32):
                sender.sendto(words[start : start + 32].tobytes(), address)
                time.sleep(0.001)
            output, said = process.communicate()
    assert codes(output) == expected(as_events(rows), ENCODER)
    assert "2 damaged datagrams were left out" in said


SENDER = """
import os, sys
import dv_processing as dv
import numpy as np
store = dv.EventStore()
for x, y, t, p in np.load(sys.argv[1]).tolist():
    store.push_back(t, x, y, bool(p))
stream = dv.io.Stream.EventStream(0, "events", "test", (34, 34))
writer = dv.io.NetworkWriter("127.0.0.1", int(sys.argv[2]), stream)
print("ready", flush=True)
while writer.getClientCount() < 1:
    pass
writer.writeEvents(store)
input()
os._exit(0)
"""
"""A process of its own: the end of a writer whose reader has gone waits for the interpreter, which waits for it."""


def test_dv_processing_sends_what_is_read(tmp_path: Path) -> None:
    rows = rows_of(3000)
    np.save(tmp_path / "rows.npy", rows)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [sys.executable, "-c", SENDER, str(tmp_path / "rows.npy"), str(port)]
    with subprocess.Popen(arguments, stdin=-1, stdout=-1, text=True) as sender:
        assert sender.stdout is not None
        assert sender.stdout.readline() == "ready\n"
        with DvNetwork("127.0.0.1", port) as source:
            assert source.sensor == SENSOR
            found: list[Events] = []
            for events in source:
                found.append(events)
                if sum(map(len, found)) >= len(rows):
                    break
        sender.communicate("\n")
    assert np.array_equal(np.concatenate(found), as_events(rows))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-"], "give it: --format raw, dat or bin"),
        (["udp://127.0.0.1:9"], "--sensor WIDTHxHEIGHT"),
        (["udp://nonsense", "--sensor", "34x34"], "udp://HOST:PORT is needed"),
        (["dv://127.0.0.1:1"], "no event stream of dv-processing"),
        (["camera"], "camera: none can be opened"),
        (["none.raw"], "cannot be read: No such file"),
        (["a.aedat4"], "cannot be read as it comes"),
        (["-", "--format", "raw", "--hop", "0"], "--hop 0: milliseconds"),
    ],
)
def test_what_cannot_be_streamed_is_one_line(options: list[str], said: str) -> None:
    done = subprocess.run(command(*options, encoder=ENCODER, window=300), capture_output=True, text=True, input="")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_ctrl_c_ends_it_with_what_was_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    FORMATS["EVT 3"][1](path, [*rows_of(500), (3, 60, 30_000, 1), (3, 3, 40_000, 1)], 34, 34)
    with subprocess.Popen(command(path, "--silence", 0, encoder=ENCODER), stdout=-1, stderr=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert b"1 outside the sensor were left out" in said
