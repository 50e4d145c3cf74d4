"""Codes of a live event source: one per sliding window, each as of a recording by itself."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from search_cases import small_encoder as small_encoder

from deploy.backends.encoders import Encoder, load_encoder
from deploy.live import windows
from deploy.search import stream
from deploy.search.stream import WindowCode, encode_stream
from spikinghash.errors import RecordingError, SpikinghashError
from training.data.binning import events_to_frames
from training.data.events import EVENT_DTYPE, Events

SENSOR = (16, 16, 2)


@pytest.fixture(scope="module")
def encoder(small_encoder: Path) -> Encoder:
    return load_encoder(small_encoder)


def random_events(count: int, duration: int, seed: int, start: int = 0) -> Events:
    generator = np.random.default_rng(seed)
    events = np.zeros(count, EVENT_DTYPE)
    events["t"] = start + np.sort(generator.integers(0, duration, count))
    for axis in "xy":
        events[axis] = generator.integers(0, 16, count)
    events["p"] = generator.random(count) < 0.5
    return events


def plainly(events: Events, encoder: Encoder, window: int, hop: int) -> list[tuple[int, int, bytes | None]]:
    """All windows of a finished recording, cut out with masks and encoded one by one."""
    found, start = [], int(events["t"][0])
    while start <= events["t"][-1]:
        part = events[(events["t"] >= start) & (events["t"] < start + window)]
        try:
            frames = events_to_frames(part, SENSOR, encoder.time_steps, encoder.size)
            code = encoder.encode(frames[None])[0].tobytes()
        except RecordingError:
            code = None
        found.append((start, start + window, code))
        start += hop
    return found


def as_tuples(codes: Iterator[WindowCode]) -> list[tuple[int, int, bytes | None]]:
    return [(code.start, code.end, None if code.code is None else code.code.tobytes()) for code in codes]


@settings(max_examples=20)
@given(
    count=st.integers(1, 300),
    window=st.integers(4, 4000),
    hop=st.integers(700, 6000),
    cuts=st.lists(st.integers(0, 300), max_size=8),
    seed=st.integers(0, 99),
)
def test_windows_equal_recordings_cut_out(
    encoder: Encoder, count: int, window: int, hop: int, cuts: list[int], seed: int
) -> None:
    """Whatever the lengths of the chunks, empty ones included; hops shorter and longer than a window."""
    events = random_events(count, 10_000, seed, start=1_000)
    chunks = np.split(events, sorted(min(cut, count) for cut in cuts))
    assert as_tuples(encode_stream(chunks, encoder, window, hop, SENSOR)) == plainly(events, encoder, window, hop)


def test_one_chunk_may_hold_more_than_is_kept(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a whole file does: windows that end are let go while the rest of it comes."""
    monkeypatch.setattr(windows, "MOST_EVENTS", 2_000)
    monkeypatch.setattr(stream, "_PIECE", 500)
    events = random_events(10_000, 100_000, 5)
    found = as_tuples(encode_stream([events], encoder, 4_000, 4_000, SENSOR))
    assert found == plainly(events, encoder, 4_000, 4_000)
    assert all(code is not None for *_, code in found)


def test_codes_are_not_all_alike(encoder: Encoder) -> None:
    codes = as_tuples(encode_stream([random_events(3000, 30_000, 3)], encoder, 5_000, 5_000, SENSOR))
    assert len({code for *_, code in codes}) > 1
    assert None not in {code for *_, code in codes}


def test_a_code_comes_with_the_first_event_at_the_end_of_its_window(encoder: Encoder) -> None:
    delivered = []

    def source() -> Iterator[Events]:
        for event in random_events(400, 30_000, 4):
            delivered.append(int(event["t"]))
            yield np.array([event], EVENT_DTYPE)

    stream = encode_stream(source(), encoder, 5_000, 2_500, SENSOR)
    start = None
    for code in stream:
        start = code.start if start is None else start
        if delivered[-1] >= code.end:
            assert delivered[-2] < code.end, "it could have come an event earlier"
        else:
            assert len(delivered) == 400, "only the end of the source closes a window early"


def test_silence_gives_windows_without_code(encoder: Encoder) -> None:
    before, after = random_events(500, 5_000, 5), random_events(500, 5_000, 6, start=50_000)
    codes = list(encode_stream([before, after], encoder, 5_000, 5_000, SENSOR))
    assert [code.code is None for code in codes[:11]] == [False, *[True] * 9, False]
    assert not list(encode_stream([], encoder, 5_000, 5_000, SENSOR))
    assert not list(encode_stream([np.empty(0, EVENT_DTYPE)], encoder, 5_000, 5_000, SENSOR))


def test_memory_does_not_grow_with_the_stream(encoder: Encoder) -> None:
    """Peak memory of a stream ten times as long is the same, though it holds ten times the events."""

    def source(chunks: int) -> Iterator[Events]:
        for number in range(chunks):
            yield random_events(2_000, 10_000, number, start=number * 10_000)

    def peak(chunks: int) -> int:
        tracemalloc.start()
        windows = sum(1 for _ in encode_stream(source(chunks), encoder, 20_000, 20_000, SENSOR))
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert windows >= chunks // 2
        return held

    peak(10)
    short, long = peak(20), peak(200)
    assert 200 * 2_000 * EVENT_DTYPE.itemsize > 10 * (long - short)
    assert long < 1.2 * short + 50_000


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([(5, 3)], r"chunk 0: event 1: t = 3 us, after 5 us"),
        ([(1, 9), (), (8, 10)], r"chunk 2: event 0: t = 8 us, after 9 us in the chunk before"),
    ],
)
def test_time_running_backwards_is_an_error(encoder: Encoder, chunks: list[tuple[int]], message: str) -> None:
    arrays = []
    for times in chunks:
        events = np.zeros(len(times), EVENT_DTYPE)
        events["t"] = times
        arrays.append(events)
    with pytest.raises(RecordingError, match=message):
        list(encode_stream(arrays, encoder, 100, 100, SENSOR))


def test_bad_lengths_and_places_are_errors(encoder: Encoder) -> None:
    events = random_events(9, 100, 1)
    with pytest.raises(SpikinghashError, match="window_us is 3: 4 time steps"):
        list(encode_stream([events], encoder, 3, 1, SENSOR))
    with pytest.raises(SpikinghashError, match="hop_us is 0"):
        list(encode_stream([events], encoder, 100, 0, SENSOR))
    events["x"][4] = 16
    with pytest.raises(RecordingError, match=r"chunk 0: event 4: x = 16, outside the sensor"):
        list(encode_stream([events], encoder, 100, 100, SENSOR))
