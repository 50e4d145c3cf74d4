"""Own recordings as a user has them: simulated things before a DVS, in two sessions, several long files each.

A session has its own sensor noise and speed, and each thing stands somewhere else in it: who splits at random finds a
thing by where it stands.
"""

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from training.data.dvs import Floats, Sensor, record
from training.data.events import Events

CORNERS = 4
CONFIG = """
[data]
name = "folder"
root = "{root}"
sensor = "48x48"
window_ms = 200
test = "*/session1/*"

[encoder]
time_steps = 4
size = 16
channels = [8, 16, 16]
blocks = [1, 1, 1]
mixers = ["swm", "swm", "ssa"]
levels = [1, 1, 0]
channels_per_group = 4
heads = [0, 0, 4]
mlp_ratio = 2
bits = 16

[train]
epochs = {epochs}
batch_size = 8
learning_rate = 8e-3
max_shift = 0
"""
"""A config of a small encoder that asks for the second session."""

THINGS = ("bar", "cross", "ring", "square")


def thing(name: str, size: int) -> Floats:
    """Ink of a thing, ``size`` pixels wide and high."""
    y, x = (np.mgrid[:size, :size] - size / 2 + 0.5) / (size / 2)
    far = np.hypot(x, y)
    drawn: dict[str, NDArray[np.bool_]] = {
        "bar": (np.abs(x) < 0.25) & (np.abs(y) < 0.95),
        "cross": np.minimum(np.abs(x - y), np.abs(x + y)) < 0.35,
        "ring": (far < 0.95) & (far > 0.55),
        "square": np.maximum(np.abs(x), np.abs(y)) < 0.7,
    }
    return drawn[name].astype(np.float32)


def simulate(name: str, session: int, number: int, side: int, seconds: float) -> Events:
    """A thing that is waved about a place of the session's own, before a sensor of ``side`` x ``side`` pixels."""
    generator = np.random.default_rng((THINGS.index(name), session, number))
    sensor = Sensor(width=side, height=side, noise_rate=0.2 + 0.3 * session, seed=session, step=2000)
    size = round(side * (0.4 + 0.05 * session))
    image = np.zeros((side, side), np.float32)
    image[:size, :size] = thing(name, size)
    steps = round(seconds * 1e6 / sensor.step)
    turn = 2 * np.pi * np.arange(steps + 1) * sensor.step * 1e-6 * (2.5 + 0.5 * session)
    corner = np.array(divmod((THINGS.index(name) + session) % CORNERS, 2))
    place = (0.1 + 0.8 * corner) * (side - size)
    phase, stretch = generator.uniform(0, 2 * np.pi, 2), generator.uniform(0.06, 0.1, 2) * side
    path = place + np.stack([np.cos(turn + phase[0]), np.sin(turn * 1.1 + phase[1])], 1) * stretch
    (events,) = record(sensor, image[None], path.astype(np.float32), np.array([1000 * session + number]))
    return events


def write_h5(path: Path, events: Events) -> None:
    """As h5py writes the layout of DSEC; it does not tell the sensor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for field, kind in (("x", "u2"), ("y", "u2"), ("t", "i8"), ("p", "u1")):
            file.create_dataset(f"events/{field}", data=events[field].astype(kind), compression="gzip")


def write_sessions(root: Path, side: int, seconds: float, files: int, things: tuple[str, ...] = THINGS) -> None:
    """``root/THING/SESSION/NUMBER.h5``, two sessions."""
    for name in things:
        for session in range(2):
            for number in range(files):
                write_h5(
                    root / name / f"session{session}" / f"{number}.h5", simulate(name, session, number, side, seconds)
                )
