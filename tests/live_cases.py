"""Streams for the tests of live encoding."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from event_files import Row

from spikinghash.resources import example
from training.data.events import EVENT_DTYPE, Events, SensorSize
from training.data.recordings import load_recording

SENSOR = (34, 34, 2)
WINDOW = 5_000
"""Microseconds."""


def digits() -> list[Row]:
    """The ten digits, one in a window, a third of their events: codes differ."""
    rows: list[Row] = []
    for number in range(10):
        events = load_recording(example(str(number))).events[::3]
        times = (events["t"] - events["t"][0]) * (WINDOW - 1) // (events["t"][-1] - events["t"][0])
        columns = events["x"], events["y"], times + number * WINDOW, events["p"]
        rows += [tuple(row) for row in np.stack(columns, 1).astype(int).tolist()]
    return rows


def as_events(rows: Sequence[Row]) -> Events:
    return np.array([tuple(row) for row in rows], EVENT_DTYPE)


class Listed:
    """A source of chunks that are there already."""

    def __init__(self, chunks: list[Events], *, waits: bool) -> None:
        self.sensor: SensorSize | None = SENSOR
        self.waits, self.lost, self._chunks = waits, Counter[str](), chunks

    def __iter__(self) -> Iterator[Events]:
        yield from self._chunks

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def await_listener(port: int) -> None:
    """Wait until some socket of this machine listens for datagrams on ``port``."""
    while f":{port:04X} " not in Path("/proc/net/udp").read_text():
        time.sleep(0.05)
