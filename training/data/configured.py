"""The data set that a config names, split."""

from dataclasses import replace

import numpy as np

from training.config import Config, DataConfig, EncoderConfig
from training.data.frames import Dataset, load_dataset
from training.data.overlap import same_images
from training.data.splits import Split, split


def load_data(config: Config) -> tuple[Dataset, Split]:
    """Frames in the encoder's sizes, and the split that training and evaluation share.

    Recordings of ``digits`` that show the image of an N-MNIST query are in no set: the network must not have seen it.

    Raises:
        RecordingError: a data set is missing or cannot be used.
    """
    dataset = _load(config.data, config.encoder)
    sets = split(dataset.labels, official=dataset.test)
    for name in config.data.also:
        extra = _load(DataConfig(name=name), config.encoder)
        allowed = np.ones(len(extra), bool)
        if config.data.name == "nmnist":
            queries = [dataset.ids[index] for index in np.concatenate([sets.validation, sets.test])]
            allowed[list(same_images(dataset.ids, queries))] = False
        sets = replace(sets, extra=np.concatenate([sets.extra, np.flatnonzero(allowed) + len(dataset)]))
        dataset = _joined(dataset, extra)
    return dataset, sets


def _load(data: DataConfig, encoder: EncoderConfig) -> Dataset:
    return load_dataset(data.name, time_steps=encoder.time_steps, size=encoder.size, root=data.root, sensor=data.sensor)


def _joined(first: Dataset, second: Dataset) -> Dataset:
    return Dataset(
        np.concatenate([first.frames, second.frames]),
        np.concatenate([first.labels, second.labels]),
        first.ids + second.ids,
        classes=first.classes,
    )
