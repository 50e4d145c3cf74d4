"""Recordings of digits that show the image of an N-MNIST query are not trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from spikinghash.errors import RecordingError
from training.config import Config, DataConfig
from training.data.configured import load_data
from training.data.frames import Dataset, load_dataset
from training.data.overlap import same_images


def test_the_nth_of_a_class_shows_the_nth_image_of_that_class() -> None:
    ids = ["Train/3/00001", "Train/0/00002", "Train/3/00003", "Train/3/00004", "Test/3/00001"]
    assert same_images(ids, ["Train/3/00004", "Train/0/00002"]) == {1502, 0}
    assert same_images(ids, ["Test/3/00001"]) == set()


def test_images_beyond_those_of_digits_are_in_no_recording_of_it() -> None:
    ids = [f"Train/7/{number:05d}" for number in range(1, 502)]
    assert same_images(ids, ids[498:]) == {3998, 3999}


def test_missing_recordings_are_told() -> None:
    with pytest.raises(RecordingError, match=r"2 training recordings are there, the highest number is 3: .*leave out"):
        same_images(["Train/3/00001", "Train/0/00003"], ["Train/0/00003"])


def likeness(frames: np.ndarray) -> np.ndarray:
    """Blurred pictures of all events, (recordings, pixels), of zero mean and unit length."""
    pictures = avg_pool2d(torch.from_numpy(frames.astype(np.float32).sum((1, 2)))[:, None], 3, 1, 1)
    flat = pictures.reshape(len(frames), -1).numpy()
    flat = flat - flat.mean(1, keepdims=True)
    return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True))


@pytest.fixture(scope="module")
def both(nmnist_folder: Path) -> tuple[Dataset, Dataset]:
    return load_dataset("nmnist", root=nmnist_folder), load_dataset("digits")


def test_the_recordings_look_alike(both: tuple[Dataset, Dataset]) -> None:
    """The oracle of the numbering: among 500 of its class, the recording named is nearly always the likest one."""
    real, made = both
    picked = [real.ids[index] for index in range(0, len(real), 10)]
    ranks = []
    for name in picked:
        (number,) = same_images(real.ids, [name])
        same_class = np.flatnonzero(made.labels == made.labels[number])
        scores = likeness(made.frames[same_class]) @ likeness(real.frames[[real.ids.index(name)]])[0]
        ranks.append(int((scores > scores[number - same_class[0]]).sum()))
    assert np.median(ranks) <= 5  # by chance: 250


def test_no_query_of_n_mnist_shows_an_image_that_is_trained_on(nmnist_folder: Path) -> None:
    config = Config(data=DataConfig(name="nmnist", root=nmnist_folder, also=("digits",)))
    dataset, sets = load_data(config)
    queries = [dataset.ids[index] for index in np.concatenate([sets.validation, sets.test])]
    shown = same_images(dataset.ids[:1000], queries)
    trained = {int(dataset.ids[index].split("/")[1]) for index in sets.extra}
    assert len(shown) == len(queries) == 200
    assert not shown & trained
    assert len(trained) == 4800
