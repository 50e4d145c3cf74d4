"""Recordings, the DVS model, frames, splits and the cache."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spikinghash.errors import RecordingError
from training.data import digits, frames, nmnist
from training.data.binning import SHORTEST_BIN, events_to_frames, place_events
from training.data.cache import cache_path, cached
from training.data.dvs import Sensor, record
from training.data.frames import load_dataset
from training.data.recordings import EVENT_DTYPE, NMNIST_SENSOR, Events, load_recording, write_recording
from training.data.splits import split

SAMPLE = list(range(0, 5000, 50))


def make_events(*rows: tuple[int, int, int, int]) -> Events:
    return np.array(list(rows), EVENT_DTYPE)


def random_events(seed: int, count: int, width: int = 34, duration: int = 300_000) -> Events:
    generator = np.random.default_rng(seed)
    events = np.empty(count, EVENT_DTYPE)
    events["x"], events["y"] = generator.integers(width, size=(2, count))
    events["t"] = np.sort(generator.integers(duration, size=count))
    events["p"] = generator.integers(2, size=count)
    return events


@pytest.fixture(scope="module")
def sample() -> list[Events]:
    """Recordings of 100 digits, 10 per class."""
    return list(digits.simulate(SAMPLE))


# --- recordings -------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(st.integers(0, 33), st.integers(0, 33), st.integers(0, 2**23 - 1), st.integers(0, 1)), min_size=1
    )
)
def test_a_written_recording_reads_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("recording") / "one.bin"
    events = make_events(*sorted(rows, key=lambda row: row[2]))
    write_recording(path, events)
    assert np.array_equal(load_recording(path).events, events)
    assert path.stat().st_size == 5 * len(events)


def test_the_bytes_are_those_of_the_format(tmp_path: Path) -> None:
    write_recording(tmp_path / "one.bin", make_events((3, 7, 0x4_5678, 1), (4, 8, 0x4_5679, 0)))
    assert (tmp_path / "one.bin").read_bytes() == bytes([3, 7, 0x84, 0x56, 0x78, 4, 8, 0x04, 0x56, 0x79])


def test_all_real_recordings_pass_and_are_written_back_byte_for_byte(nmnist_folder: Path, tmp_path: Path) -> None:
    found = nmnist.list_recordings(nmnist_folder)
    assert len(found) == 1000
    for path, _ in found:
        events = load_recording(path).events
        write_recording(tmp_path / "copy.bin", events)
        assert (tmp_path / "copy.bin").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["empty", "0 events", "at least 1"]),
        (b"\x01\x02\x03\x04\x05\x06\x07", ["truncated", "7 bytes", "event 1", "5 bytes"]),
        (bytes([1, 1, 0, 0, 5, 34, 1, 0, 0, 6]), ["event 1", "x = 34", "0 to 33"]),
        (bytes([1, 99, 0, 0, 5]), ["event 0", "y = 99", "0 to 33"]),
        (bytes([1, 1, 0, 112, 9, 1, 1, 0, 0, 8]), ["event 1", "t = 8 us", "28673 us before", "--sort"]),
    ],
    ids=["empty", "truncated", "x outside", "y outside", "time runs backwards"],
)
def test_a_bad_recording_is_named_with_the_event_the_value_and_the_limit(
    tmp_path: Path, content: bytes, parts: list[str]
) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(content)
    with pytest.raises(RecordingError) as caught:
        load_recording(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"none\.bin: cannot be read: No such file"):
        load_recording(tmp_path / "none.bin")


@pytest.mark.parametrize("row", [(256, 0, 0, 1), (0, 240, 0, 1), (0, 0, 2**23, 1), (-1, 0, 0, 1)])
def test_events_that_do_not_fit_the_format_are_not_written(tmp_path: Path, row: tuple[int, int, int, int]) -> None:
    with pytest.raises(RecordingError, match="event 0"):
        write_recording(tmp_path / "new.bin", make_events(row))
    assert list(tmp_path.iterdir()) == []


# --- the DVS model ----------------------------------------------------------------------------------------------


def pixel_by_pixel(sensor: Sensor, image: np.ndarray, path: np.ndarray) -> list[tuple[int, int, int, int]]:
    """The DVS pixel in plain loops, for a path of whole pixels and a sensor without noise."""
    events = []
    thresholds = sensor.thresholds()
    for y in range(sensor.height):
        for x in range(sensor.width):
            ink = [_ink(image, x - int(left), y - int(top)) for left, top in path]
            levels = [np.float32(np.log(np.float32(1) - np.float32(1 - sensor.dark_level) * v)) for v in ink]
            reference, ready = levels[0], 0
            for step, (before, level) in enumerate(pairwise(levels), start=1):
                change = level - reference
                if abs(change) > thresholds[y, x]:
                    part = (thresholds[y, x] - np.sign(change) * (before - reference)) / abs(level - before)
                    time = max((step - 1) * sensor.step + int(part * (sensor.step - 1)), ready)
                    events.append((x, y, time, int(change > 0)))
                    ready = time + sensor.refractory
                if ready > step * sensor.step:
                    reference = level
    return events


def _ink(image: np.ndarray, column: int, row: int) -> np.float32:
    inside = 0 <= row < image.shape[0] and 0 <= column < image.shape[1]
    return image[row, column] if inside else np.float32(0)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([1003, 1501, 2007, 4001]))
def test_the_simulation_is_that_of_single_pixels(seed: int, refractory: int) -> None:
    # A refractory time of whole steps would end on a look at the scene, before or after it by rounding alone.
    generator = np.random.default_rng(seed)
    sensor = Sensor(width=6, height=5, noise_rate=0, refractory=refractory, threshold_mismatch=0.2, seed=seed)
    images = generator.random((3, 4, 4)).astype(np.float32)
    path = np.cumsum(generator.integers(-1, 2, size=(12, 2)), axis=0).astype(np.float32)
    for image, events in zip(images, record(sensor, images, path, np.arange(3)), strict=True):
        expected = pixel_by_pixel(sensor, image, path)
        found = np.sort(events, order=["y", "x", "t"])
        assert [(e["x"], e["y"], e["p"]) for e in found] == [(x, y, p) for x, y, _, p in expected]
        assert np.abs(found["t"] - [t for _, _, t, _ in expected]).max(initial=0) <= 1  # rounding of single precision


def test_half_a_pixel_of_motion_is_the_mean_of_two_pixels() -> None:
    sensor = Sensor(width=3, height=1, noise_rate=0, threshold_mismatch=0, contrast_threshold=0.5)
    image = np.array([[[1.0]]], np.float32)  # log intensity of ink: ln 0.1; of half of it: ln 0.55 = -0.598
    halfway = np.array([[0, 0], [0.5, 0]], np.float32)
    (events,) = record(sensor, image, halfway, np.arange(1))
    assert [(e["x"], e["p"]) for e in events] == [(0, True), (1, False)]
    quarter = np.array([[0, 0], [0.25, 0]], np.float32)  # ln 0.775 = -0.255 on the right, ln 0.325 on the left
    (events,) = record(sensor, image, quarter, np.arange(1))
    assert [(e["x"], e["p"]) for e in events] == [(0, True)]


def test_noise_comes_at_its_rate_and_with_both_polarities() -> None:
    sensor = Sensor(noise_rate=5.0)
    still = np.zeros((1001, 2), np.float32)
    (events,) = record(sensor, np.zeros((1, 28, 28), np.float32), still, np.arange(1))
    expected = 5.0 * 34 * 34  # one second
    assert abs(len(events) - expected) < 5 * np.sqrt(expected)
    assert abs(events["p"].mean() - 0.5) < 5 * 0.5 / np.sqrt(expected)
    assert len(np.unique(events["t"])) > 0.9 * len(events)


def test_recordings_are_in_order_inside_the_sensor_and_keep_the_refractory_time(sample: list[Events]) -> None:
    for events in sample:
        assert np.all(np.diff(events["t"]) >= 0)
        assert events["t"][0] >= 0
        assert events["t"][-1] <= 3 * 103_000
        for axis in "xy":
            assert events[axis].min() >= 0
            assert events[axis].max() <= 33
        place = events["y"].astype(int) * 34 + events["x"]
        order = np.lexsort((events["t"], place))
        gaps = np.diff(events["t"][order])[np.diff(place[order]) == 0]
        assert gaps.min() >= digits.SENSOR.refractory


def test_a_recording_does_not_depend_on_the_others_asked_for(sample: list[Events]) -> None:
    for position in (0, 63, 64, 99):
        (alone,) = digits.simulate([SAMPLE[position]])
        assert np.array_equal(alone, sample[position])


def test_another_sensor_seed_gives_another_sensor() -> None:
    assert not np.array_equal(Sensor(seed=0).thresholds(), Sensor(seed=1).thresholds())
    assert Sensor().thresholds().std() == pytest.approx(0.021 * 0.345, rel=0.1)


def test_a_step_above_the_refractory_time_is_refused() -> None:
    with pytest.raises(ValueError, match="step is 3000 us, refractory is 2000 us"):
        Sensor(step=3000)


def test_recordings_are_like_n_mnist(sample: list[Events], nmnist_folder: Path) -> None:
    real = [load_recording(path).events for path, _ in nmnist.list_recordings(nmnist_folder)[::10]]
    events = [np.mean([len(recording) for recording in kind]) for kind in (sample, real)]
    assert events[0] == pytest.approx(events[1], rel=0.1)
    on = [np.mean([recording["p"].mean() for recording in kind]) for kind in (sample, real)]
    assert on[0] == pytest.approx(on[1], abs=0.03)
    duration = [np.mean([recording["t"][-1] for recording in kind]) for kind in (sample, real)]
    assert duration[0] == pytest.approx(duration[1], rel=0.05)


def test_real_digits_are_recognised_by_their_simulated_neighbours(sample: list[Events], nmnist_folder: Path) -> None:
    """Motion, orientation and polarity of the simulation are the real ones, else this is at chance (10 %)."""
    made = (
        np.stack([events_to_frames(events, NMNIST_SENSOR, 8, 32) for events in sample])
        .reshape(100, -1)
        .astype(np.float32)
    )
    found = nmnist.list_recordings(nmnist_folder)[::5]
    real = np.stack([events_to_frames(load_recording(path).events, NMNIST_SENSOR, 8, 32) for path, _ in found])
    real = real.reshape(len(found), -1).astype(np.float32)
    likeness = real @ (made / np.linalg.norm(made, axis=1, keepdims=True)).T
    nearest = np.repeat(np.arange(10), 10)[likeness.argmax(axis=1)]
    assert np.mean(nearest == [label for _, label in found]) > 0.6


def test_written_digits_read_back(sample: list[Events], tmp_path: Path) -> None:
    paths = digits.write_recordings(tmp_path, [0, 4950])
    assert paths == [tmp_path / "0" / "00000.bin", tmp_path / "9" / "04950.bin"]
    assert np.array_equal(load_recording(paths[0]).events, sample[0])
    assert np.array_equal(load_recording(paths[1]).events, sample[99])


# --- N-MNIST folders --------------------------------------------------------------------------------------------


def test_n_mnist_is_found_from_either_folder(nmnist_folder: Path) -> None:
    found = nmnist.list_recordings(nmnist_folder)
    assert found == nmnist.list_recordings(nmnist_folder / "NMNIST")
    assert {label for _, label in found} == set(range(10))
    assert all(path.parent.name == str(label) for path, label in found)


def test_a_folder_without_recordings_is_an_error_that_tells_the_layout(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"0 N-MNIST recordings found.*NMNIST/Train/DIGIT/ID\.bin"):
        nmnist.list_recordings(tmp_path)


@pytest.mark.parametrize("name", ["seven", "12", "0123456789"])
def test_a_class_folder_that_is_no_digit_is_named(tmp_path: Path, name: str) -> None:
    write_recording(tmp_path / "NMNIST" / "Train" / name / "1.bin", random_events(0, 10))
    with pytest.raises(RecordingError, match=f"'{name}' is not a digit"):
        nmnist.list_recordings(tmp_path)


# --- frames -----------------------------------------------------------------------------------------------------


def frames_by_loop(events: Events, time_steps: int, size: int) -> np.ndarray:
    """For a sensor of 34x34 pixels: cropped to 32, padded to 40, halved to 17."""
    border = {32: 1, 34: 0, 40: -3, 17: 0}[size]
    shrink = 2 if size == 17 else 1
    placed = [(e["t"], e["p"], (e["y"] - border) // shrink, (e["x"] - border) // shrink) for e in events]
    inside = [event for event in placed if 0 <= event[2] < size and 0 <= event[3] < size]
    start, bin_length = inside[0][0], (inside[-1][0] - inside[0][0]) // time_steps
    found = np.zeros((time_steps, 2, size, size), np.uint8)
    for time, polarity, row, column in inside:
        step = (time - start) // bin_length
        if step < time_steps:
            found[step, 0 if polarity else 1, row, column] = 1
    return found


@given(st.integers(0, 10**6), st.integers(80, 300), st.sampled_from([1, 3, 8]), st.sampled_from([17, 32, 34, 40]))
def test_frames_mark_the_pixels_with_events(seed: int, count: int, time_steps: int, size: int) -> None:
    events = random_events(seed, count)
    before = events.copy()
    found = events_to_frames(events, NMNIST_SENSOR, time_steps, size)
    assert found.dtype == np.uint8
    assert np.array_equal(found, frames_by_loop(events, time_steps, size))
    assert np.array_equal(events, before)


@given(st.lists(st.integers(0, 2500), min_size=2, max_size=60), st.integers(1, 8))
def test_each_event_is_in_one_bin_but_for_the_last_microseconds(times: list[int], time_steps: int) -> None:
    events = make_events(*((place % 34, place // 34, time, 1) for place, time in enumerate(sorted(times))))
    span = max(times) - min(times)
    assume(span >= time_steps)
    bins = events_to_frames(events, NMNIST_SENSOR, time_steps, 34).sum(axis=(0, 1))[events["y"], events["x"]]
    to_the_end = max(times) - events["t"]
    outside = to_the_end <= span % time_steps if span // time_steps >= SHORTEST_BIN else np.zeros(len(times), bool)
    assert bins.tolist() == (~outside).tolist()


@settings(max_examples=30)
@given(st.integers(1, 400), st.integers(1, 300), st.integers(1, 130))
def test_a_frame_is_laid_on_the_centre_of_the_sensor(width: int, height: int, size: int) -> None:
    rows, columns = np.mgrid[:height, :width].reshape(2, -1)
    events = np.zeros(width * height, EVENT_DTYPE)
    events["x"], events["y"] = columns, rows
    x, y, inside = place_events(events, (width, height, 2), size)
    side = max(width, height)
    for axis, found, length in ((columns, x, width), (rows, y, height)):
        if 8 * (side - size) <= size:  # one to one, centres half a pixel apart at most
            assert np.all(np.abs((found - (size - 1) / 2) - (axis - (length - 1) / 2)) <= 0.5)
        else:  # scaled: a pixel of the frame spans side / size pixels, none is lost
            assert np.all(inside)
            spread = (axis - (length - 1) / 2) * size / side
            assert np.all(np.abs((found - (size - 1) / 2) - spread) <= 1.5)
    assert np.array_equal(inside, (x >= 0) & (x < size) & (y >= 0) & (y < size))


def test_on_is_channel_0() -> None:
    found = events_to_frames(
        make_events((5, 9, 0, 1), (20, 9, 700, 0), (0, 0, 800, 0), (6, 6, 800, 0)), NMNIST_SENSOR, 8, 32
    )
    assert np.argwhere(found).tolist() == [[0, 0, 8, 4], [7, 1, 8, 19]]


@pytest.mark.parametrize(
    ("rows", "span"), [([(0, 0, 0, 1), (0, 0, 900, 1)], "0 events"), ([(5, 5, 0, 1), (5, 5, 7, 1)], "span 7 us")]
)
def test_too_short_recordings_are_named(rows: list[tuple[int, int, int, int]], span: str) -> None:
    with pytest.raises(RecordingError, match=rf"dark\.bin: .*{span}.*at least 8 us"):
        events_to_frames(make_events(*rows), NMNIST_SENSOR, 8, 32, "dark.bin")


def test_n_mnist_loads_as_frames_and_comes_from_the_cache_next_time(
    nmnist_folder: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_dataset("nmnist", root=nmnist_folder)
    assert first.frames.shape == (1000, 8, 2, 32, 32)
    path, label = nmnist.list_recordings(nmnist_folder)[321]
    assert first.labels[321] == label
    assert first.ids[321] == f"Train/{label}/{path.stem}"
    assert np.array_equal(first.frames[321], frames_by_loop(load_recording(path).events, 8, 32))
    monkeypatch.setattr(frames, "_make", None)  # it would fail if a frame were made again
    again = load_dataset("nmnist", root=nmnist_folder)
    assert np.array_equal(again.frames, first.frames)
    assert again.ids == first.ids


def test_n_mnist_needs_a_folder() -> None:
    with pytest.raises(RecordingError, match=r"nmnist: no folder given as data\.root; give the folder"):
        load_dataset("nmnist")


def test_a_bad_recording_in_a_set_is_named(tmp_path: Path, cache_folder: Path) -> None:
    for name in ("1", "2"):
        write_recording(tmp_path / "NMNIST" / "Train" / "0" / f"{name}.bin", random_events(0, 100))
    bad = tmp_path / "NMNIST" / "Train" / "0" / "2.bin"
    bad.write_bytes(bad.read_bytes()[:-1])
    with pytest.raises(RecordingError, match=r"2\.bin: truncated"):
        load_dataset("nmnist", root=tmp_path)
    assert not cache_folder.exists()


def test_the_digits_load_as_frames(cache_folder: Path, sample: list[Events], monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = digits._mnist()
    monkeypatch.setattr(digits, "_mnist", lambda: (images[:200], labels[:200]))  # the whole set takes 15 s
    loaded = load_dataset("digits", time_steps=4, size=16)
    assert loaded.frames.shape == (200, 4, 2, 16, 16)
    assert np.array_equal(loaded.frames[150], events_to_frames(sample[3], NMNIST_SENSOR, 4, 16))
    assert loaded.ids[150] == "0/00150"
    assert loaded.labels.tolist() == [0] * 200
    again = load_dataset("digits", time_steps=4, size=16)
    assert np.array_equal(again.frames, loaded.frames)
    assert again.ids == loaded.ids
    assert len(list(cache_folder.iterdir())) == 2  # events and frames, no temporary file


# --- the cache --------------------------------------------------------------------------------------------------


def _damage_middle(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage", [lambda content: b"", lambda content: content[:-40], _damage_middle, lambda content: b"no zip file"]
)
def test_a_corrupt_cache_file_is_made_anew(cache_folder: Path, damage) -> None:  # type: ignore[no-untyped-def]
    made = []

    def build() -> dict[str, np.ndarray]:
        made.append(1)
        return {"a": np.arange(1000)}

    for _ in range(2):
        assert np.array_equal(cached("set", {"seed": 1}, build)["a"], np.arange(1000))
    assert len(made) == 1
    path = cache_path("set", {"seed": 1})
    path.write_bytes(damage(path.read_bytes()))
    for _ in range(2):
        assert np.array_equal(cached("set", {"seed": 1}, build)["a"], np.arange(1000))
    assert len(made) == 2


def test_other_parameters_have_another_cache_file(cache_folder: Path) -> None:
    assert cache_path("set", {"seed": 1}) != cache_path("set", {"seed": 2})
    assert cache_path("set", {"a": 1, "b": 2}) == cache_path("set", {"b": 2, "a": 1})


def test_a_cache_folder_that_cannot_be_made_costs_time_only(
    cache_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache_folder.parent.mkdir(parents=True)
    cache_folder.write_text("a file where the folder should be")
    assert cached("set", {}, lambda: {"a": np.arange(3)})["a"].tolist() == [0, 1, 2]
    assert "cannot be written" in caplog.text


# --- splits -----------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(3, 30), min_size=1, max_size=6), st.integers(0, 100))
def test_a_split_holds_every_recording_once_and_every_class_in_each_set(sizes: list[int], seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    parts = split(labels, seed=seed)
    sets = (parts.database, parts.validation, parts.test)
    assert sorted(np.concatenate(sets).tolist()) == list(range(len(labels)))
    assert all(set(labels[part].tolist()) == set(range(len(sizes))) for part in sets)
    assert np.array_equal(parts.training, parts.database)


def test_the_digits_split_into_4000_500_and_500() -> None:
    labels = np.repeat(np.arange(10), 500)
    parts = split(labels)
    assert [len(part) for part in (parts.training, parts.database, parts.validation, parts.test)] == [
        4000,
        4000,
        500,
        500,
    ]
    assert np.bincount(labels[parts.test]).tolist() == [50] * 10
    assert np.bincount(labels[parts.validation]).tolist() == [50] * 10


def test_a_split_follows_its_seed_alone() -> None:
    labels = np.repeat(np.arange(3), 40)
    first, second, other = split(labels, seed=1), split(labels, seed=1), split(labels, seed=2)
    assert np.array_equal(first.test, second.test)
    assert not np.array_equal(first.test, other.test)
    fewer = split(labels[labels != 2], seed=1)
    assert np.array_equal(fewer.test, first.test[first.test < 80])


@pytest.mark.parametrize(("count", "text"), [(1, "class 4 has 1 recording,"), (2, "class 4 has 2 recordings,")])
def test_a_class_that_is_too_small_is_named(count: int, text: str) -> None:
    with pytest.raises(RecordingError, match=f"{text} at least 3 are needed"):
        split(np.array([3] * 10 + [4] * count))


def test_shares_that_leave_no_database_are_refused() -> None:
    with pytest.raises(RecordingError, match="class 0 has 10 recordings, at least 11 are needed"):
        split(np.zeros(10, np.int64), validation=0.5, test=0.5)
