"""The reversal set: order tells the classes of a pair apart, and nothing else does."""

import numpy as np
import pytest

from training.data import reversal
from training.data.events import Events, check_events
from training.data.frames import events_to_frames, load_dataset

SENSOR = (reversal.SIZE, reversal.SIZE, 2)
COUNT = 60


def frames(events: list[Events]) -> np.ndarray:
    return np.stack([events_to_frames(each, SENSOR, 8, reversal.SIZE) for each in events]).astype(np.float64)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Frames of the last pair of classes, whose motions are along the diagonals."""
    first, second = 2 * len(reversal.PAIRS) - 2, 2 * len(reversal.PAIRS) - 1
    return frames(reversal.simulate(first, COUNT)), frames(reversal.simulate(second, COUNT))


def diagonal_neighbours(part: np.ndarray) -> np.ndarray:
    """Share of the marked pixels with a marked neighbour along each diagonal, shape (recordings, T, 2, 2)."""
    falling = (part[..., 1:, 1:] * part[..., :-1, :-1]).sum((3, 4))
    rising = (part[..., 1:, :-1] * part[..., :-1, 1:]).sum((3, 4))
    return np.stack([falling, rising], axis=-1) / (part.sum((3, 4)) + 1)[..., None]


def nearest_mean_accuracy(first: np.ndarray, second: np.ndarray) -> float:
    """Of a classifier that compares with the classes' means, on the half that it was not made from."""
    half = len(first) // 2
    a, b = (part.reshape(len(part), -1) for part in (first, second))
    means = a[:half].mean(0), b[:half].mean(0)

    def is_first(rows: np.ndarray) -> np.ndarray:
        return ((rows - means[0]) ** 2).sum(1) < ((rows - means[1]) ** 2).sum(1)

    return float(np.concatenate([is_first(a[half:]), ~is_first(b[half:])]).mean())


def test_a_reversed_recording_is_a_recording_whose_reversal_is_the_first() -> None:
    (events,) = reversal.simulate(0, 1)
    back = reversal.reverse(events)
    check_events(back, SENSOR, "reversed")
    assert np.array_equal(reversal.reverse(back), events)
    assert sorted(zip(back["x"], back["y"], back["p"], reversal.END - back["t"], strict=True)) == sorted(
        zip(events["x"], events["y"], events["p"], events["t"], strict=True)
    )


def test_reversed_frames_are_the_frames_in_reversed_order() -> None:
    """But for events at the borders of time bins."""
    events = reversal.simulate(0, 10)
    turned = frames([reversal.reverse(each) for each in events])
    assert np.mean(turned[:, ::-1] != frames(events)) < 0.01


def test_sums_over_time_do_not_tell_the_classes_of_a_pair_apart(pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = (part.sum(axis=1) for part in pair)
    assert abs(nearest_mean_accuracy(first, second) - 0.5) < 0.2  # 60 draws: 3 standard deviations
    mean, spread = first.mean(0) - second.mean(0), np.sqrt((first.var(0) + second.var(0)) / COUNT)
    assert np.mean(np.abs(mean) > 3 * spread + 1e-9) < 0.02


def test_polarities_and_counts_do_not_tell_them_apart(pair: tuple[np.ndarray, np.ndarray]) -> None:
    for statistic in (lambda part: part.sum((1, 3, 4)), lambda part: np.sort(part.sum((2, 3, 4)), axis=1)):
        assert abs(nearest_mean_accuracy(*(statistic(part) for part in pair)) - 0.5) < 0.2


def test_the_order_of_the_frames_tells_them_apart(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """A feature of single frames does it if their order is kept, and does not once it is summed over time."""
    features = [diagonal_neighbours(part) for part in pair]
    assert nearest_mean_accuracy(*features) > 0.9
    assert abs(nearest_mean_accuracy(*(feature.mean(axis=1) for feature in features)) - 0.5) < 0.2


def test_a_recording_does_not_depend_on_how_many_are_made() -> None:
    assert np.array_equal(reversal.simulate(3, 2)[1], reversal.simulate(3, 5)[1])
    assert not np.array_equal(reversal.simulate(3, 1, seed=1)[0], reversal.simulate(3, 1)[0])


def test_the_set_loads_as_frames(cache_folder: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reversal, "PER_CLASS", 3)
    loaded = load_dataset("reversal")
    assert loaded.frames.shape == (12, 8, 2, 32, 32)
    assert np.bincount(loaded.labels).tolist() == [3] * 4
    assert loaded.ids[4] == f"{reversal.class_name(1)}/001"
    assert np.array_equal(loaded.frames[4], frames(reversal.simulate(1, 2))[1])
    assert np.array_equal(load_dataset("reversal").frames, loaded.frames)
