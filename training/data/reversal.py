"""The ``reversal`` set: pairs of classes that are each other's time reversal, so that order is the only cue.

A shape of random kind, size and place, as wide as high, shakes in one direction, rests, and shakes in another, before
the DVS of ``dvs.py``. The recordings of the second class of a pair are made by the same generator and then run
backwards: t becomes end - t, polarities stay. Shaking run backwards is shaking, so that both classes have the same
frames, in distribution, and any feature that is summed over the frames is the same; the rest is long enough for a
neuron's potential to fade.
"""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from training.data.cache import Arrays, cached
from training.data.dvs import Sensor, record
from training.data.events import EVENT_DTYPE, Events, Recording
from training.data.source import Recordings, Source, frames_of

SIZE = 32
PAIRS = {"across-down": ((1, 0), (0, 1)), "rising-falling": ((1, -1), (1, 1))}
"""Directions (x, y) of the first and the second shaking of each pair; class 2k + 1 is the reversal of class 2k."""
PER_CLASS = 200
SENSOR = Sensor(width=SIZE, height=SIZE, step=2000, refractory=2000)

_STEPS = 100
END = _STEPS * SENSOR.step
"""End of a recording, in microseconds."""
_REST = (25, 75)  # steps at which it begins and ends: four of eight frames
_PERIOD = 12.5  # steps
_REACH = 2  # pixels to either side
_VERSION = 5  # raise it when the same parameters make other events


def source() -> Source:
    """All recordings: 200 of each of 4 classes, made in a few seconds and cached."""
    key = {"version": _VERSION, "sensor": asdict(SENSOR), "per_class": PER_CLASS, "pairs": list(PAIRS), "steps": _STEPS}

    def open_recordings() -> Recordings:
        arrays = cached("reversal-events", key, lambda: _simulate(PER_CLASS))
        starts, events = arrays["starts"], arrays["events"]
        labels = np.repeat(np.arange(2 * len(PAIRS)), PER_CLASS)
        ids = [f"{class_name(label)}/{index % PER_CLASS:03d}" for index, label in enumerate(labels.tolist())]

        def read(index: int) -> Recording:
            return Recording(events[starts[index] : starts[index + 1]], (SIZE, SIZE, 2))

        return Recordings(labels, ids, frames_of(read, ids))

    return Source(key, open_recordings)


def class_name(label: int) -> str:
    """The name of a class."""
    return list(PAIRS)[label // 2] + ("-reversed" if label % 2 else "")


def simulate(label: int, count: int, seed: int = 0) -> list[Events]:
    """The first ``count`` recordings of class ``label``; each is the same whatever ``count`` is."""
    seeds = np.arange(count) + 1_000_000 * label + 10_000_000 * seed
    images = np.stack([_shape(np.random.default_rng((SENSOR.seed, int(number)))) for number in seeds])
    recordings = list(record(SENSOR, images, path(list(PAIRS)[label // 2]), seeds))
    return [reverse(events) for events in recordings] if label % 2 else recordings


def reverse(events: Events) -> Events:
    """The recording run backwards, within the time from 0 to ``END``."""
    reversed_events = events[::-1].copy()
    reversed_events["t"] = END - events["t"][::-1]
    return reversed_events


def path(name: str) -> NDArray[np.float32]:
    """Position of the image's first pixel at each step, shape (steps + 1, 2): x and y in pixels, around 0."""
    steps = np.arange(_STEPS + 1)[:, None]
    first, second = (np.array(direction) for direction in PAIRS[name])
    swing = _REACH * np.sin(2 * np.pi * np.minimum(steps, _STEPS - steps) / _PERIOD)
    direction = np.where(steps < _REST[0], first, np.where(steps > _REST[1], second, 0))
    return np.asarray(swing * direction, np.float32)


def _shape(generator: np.random.Generator) -> NDArray[np.float32]:
    """Ink of a box, a cross or a ring of random size near the centre, shape (SIZE, SIZE): as wide as high."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + 0.5
    across, down = generator.uniform(-3, 3, 2)
    x, y = np.abs(columns - across), np.abs(rows - down)
    long, short = generator.uniform(5, 8), generator.uniform(1, 2.5)
    kinds = (
        (x < 0.6 * long) & (y < 0.6 * long),
        np.minimum(x, y) < short - 0.5,
        np.abs(np.hypot(x, y) - 0.7 * long) < short,
    )
    inside = kinds[generator.integers(len(kinds))] & (np.maximum(x, y) < long)
    return inside.astype(np.float32)


def _simulate(count: int) -> Arrays:
    recordings = [events for label in range(2 * len(PAIRS)) for events in simulate(label, count)]
    starts = np.cumsum([0] + [len(events) for events in recordings])
    return {"events": np.concatenate(recordings).astype(EVENT_DTYPE), "starts": starts}
