"""The data set that a config names, split."""

from training.config import Config
from training.data.frames import Dataset, load_dataset
from training.data.splits import Split, split


def load_data(config: Config) -> tuple[Dataset, Split]:
    """Frames in the encoder's sizes, and the split that training and evaluation share.

    Raises:
        RecordingError: the data set is missing or cannot be used.
    """
    data, encoder = config.data, config.encoder
    dataset = load_dataset(
        data.name, time_steps=encoder.time_steps, size=encoder.size, root=data.root, sensor=data.sensor
    )
    return dataset, split(dataset.labels, official=dataset.test)
