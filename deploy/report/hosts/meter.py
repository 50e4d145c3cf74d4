"""Import of an external power meter's log: a CSV file with the columns ``time_s`` and ``power_w``.

``time_s`` is in seconds since 1970-01-01 UTC, by the clock of the measured machine (or one set to it).
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.report.hosts.results import Energy, Hosts, Source, Window
from spikinghash.errors import RecordingError

COLUMNS = ("time_s", "power_w")


@dataclass(frozen=True)
class Meter:
    """Power over time; between two samples it is taken to change linearly."""

    path: Path
    time_s: NDArray[np.float64]
    power_w: NDArray[np.float64]

    def joules(self, window: Window, what: str) -> float:
        """Integral of the power over ``window``; ``what`` names the window in messages.

        Raises:
            RecordingError: the log does not cover the window, or has fewer than two samples in it.
        """
        first, last = float(self.time_s[0]), float(self.time_s[-1])
        if window.start < first or window.end > last:
            raise RecordingError(
                f"{self.path}: covers {first:.1f} to {last:.1f} s, but {what} lasted from {window.start:.1f} to "
                f"{window.end:.1f} s: start the meter before the measurement, and set both clocks alike"
            )
        inside = (self.time_s > window.start) & (self.time_s < window.end)
        if inside.sum() < 2:
            raise RecordingError(
                f"{self.path}: {inside.sum()} samples within {what}, which lasted {window.seconds:.2f} s, at least 2 "
                "are needed: sample faster, or measure longer with --seconds"
            )
        times = np.concatenate([[window.start], self.time_s[inside], [window.end]])
        return float(np.trapezoid(np.interp(times, self.time_s, self.power_w), times))


def read_meter(path: Path) -> Meter:
    """Read a meter's log.

    Raises:
        RecordingError: a column is missing, or a row is no finite pair in ascending time with power of 0 or more; the
            message names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            names = [column.strip() for column in next(reader, [])]
            if missing := [name for name in COLUMNS if name not in names]:
                found = ",".join(names)[:80]
                raise RecordingError(f"{path}:1: no column {missing[0]}, found {found!r}: use {','.join(COLUMNS)}")
            places = [names.index(name) for name in COLUMNS]
            rows = [_row(f"{path}:{reader.line_num}", row, places) for row in reader if row]
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise RecordingError(f"{path}: is no CSV text with the columns {','.join(COLUMNS)}") from None
    if len(rows) < 2:
        raise RecordingError(f"{path}: holds {len(rows)} samples: at least 2 are needed")
    values = np.array([values for _, values in rows])
    back = np.flatnonzero(np.diff(values[:, 0]) <= 0)
    if len(back):
        where, (time, _) = rows[int(back[0]) + 1]
        raise RecordingError(f"{where}: time_s {time} does not follow {values[back[0], 0]}: times must ascend")
    return Meter(path, values[:, 0], values[:, 1])


def _row(where: str, row: Sequence[str], places: Sequence[int]) -> tuple[str, tuple[float, float]]:
    try:
        time, power = (float(row[place]) for place in places)
    except (ValueError, IndexError):
        raise RecordingError(f"{where}: {','.join(row)[:60]!r} holds no two numbers {','.join(COLUMNS)}") from None
    if not (math.isfinite(time) and math.isfinite(power)) or power < 0:
        raise RecordingError(f"{where}: time_s {time}, power_w {power}: both must be finite, the power 0 or more")
    return where, (time, power)


def add_meter(hosts: Hosts, meter: Meter) -> Hosts:
    """``hosts`` with the energy of every run from the meter, whole and above what it showed while idle.

    Raises:
        RecordingError: the log does not cover the runs.
    """
    idle = meter.joules(hosts.idle, "the idle time") / hosts.idle.seconds
    runs = []
    for run in hosts.runs:
        what = f"a turn of {run.encoder}, {run.kind}, {run.text} with batch {run.batch}"
        joules = sum(meter.joules(window, what) for window in run.windows)
        codes = run.recordings * run.passes
        energy = energy_per_code(joules, idle, run.windows, codes, "meter", "what the meter supplies")
        runs.append(run.model_copy(update={"energy": energy}))
    return hosts.model_copy(update={"runs": tuple(runs)})


def energy_per_code(
    joules: float, idle_watts: float, windows: Sequence[Window], codes: int, source: Source, covers: str
) -> Energy:
    """Energy of ``codes`` codes made in ``windows``: whole, and above what the idle machine would have drawn."""
    seconds = sum(window.seconds for window in windows)
    return Energy(
        joules_per_code=joules / codes,
        dynamic_joules_per_code=(joules - idle_watts * seconds) / codes,
        idle_watts=idle_watts,
        source=source,
        kind="metered" if source == "meter" else "measured",
        covers=covers,
    )
