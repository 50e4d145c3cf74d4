"""The ``reversal`` set: two classes that are each other's time reversal, so that order is the only cue.

A shape of random kind, size and place, as wide as high, rests before the DVS of ``dvs.py``, shakes across, rests,
shakes down, and rests; in the other class it shakes down first. Nothing but order is to tell them apart:

* Half of each class are recordings of the other's movement run backwards (t becomes end - t, polarities stay): a pixel
  answers late to a change, and backwards it answers early, which would give the direction of time away.
* Nothing moves at first and at last: neurons that start from rest would answer what comes first as they answer nothing
  later. Noise alone arrives then, so that the frames span the recording.
* Between the two shakings nothing moves for four frames, which leave a sixteenth of a neuron's potential.

In 24 frames the shakings fill frames 8 and 9, and 14 and 15: the first half of a block of four frames, and the second.
"""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from spikinghash.arrays import Arrays
from training.data.cache import cached
from training.data.dvs import Sensor, record
from training.data.events import EVENT_DTYPE, Events
from training.data.reader import Reader
from training.data.recordings import Recording
from training.data.source import Recordings, Source, rows_of

SIZE = 32
CLASSES = ("across-down", "down-across")
PER_CLASS = 200
SENSOR = Sensor(width=SIZE, height=SIZE, step=2000, refractory=2000, noise_rate=1.0)

FRAMES = 24
_FRAME = 5  # steps
_STEPS = FRAMES * _FRAME
END = _STEPS * SENSOR.step - 1
"""Last moment of a recording, in microseconds."""
_SHAKINGS = (8 * _FRAME + 1, 14 * _FRAME + 1)  # steps at which they begin: one later than their frames
_PERIOD = 2 * _FRAME - 2  # steps that a shaking lasts, so that it ends one step before its frames
_REACH = 2  # pixels to either side
_DIRECTIONS = ((1, 0), (0, 1))  # x and y
_VERSION = 6  # raise it when the same parameters make other events


def source(reader: Reader) -> Source:
    """All recordings: 200 of each class, made in a few seconds and cached."""
    key = {"version": _VERSION, "sensor": asdict(SENSOR), "per_class": PER_CLASS, "classes": CLASSES, "steps": _STEPS}

    def open_recordings() -> Recordings:
        arrays = cached("reversal-events", key, lambda: _simulate(PER_CLASS))
        starts, events = arrays["starts"], arrays["events"]
        labels = np.repeat(np.arange(len(CLASSES)), PER_CLASS)
        ids = [f"{CLASSES[label]}/{index % PER_CLASS:03d}" for index, label in enumerate(labels.tolist())]

        def read(index: int) -> Recording:
            return Recording(events[starts[index] : starts[index + 1]], (SIZE, SIZE, 2), ids[index])

        return Recordings(labels, ids, rows_of(read, reader))

    return Source(key, open_recordings, CLASSES)


def simulate(label: int, count: int, seed: int = 0) -> list[Events]:
    """The first ``count`` recordings of class ``label``; each is the same whatever ``count`` is.

    Every second one is the other class's movement run backwards.
    """
    seeds = np.arange(count) + 1_000_000 * label + 10_000_000 * seed
    recordings: list[Events] = [np.empty(0, EVENT_DTYPE)] * count
    recordings[0::2] = _record(label, seeds[0::2])
    recordings[1::2] = [reverse(events) for events in _record(1 - label, seeds[1::2])]
    return recordings


def reverse(events: Events) -> Events:
    """The recording run backwards, within the time from 0 to ``END``."""
    reversed_events = events[::-1].copy()
    reversed_events["t"] = END - events["t"][::-1]
    return reversed_events


def path(label: int) -> NDArray[np.float32]:
    """Position of the image's first pixel at each step, shape (steps + 1, 2): x and y in pixels, around 0."""
    steps = np.arange(_STEPS + 1)[:, None]
    directions = np.array(_DIRECTIONS if label == 0 else _DIRECTIONS[::-1])
    moved = np.zeros((_STEPS + 1, 2))
    for start, direction in zip(_SHAKINGS, directions, strict=True):
        during = (steps >= start) & (steps <= start + _PERIOD)
        moved += direction * np.where(during, _REACH * np.sin(2 * np.pi * (steps - start) / _PERIOD), 0)
    return moved.astype(np.float32)


def _record(label: int, seeds: NDArray[np.int64]) -> list[Events]:
    """A recording of the class's movement, run forwards, for each of ``seeds``."""
    if not len(seeds):
        return []
    images = np.stack([_shape(np.random.default_rng((SENSOR.seed, int(seed)))) for seed in seeds])
    return list(record(SENSOR, images, path(label), seeds))


def _shape(generator: np.random.Generator) -> NDArray[np.float32]:
    """Ink of a box, a cross or a ring of random size near the centre, shape (SIZE, SIZE): as wide as high."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + 0.5
    across, down = generator.uniform(-2, 2, 2)
    x, y = np.abs(columns - across), np.abs(rows - down)
    long, short = generator.uniform(7, 11), generator.uniform(1.5, 3)
    kinds = (
        (x < 0.7 * long) & (y < 0.7 * long),
        np.minimum(x, y) < short - 0.5,
        np.abs(np.hypot(x, y) - 0.7 * long) < short,
    )
    inside = kinds[generator.integers(len(kinds))] & (np.maximum(x, y) < long)
    return inside.astype(np.float32)


def _simulate(count: int) -> Arrays:
    recordings = [events for label in range(len(CLASSES)) for events in simulate(label, count)]
    starts = np.cumsum([0] + [len(events) for events in recordings])
    return {"events": np.concatenate(recordings).astype(EVENT_DTYPE), "starts": starts}
