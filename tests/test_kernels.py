"""Compiled loops over events: what they make is what NumPy makes, and what they cannot do is left to it."""

import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.data import kernels
from training.data.binning import Crop, events_to_frames
from training.data.events import EVENT_DTYPE, Events, SensorSize, are_right, check_events
from training.data.formats.bin40 import decode_events

SENSORS: list[SensorSize] = [(34, 34, 2), (34, 20, 2), (90, 160, 2), (346, 260, 2)]
CROPS: st.SearchStrategy[Crop | None] = st.sampled_from([None, "centre", "whole", "activity"])


@st.composite
def event_arrays(draw: st.DrawFn, sensor: SensorSize, beyond: int = 0) -> Events:
    """Events in order of time, up to ``beyond`` pixels outside the sensor."""
    count, seed = draw(st.integers(0, 200)), draw(st.integers(0, 2**32 - 1))
    generator, span = np.random.default_rng(seed), draw(st.sampled_from([1, 90, 799, 4000, 10**6, 2**61]))
    events = np.zeros(count, EVENT_DTYPE)
    for axis, limit in zip("xy", sensor[:2], strict=True):
        events[axis] = generator.integers(-beyond, limit + beyond, count)
    events["t"] = np.sort(generator.integers(0, span, count)) - draw(st.sampled_from([0, 5, 2**60]))
    events["p"] = generator.random(count) < 0.5
    return events


def frames_of(
    events: Events, sensor: SensorSize, time_steps: int, size: int, crop: Crop | None
) -> NDArray[np.uint8] | str:
    try:
        return events_to_frames(events, sensor, time_steps, size, crop=crop)
    except RecordingError as error:
        return str(error)


@settings(max_examples=100)
@given(st.data(), st.sampled_from(SENSORS), st.integers(1, 16), st.sampled_from([17, 32, 64]), CROPS)
def test_frames_are_those_of_numpy(
    data: st.DataObject, sensor: SensorSize, time_steps: int, size: int, crop: Crop | None
) -> None:
    events = data.draw(event_arrays(sensor))
    compiled = frames_of(events, sensor, time_steps, size, crop)
    with patch("training.data.binning.kernels", lambda: None):
        assert np.array_equal(compiled, frames_of(events, sensor, time_steps, size, crop))


@settings(max_examples=100)
@given(data=st.data(), sensor=st.sampled_from(SENSORS), beyond=st.sampled_from([0, 0, 1]), late=st.booleans())
def test_events_are_right_where_nothing_is_to_be_said(
    data: st.DataObject, sensor: SensorSize, beyond: int, late: bool
) -> None:
    events = data.draw(event_arrays(sensor, beyond))
    if late and len(events):
        events["t"][data.draw(st.integers(0, len(events) - 1))] -= 1
    try:
        check_events(events, sensor, "recording")
    except RecordingError:
        assert not are_right(events, sensor)
    else:
        assert are_right(events, sensor)


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 100), overflows=st.booleans())
def test_40_bit_events_are_those_of_numpy(seed: int, count: int, overflows: bool) -> None:
    generator = np.random.default_rng(seed)
    records = generator.integers(0, 256, (count, 5), np.uint8)
    if overflows:
        records[generator.random(count) < 0.3, 1] = 240
    compiled = decode_events(records.tobytes())
    with patch("training.data.formats.bin40.kernels", lambda: None):
        assert np.array_equal(compiled, decode_events(records.tobytes()))


def test_events_that_no_frame_can_hold_are_not_written_anywhere() -> None:
    """Of arrays that were not checked: out of the tables, or back in time by far."""
    frames = np.zeros((4, 2, 8, 8), np.uint8)
    table = np.arange(8)
    for x, y in ((8, 0), (-1, 0), (0, 8), (0, -1)):
        events = np.array([(x, y, 0, True), (0, 0, 10**6, True)], EVENT_DTYPE)
        assert not kernels.mark(events, table, table, 100, frames)
    assert not frames.any()
    late = np.array([(0, 0, 0, True), (1, 0, 2**61, True), (2, 0, 1000, True)], EVENT_DTYPE)
    assert kernels.mark(late, table, table, 100, frames)
    assert frames.sum() == 1


def test_a_few_recordings_are_read_without_numba() -> None:
    code = (
        "import sys; from spikinghash.resources import example; from training.data.recordings import load_recording; "
        "load_recording(example()).frames(4, 32); assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
