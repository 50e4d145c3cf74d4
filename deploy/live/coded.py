"""Windows of a stream with their codes, and what is to be said of the rest."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from deploy.live.coder import Coder, Nearest
from deploy.live.pump import Arrived, Pump
from deploy.live.source import Source
from spikinghash.errors import SpikinghashError
from training.data.facts import DataFacts
from training.data.windows import Windows
from training.window_options import chosen_windows


@dataclass(frozen=True)
class Coded:
    """A window and what became of it."""

    start: float
    """Seconds."""
    end: float
    events: int
    code: str | None
    """Lower-case hex; ``None`` if its events are too few, or too close in time, to make frames of."""
    latency_ms: float
    """From the arrival of the event that ended the window to its code."""
    nearest: Nearest | None = None

    def __str__(self) -> str:
        near = "" if self.nearest is None else f"  {self.nearest}"
        return f"{self.code or '-':8}  {self.start:.3f}-{self.end:.3f} s  {self.latency_ms:.1f} ms{near}"

    def as_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self) | {"latency_ms": round(self.latency_ms, 3)})


def live_windows(coder: Coder, window: float | None, hop: float | None) -> Windows:
    """How a stream is cut: as asked for in milliseconds, else as the recordings of the index or the training were.

    Raises:
        SpikinghashError: no length is known, or it is too short for the encoder.
    """
    windows = chosen_windows(coder.data, window, hop) or coder.reader.windows
    if windows is None:
        known = (coder.data or DataFacts()).cut
        raise SpikinghashError(f"no length of a window: the network was trained on {known}; give --window MS")
    if windows.length < coder.time_steps:
        raise SpikinghashError(f"{windows}: {coder.time_steps} time steps need as many microseconds")
    return windows


def coded(windows: Iterator[Arrived], coder: Coder) -> Iterator[Coded]:
    """Encode windows as they end."""
    for arrived in windows:
        found = coder.encode(arrived.window.events, arrived.sensor)
        latency = 1000 * (time.monotonic() - arrived.at)
        code, nearest = (None, None) if found is None else found
        window = arrived.window
        yield Coded(window.start / 1e6, window.end / 1e6, len(window.events), code, latency, nearest)


def told(pump: Pump, source: Source) -> list[str]:
    """What is to be said of a stream: first how many windows were dropped, if any were."""
    said = [
        (pump.dropped, "windows were dropped, since the encoder was slower than the stream: use a longer --hop"),
        (pump.outside, "events lie outside the sensor and were left out"),
        (pump.late, "events came when their window had ended"),
        (pump.left_out, "events of windows that hold too many were left out: use a shorter --window"),
        (pump.restarts, "times the clock was set back, and windows began anew"),
        *((count, f"{what} were left out") for what, count in dict(source.lost).items()),
    ]
    lines = [f"{count:,} {what}" for count, what in said if count]
    return lines + [f"nothing came for {pump.silence:g} s: the stream has ended"] * pump.silent
