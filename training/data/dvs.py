"""A dynamic vision sensor (DVS) watching a still image that moves.

The pixel follows Lichtsteiner, Posch and Delbruck, "A 128x128 120 dB 15 us latency asynchronous temporal contrast
vision sensor", IEEE J. Solid-State Circuits 43(2), 2008: it remembers the log intensity at which it was last reset and
emits an ON (OFF) event when the log intensity has risen (fallen) by more than its contrast threshold. After an event it
is held in reset for the refractory time. Thresholds differ from pixel to pixel; noise adds spontaneous events.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.events import EVENT_DTYPE, Events

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

_IMAGES_AT_ONCE = 64  # 0.3 MB per float32 array at 34x34: the state stays in the processor's cache


@dataclass(frozen=True)
class Sensor:
    """A DVS: its size in pixels, and the parameters of its pixels. Times are in microseconds."""

    width: int = 34
    height: int = 34
    contrast_threshold: float = 0.345
    """Mean change of log intensity that makes an event."""
    threshold_mismatch: float = 0.021
    """Standard deviation of the threshold over the pixels, as a part of the mean (2.1 % in the paper above)."""
    refractory: int = 2000
    noise_rate: float = 0.2
    """Spontaneous events per pixel and second."""
    dark_level: float = 0.1
    """Intensity of black where white is 1: what the screen leaks and the room adds."""
    step: int = 1000
    """Time between two looks at the scene; at most the refractory time, so that a pixel fires once per step at most."""
    seed: int = 0
    """Seed of the mismatch: one seed is one sensor."""

    def __post_init__(self) -> None:
        if not 0 < self.step <= self.refractory:
            raise ValueError(f"step is {self.step} us, refractory is {self.refractory} us: use a step from 1 to that")

    def thresholds(self) -> Floats:
        """Contrast threshold of each pixel, shape (height, width)."""
        spread = np.random.default_rng(self.seed).standard_normal((self.height, self.width))
        return (self.contrast_threshold * (1 + self.threshold_mismatch * spread)).astype(np.float32)


def record(sensor: Sensor, images: Floats, path: Floats, seeds: Integers) -> Iterator[Events]:
    """Let ``sensor`` watch each of ``images`` moving along ``path``.

    Args:
        images: ink, from 0 (white) to 1 (black), shape (images, h, w); white outside.
        path: position of the image's first pixel on the sensor at each step, shape (steps + 1, 2), x and y in pixels.
        seeds: one seed per image for its noise, so that a recording does not depend on those beside it.

    Yields:
        The events of each image, sorted by time, which is 0 at the first position of the path.
    """
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        chunk = slice(start, start + _IMAGES_AT_ONCE)
        noise = _noise(sensor, len(path) - 1, seeds[chunk])
        simulation = _Simulation(sensor, _Scene(sensor, images[chunk], path), noise)
        fired = np.concatenate([simulation.advance(step) for step in range(1, len(path))], axis=1)
        yield from _recordings(sensor, len(images[chunk]), *fired)


class _Scene:
    """Log intensity on the sensor while the images move, by bilinear interpolation."""

    def __init__(self, sensor: Sensor, images: Floats, path: Floats) -> None:
        self._sensor, self._path = sensor, path
        self._margin = int(np.ceil(np.abs(path).max())) + 1
        count, height, width = images.shape
        canvas = (max(height, sensor.height) + 2 * self._margin, max(width, sensor.width) + 2 * self._margin)
        self._canvas = np.ones((count, *canvas), np.float32)
        inside = np.s_[:, self._margin : self._margin + height, self._margin : self._margin + width]
        self._canvas[inside] -= (1 - sensor.dark_level) * images

    def log_intensity(self, step: int) -> Floats:
        """Log intensity of each pixel at a step of the path, shape (images, height, width)."""
        x, y = self._path[step]
        column, row = int(np.floor(x)), int(np.floor(y))
        right, down = np.float32(x - column), np.float32(y - row)
        rows = (1 - down) * self._rows(row) + down * self._rows(row + 1)
        moved = (1 - right) * self._columns(rows, column) + right * self._columns(rows, column + 1)
        return np.asarray(np.log(moved), np.float32)

    def _rows(self, shift: int) -> Floats:
        return self._canvas[:, self._margin - shift :][:, : self._sensor.height]

    def _columns(self, rows: Floats, shift: int) -> Floats:
        return rows[:, :, self._margin - shift :][:, :, : self._sensor.width]


def _noise(sensor: Sensor, steps: int, seeds: Integers) -> list[Integers]:
    """Draw the spontaneous events of each image from its own generator and sort them into steps.

    Those of a step are rows pixel, time, sign (1 = ON, -1 = OFF), sorted by pixel, one per pixel at most.
    """
    area = sensor.width * sensor.height
    drawn = [_noise_of_image(sensor, steps, int(seed)) for seed in seeds]
    images = np.repeat(np.arange(len(seeds)), [part.shape[1] for part in drawn])
    events = np.concatenate(drawn, axis=1)
    events[0] += images * area
    moments = np.minimum(events[1] // sensor.step, steps - 1)
    _, first = np.unique(moments * area * len(seeds) + events[0], return_index=True)
    return np.split(events[:, first], np.searchsorted(moments[first], np.arange(1, steps)), axis=1)


def _noise_of_image(sensor: Sensor, steps: int, seed: int) -> Integers:
    generator = np.random.default_rng((sensor.seed, seed))
    area, duration = sensor.width * sensor.height, steps * sensor.step
    count = generator.poisson(sensor.noise_rate * area * duration * 1e-6)
    pixels, times = generator.integers(area, size=count), generator.integers(duration, size=count)
    return np.stack([pixels, times, 2 * generator.integers(2, size=count) - 1])


class _Simulation:
    """The state of all pixels. A pixel's number is its index in the flattened (images, height, width) array."""

    def __init__(self, sensor: Sensor, scene: _Scene, noise: list[Integers]) -> None:
        self._sensor, self._scene, self._noise = sensor, scene, noise
        self._thresholds = sensor.thresholds()
        self._level = scene.log_intensity(0)
        self._reference = self._level.copy()
        self._ready = np.zeros(self._level.size, np.int64)  # when each pixel's refractory time ends
        self._held = np.zeros(0, np.int64)  # pixels in their refractory time

    def advance(self, step: int) -> Integers:
        """Events between two looks at the scene: rows pixel, time, polarity (1 = ON)."""
        before, self._level = self._level, self._scene.log_intensity(step)
        change = self._level - self._reference
        noise = self._spontaneous(change, step)
        pixels = np.flatnonzero(np.abs(change) > self._thresholds)
        times = self._crossing_times(before, change, pixels, step)
        times[np.isinf(change.ravel()[pixels])] = noise
        self._reset(pixels, times, step)
        return np.stack([pixels, times, change.ravel()[pixels] > 0])

    def _spontaneous(self, change: Floats, step: int) -> Integers:
        """Mark pixels that fire without cause by an infinite change; returns their times, sorted by pixel."""
        pixels, times, signs = self._noise[step - 1]
        awake = self._ready[pixels] <= times
        change.ravel()[pixels[awake]] = signs[awake] * np.inf
        return np.asarray(times[awake])

    def _crossing_times(self, before: Floats, change: Floats, pixels: Integers, step: int) -> Integers:
        """When each pixel's change reached its threshold, the intensity being taken as linear within the step."""
        sensor = self._sensor
        thresholds = self._thresholds.ravel()[pixels % self._thresholds.size]
        sign = np.sign(change.ravel()[pixels])
        level, earlier, reference = (a.ravel()[pixels] for a in (self._level, before, self._reference))
        with np.errstate(divide="ignore", invalid="ignore"):  # spontaneous events, whose times come from elsewhere
            part = (thresholds - sign * (earlier - reference)) / (sign * (level - earlier))
        part = np.clip(np.nan_to_num(part), 0, 1)
        times = (step - 1) * sensor.step + np.floor(part * (sensor.step - 1)).astype(np.int64)
        return np.maximum(times, self._ready[pixels])

    def _reset(self, pixels: Integers, times: Integers, step: int) -> None:
        """Hold the pixels that fired, and those still in their refractory time, at the present level."""
        self._ready[pixels] = times + self._sensor.refractory
        held = np.concatenate([self._held, pixels])
        self._held = held[self._ready[held] > step * self._sensor.step]
        self._reference.ravel()[self._held] = self._level.ravel()[self._held]


def _recordings(
    sensor: Sensor, count: int, pixels: Integers, times: Integers, polarities: Integers
) -> Iterator[Events]:
    """Sort the events of ``count`` images by image and time and cut them apart."""
    images, place = np.divmod(pixels, sensor.width * sensor.height)
    order = np.lexsort((place, times, images))
    events = np.empty(len(order), EVENT_DTYPE)
    events["y"], events["x"] = np.divmod(place[order], sensor.width)
    events["t"], events["p"] = times[order], polarities[order]
    yield from np.split(events, np.searchsorted(images[order], np.arange(1, count)))
