"""What codes tell apart, against cases counted by hand and against random orders; views, event by event."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.code_figures import code_entropy, code_figures, effective_dimensions, expected_recall, instance_recall
from training.data.events import EVENT_DTYPE, Events
from training.data.views import frame_views, view


def packed(*codes: str) -> NDArray[np.uint8]:
    return np.array([[int(code, 2)] for code in codes], np.uint8)


def test_figures_counted_by_hand() -> None:
    """Four recordings share a code, two another, one each a third and fourth: 1/2, 1/4, 1/8, 1/8."""
    codes = packed(*["00000000"] * 4, *["11110000"] * 2, "11111111", "00001111")
    copies = packed("00000000", "11110001", "10001111")
    found = code_figures(codes, copies, np.array([2, 5, 6]), (1, 2, 5))
    assert (found.recordings, found.distinct) == (8, 4)
    assert found.entropy == pytest.approx(1.75)
    # The first copy ties with four: 1/4, 2/4, 1. The second has its original and its twin nearest: 1/2, 1, 1. The third
    # has 00001111 (1 bit) before its own (3 bits, and alone there): 0, 1, 1.
    assert found.instance_recall == pytest.approx({1: (0.25 + 0.5 + 0) / 3, 2: (0.5 + 1 + 1) / 3, 5: 1.0})


@pytest.mark.parametrize(
    ("codes", "dimensions"),
    [
        (["00000000", "11111111"], 1.0),  # every bit is the same one
        (["00000000", "11110000", "00001111", "11111111"], 2.0),  # two independent halves
        (["00000000", "10000000"], 1.0),  # seven bits never change
        (["01010101"] * 3, 0.0),
    ],
)
def test_effective_dimensions_by_hand(codes: list[str], dimensions: float) -> None:
    assert effective_dimensions(packed(*codes)) == pytest.approx(dimensions)


@given(st.integers(0, 10**6), st.floats(0.05, 0.5))
@settings(max_examples=30)
def test_entropy_and_dimensions_by_their_definitions(seed: int, density: float) -> None:
    bits = np.random.default_rng(seed).random((50, 16)) < density
    codes = np.packbits(bits, axis=1)
    shares = [count / 50 for count in Counter(map(bytes, codes)).values()]
    assert code_entropy(codes) == pytest.approx(-sum(share * math.log2(share) for share in shares))
    centred = bits - bits.mean(axis=0)
    eigenvalues = np.linalg.eigvalsh(centred.T @ centred / 50)
    assert effective_dimensions(codes) == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())


@given(st.integers(0, 10**6), st.integers(1, 12))
@settings(max_examples=20)
def test_instance_recall_is_the_mean_over_random_orders_of_ties(seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    codes, copies = generator.integers(0, 4, (10, 1), dtype=np.uint8), generator.integers(0, 4, (3, 1), dtype=np.uint8)
    originals = generator.integers(0, 10, 3)
    distances = np.bitwise_count(copies ^ codes[:, 0])
    hits = [
        original in order[np.argsort(row[order], kind="stable")][:k]
        for original, row in zip(originals, distances, strict=True)
        for order in (generator.permutation(10) for _ in range(400))
    ]
    expected = np.reshape(hits, (3, 400)).mean(axis=1)
    assert instance_recall(codes, copies, originals, k) == pytest.approx(expected, abs=0.15)  # 6 deviations at 1/2


def test_expected_recall_has_bounds() -> None:
    nearer, tied = np.array([0, 9, 10, 4, 0]), np.array([1, 1, 1, 12, 5])
    assert expected_recall(nearer, tied, 10).tolist() == [1.0, 1.0, 0.0, 0.5, 1.0]


def random_events(count: int = 5000, seed: int = 0) -> Events:
    generator = np.random.default_rng(seed)
    events = np.zeros(count, EVENT_DTYPE)
    events["x"], events["y"] = generator.integers(0, 34, (2, count))
    events["t"], events["p"] = np.sort(generator.integers(0, 300_000, count)), generator.random(count) < 0.5
    return events


def test_a_view_moves_drops_and_delays() -> None:
    few, events, sensor = random_events(50), random_events(), (34, 34, 2)
    before = events.copy()
    directions = set()
    for seed in range(60):
        seen = view(few, sensor, np.random.default_rng(seed), dropped=0, jitter_us=0)
        inside = next(
            (x, y)
            for x in (-2, 0, 2)
            for y in (-2, 0, 2)
            if (x or y) and Counter(seen.tolist()) == Counter(_moved(few, x, y))
        )
        directions.add(inside)
    assert len(directions) == 8
    seen = view(events, sensor, np.random.default_rng(0), shift=0, dropped=0.1, jitter_us=0)
    assert len(seen) == pytest.approx(4500, abs=5 * math.sqrt(450))
    assert not Counter(seen.tolist()) - Counter(events.tolist())
    late = view(events, sensor, np.random.default_rng(0), shift=0, dropped=0, jitter_us=5000)
    assert len(late) == len(events)
    assert (np.diff(late["t"]) >= 0).all()
    # Times of a uniform draw stay one when jittered, but for the ends; each moved by itself, so look at one event.
    one = events[2500:2501].copy()
    moves = [view(one, sensor, np.random.default_rng(seed), 0, 0.0)["t"][0] - one["t"][0] for seed in range(400)]
    assert np.std(moves) == pytest.approx(5000, rel=0.15)
    assert abs(np.mean(moves)) < 1250
    assert np.array_equal(events, before)


def _moved(events: Events, right: int, down: int) -> list[tuple[int, ...]]:
    moved = [(x + right, y + down, t, p) for x, y, t, p in events.tolist()]
    return [event for event in moved if 0 <= event[0] < 34 and 0 <= event[1] < 34]


def test_views_of_frames_move_and_drop() -> None:
    frames = (np.random.default_rng(0).random((40, 4, 2, 16, 16)) < 0.3).astype(np.uint8)
    directions = set()
    for before, after in zip(frames, frame_views(frames, np.random.default_rng(1), dropped=0), strict=True):
        padded = np.pad(before, [(0, 0), (0, 0), (2, 2), (2, 2)])
        (move,) = [
            (y, x) for y in (0, 2, 4) for x in (0, 2, 4) if np.array_equal(after, padded[..., y : y + 16, x : x + 16])
        ]
        directions.add(move)
    assert directions == {(y, x) for y in (0, 2, 4) for x in (0, 2, 4)} - {(2, 2)}
    kept = frame_views(frames, np.random.default_rng(1), shift=0, dropped=0.1)
    assert kept.dtype == np.uint8
    assert not (kept & ~frames & 1).any()
    assert kept.sum() / frames.sum() == pytest.approx(0.9, abs=0.01)
