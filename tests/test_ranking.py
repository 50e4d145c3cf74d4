"""Thumbnails and the order of what is found, against plain loops; and that copies of real recordings find theirs."""

import math
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deploy.search.faiss_index import FlatIndex
from deploy.search.ranking import Find, Query, default_radius, rank
from deploy.search.thumbnails import UNKNOWN, differences, make_thumbnails, query_thumbnails
from training.data.recordings import Recording, load_recording
from training.data.views import view


def random_frames(seed: int, size: int, density: float, count: int = 3) -> NDArray[np.uint8]:
    generator = np.random.default_rng(seed)
    return (generator.random((count, 4, 2, size, size)) < density).astype(np.uint8)


def cells_by_hand(frames: NDArray[np.uint8], down: int = 0, right: int = 0) -> list[int]:
    """The 64 cells of one recording, event by event."""
    size = frames.shape[-1]
    events = [(y, x) for _, _, y, x in zip(*np.nonzero(frames), strict=True)]
    if not events:
        return [0] * 64
    middle = [round(sum(event[axis] for event in events) / len(events)) for axis in (0, 1)]
    counts = [0] * 64
    for y, x in events:
        row, column = (
            (at - centre + size // 2 - move) for at, centre, move in zip((y, x), middle, (down, right), strict=True)
        )
        if 0 <= row < size and 0 <= column < size:
            counts[8 * (row * 8 // size) + column * 8 // size] += 1
    return [round(15 * math.sqrt(count / max(counts))) for count in counts]


def unpacked(thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.stack([thumbnails >> 4, thumbnails & 15], -1).reshape(len(thumbnails), 64).astype(np.int64)


@given(st.integers(0, 10**6), st.sampled_from([8, 16, 32, 48]), st.sampled_from([0.0, 0.005, 0.1, 0.5]))
@settings(max_examples=30)
def test_a_thumbnail_counts_events_about_their_centre(seed: int, size: int, density: float) -> None:
    frames = random_frames(seed, size, density)
    assert unpacked(make_thumbnails(frames)).tolist() == [cells_by_hand(each) for each in frames]
    moves = [(0, 0)] + [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    step = 2 if size == 48 else 1  # of 1.5 pixels
    of_query = unpacked(query_thumbnails(frames[0]))
    assert of_query.tolist() == [cells_by_hand(frames[0], step * y, step * x) for y, x in moves]


def test_a_thumbnail_does_not_see_where_a_recording_lies() -> None:
    frames = np.zeros((1, 4, 2, 32, 32), np.uint8)
    frames[..., 8:20, 10:24] = random_frames(0, 14, 0.3, 1)[..., :12, :]
    moved = np.roll(frames, (-5, 6), axis=(-2, -1))
    assert np.array_equal(make_thumbnails(frames), make_thumbnails(moved))


@given(st.integers(0, 10**6), st.integers(1, 9))
@settings(max_examples=20)
def test_the_least_difference_of_all_thumbnails_of_a_query_counts(seed: int, probes: int) -> None:
    generator = np.random.default_rng(seed)
    query, stored = (generator.integers(0, 256, (count, 32), dtype=np.uint8) for count in (probes, 20))
    stored[7] = 0
    rows = generator.integers(0, 25, 30)
    wanted = [
        min(int(np.abs(one - unpacked(stored)[row]).sum()) for one in unpacked(query))
        if row < 20 and row != 7
        else UNKNOWN
        for row in rows
    ]
    assert differences(query, stored, rows).tolist() == wanted


@given(
    seed=st.integers(0, 10**6),
    find=st.sampled_from(["class", "recording"]),
    k=st.none() | st.integers(1, 50),
    radius=st.none() | st.integers(0, 20),
)
@settings(max_examples=60)
def test_the_order_is_that_of_a_sort(seed: int, find: Find, k: int | None, radius: int | None) -> None:
    generator = np.random.default_rng(seed)
    codes = np.packbits(generator.random((41, 16)) < 0.2, axis=1)
    ids = generator.permutation(60)[:40]
    stored = generator.integers(0, 2, (60, 32), dtype=np.uint8)  # many equal differences
    stored[::9] = 0
    index = FlatIndex(16)
    index.add(codes[:40], ids)
    query = Query(codes[40], generator.integers(0, 2, (9, 32), dtype=np.uint8))
    found = rank(index, stored, query, find, k, radius)

    differ = differences(query.thumbnails, stored, ids)
    distances = np.bitwise_count(codes[:40] ^ query.code).sum(axis=1)
    rows = list(zip(distances.tolist(), differ.tolist(), ids.tolist(), strict=True))
    if find == "recording":
        reach = 6 if radius is None else radius
        rows = sorted((row for row in rows if row[0] <= reach), key=lambda row: (row[1], row[0], row[2]))
        among = rows
    else:
        rows = sorted(row for row in rows if radius is None or row[0] <= radius)
    first = rows[: 10 if k is None and radius is None else k]
    if find == "class":
        reach = first[-1][0] if first else 0
        among = [row for row in rows if row[0] == reach]
    assert [found.distances.tolist(), found.differences.tolist(), found.ids.tolist()] == [
        [row[column] for row in first] for column in range(3)
    ]
    assert (found.radius, found.candidates, found.chosen) == (reach, len(among), sum(row in among for row in first))
    assert found.bare == sum(row[1] == UNKNOWN for row in among)


def test_the_default_radius_is_three_eighths_of_the_bits() -> None:
    assert [default_radius(bits) for bits in (8, 32, 64)] == [3, 12, 24]


def test_every_real_recording_finds_itself_and_its_copy_finds_it(nmnist_folder: Path) -> None:
    """Of one code all, so that the thumbnails alone decide."""
    paths = sorted((nmnist_folder / "NMNIST").glob("Train/*/*.bin"))[::3]
    recordings = [load_recording(path) for path in paths]
    frames = np.stack([recording.frames(8, 32) for recording in recordings])
    stored, index = make_thumbnails(frames), FlatIndex(8)
    index.add(np.zeros((len(paths), 1), np.uint8), np.arange(len(paths)))

    def first(frames: NDArray[np.uint8], find: Find) -> int:
        return int(rank(index, stored, Query(np.zeros(1, np.uint8), query_thumbnails(frames)), find, 1).ids[0])

    assert [first(each, "class") for each in frames] == list(range(len(paths)))
    generator, right = np.random.default_rng(0), 0
    for number in range(0, len(paths), 4):
        events = view(recordings[number].events, recordings[number].sensor, generator)
        right += first(Recording(events, recordings[number].sensor).frames(8, 32), "recording") == number
    asked = len(range(0, len(paths), 4))
    assert right >= 0.95 * asked  # measured: all
