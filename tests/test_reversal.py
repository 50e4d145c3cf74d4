"""The reversal set: order tells the classes of a pair apart, and nothing else does."""

from pathlib import Path

import numpy as np
import pytest
import torch

from training.codes import float_encoder, retrieval_figures
from training.config import Config, Wavelet, load_config
from training.data import reversal
from training.data.binning import events_to_frames
from training.data.events import Events, check_events
from training.data.frames import load_dataset
from training.train import LAST, train

SENSOR = (reversal.SIZE, reversal.SIZE, 2)
COUNT = 60
CONFIGS = Path(__file__).parent.parent / "configs"


def frames(events: list[Events]) -> np.ndarray:
    return np.stack([events_to_frames(each, SENSOR, reversal.FRAMES, reversal.SIZE) for each in events]).astype(
        np.float64
    )


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Frames of both classes."""
    return frames(reversal.simulate(0, COUNT)), frames(reversal.simulate(1, COUNT))


def marked_neighbours(part: np.ndarray) -> np.ndarray:
    """Share of the marked pixels with a marked neighbour beside and below them, shape (recordings, T, 2, 2)."""
    beside = (part[..., 1:] * part[..., :-1]).sum((3, 4))
    below = (part[..., 1:, :] * part[..., :-1, :]).sum((3, 4))
    return np.stack([beside, below], axis=-1) / (part.sum((3, 4)) + 1)[..., None]


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


def test_a_motion_looks_alike_from_either_end(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Pixels answer late, which would tell a motion from its reversal; the classes hold as many of both."""
    first, second = (part.sum((2, 3, 4)) for part in pair)
    difference = (first - second).mean(0)
    error = np.sqrt((first.var(0) + second.var(0)) / COUNT)
    assert np.all(np.abs(difference) < 4 * error + 1e-9)
    for part in pair:
        assert marked_at_rest(part).max() < 1.3 * np.median(marked_at_rest(part))


def marked_at_rest(part: np.ndarray) -> np.ndarray:
    """Mean count of marked pixels in each frame without a motion."""
    resting = np.delete(part.sum((2, 3, 4)), [8, 9, 14, 15], axis=1)
    return np.asarray(resting.mean(0))


def test_the_order_of_the_frames_tells_them_apart(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """A feature of single frames does it if their order is kept, and does not once it is summed over time."""
    features = [marked_neighbours(part) for part in pair]
    assert nearest_mean_accuracy(*features) > 0.9
    assert abs(nearest_mean_accuracy(*(feature.mean(axis=1) for feature in features)) - 0.5) < 0.2


def test_a_recording_does_not_depend_on_how_many_are_made() -> None:
    assert np.array_equal(reversal.simulate(1, 2)[1], reversal.simulate(1, 5)[1])
    assert not np.array_equal(reversal.simulate(1, 1, seed=1)[0], reversal.simulate(1, 1)[0])


def test_the_set_loads_as_frames(cache_folder: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reversal, "PER_CLASS", 3)
    loaded = load_dataset("reversal", time_steps=reversal.FRAMES)
    assert loaded.frames.shape == (6, reversal.FRAMES, 2, 32, 32)
    assert np.bincount(loaded.labels).tolist() == [3] * 2
    assert loaded.ids[4] == "down-across/001"
    assert np.array_equal(loaded.frames[4], frames(reversal.simulate(1, 2))[1])
    assert np.array_equal(load_dataset("reversal", time_steps=reversal.FRAMES).frames, loaded.frames)


@pytest.mark.timeout(900)
def test_the_temporal_wavelet_tells_a_class_from_its_reversal(cache_folder: Path, tmp_path: Path) -> None:
    """And the same network without it, trained alike, does not. Three minutes on one busy core."""
    assert map_of_codes("space-time", tmp_path) > 0.9
    assert map_of_codes("space", tmp_path) < 0.65


def map_of_codes(wavelet: Wavelet, folder: Path) -> float:
    """Tie-aware mAP of the test queries after both steps of the training in configs/."""
    device, steps = torch.device("cpu"), folder / wavelet / "classes"
    codes = folder / wavelet / "codes"
    steps.mkdir(parents=True)
    codes.mkdir()
    train(with_wavelet("reversal-classes.toml", wavelet), steps, device)
    trained = train(with_wavelet("reversal.toml", wavelet, steps / LAST), codes, device)
    encode = float_encoder(trained.model, device)
    return retrieval_figures(encode, trained.dataset, trained.sets.test, trained.sets.database).mean_average_precision


def with_wavelet(name: str, wavelet: Wavelet, start: Path | None = None) -> Config:
    """The config file ``name`` with another wavelet, and another checkpoint to begin with."""
    config = load_config(CONFIGS / name)
    encoder = config.encoder.model_copy(update={"wavelet": wavelet})
    return config.model_copy(update={"encoder": encoder, "train": config.train.model_copy(update={"start": start})})
