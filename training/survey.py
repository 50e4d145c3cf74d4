"""What a folder of recordings holds, and how full frames are by the length of the windows that they are cut into."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from spikinghash.errors import RecordingError
from spikinghash.progress import track
from training.data.facts import fill_of, quantiles
from training.data.reader import Reader, binned
from training.data.recordings import Recording
from training.data.sampling import recording_files
from training.data.source import class_of
from training.data.windows import Windows

LENGTHS = (50.0, 100.0, 200.0, 400.0, 800.0, 1600.0)
"""Milliseconds that are tried."""
PLEASANT_FILL = 0.2
"""Median share of ones that a suggested window stays below: that of digits, whose recordings are like N-MNIST's, in the
four frames that the committed networks read."""
LOOKED_AT = 24
"""Files that are read for it, at most, and windows of each of them."""


@dataclass(frozen=True)
class Found:
    """The recordings of a folder."""

    classes: dict[str, list[Path]]
    """Files by class."""
    recordings: list[Recording]
    """Of some of them, spread evenly."""
    skipped: tuple[str, ...]
    """Why others could not be used."""


@dataclass(frozen=True)
class Length:
    """A length of windows, tried on some recordings."""

    window_ms: float
    windows: int
    """How many there are in the recordings that were looked at."""
    fill: tuple[float, float, float] | None
    """Quantiles of the share of ones in the frames; ``None``: no recording is so long."""
    events: int
    """Median of a window."""


def look(folder: Path, reader: Reader) -> Found:
    """Read some recordings of ``folder``, of every class.

    Raises:
        RecordingError: there are none, or none can be read.
    """
    classes: dict[str, list[Path]] = {}
    for path in recording_files([folder]):
        classes.setdefault(class_of(path, folder), []).append(path)
    each = max(1, LOOKED_AT // len(classes))
    chosen = [path for files in classes.values() for path in files[:: max(1, -(-len(files) // each))]]
    recordings, skipped = [], []
    for path in track(chosen, "reading recordings", len(chosen)):
        try:
            recordings.append(reader.whole(path))
        except RecordingError as error:
            skipped.append(str(error))
    if not recordings:
        raise RecordingError(skipped[0])
    return Found(classes, recordings, tuple(skipped))


def try_lengths(
    recordings: Sequence[Recording], time_steps: int, size: int, lengths: Sequence[float] = LENGTHS
) -> list[Length]:
    """How full the frames (T, 2, size, size) of windows of each of ``lengths`` (ms) are."""
    tried = track(lengths, "trying windows", len(lengths))
    return [_try(recordings, time_steps, size, length) for length in tried]


def _try(recordings: Sequence[Recording], time_steps: int, size: int, length: float) -> Length:
    windows, fills, events, count = Windows.of_ms(length), [], [], 0
    assert windows is not None
    for recording in recordings:
        try:
            parts = windows.cut(recording)
            kept, frames = binned(parts[:: max(1, len(parts) // LOOKED_AT)], time_steps, size)
        except RecordingError:  # shorter than a window, or too few events in all of them
            continue
        count += len(parts)
        fills.append(fill_of(frames))
        events += [len(part.events) for part in kept]
    fill = quantiles(np.concatenate(fills)) if fills else None
    return Length(length, count, fill, int(np.median(events)) if events else 0)


def suggested(lengths: Sequence[Length]) -> float | None:
    """The longest window, in milliseconds, whose frames are not too full; ``None``: those of all are."""
    fitting = [each.window_ms for each in lengths if each.fill is not None and each.fill[1] <= PLEASANT_FILL]
    return max(fitting, default=None)


def lengths_table(lengths: Sequence[Length], scores: Sequence[float] | None = None) -> Table:
    """A row per length; ``scores`` are validation mAPs."""
    more = () if scores is None else ("validation mAP",)
    table = Table("window", "windows", "events", "events/s", "frames on: median", "1 %", "99 %", *more)
    for number, each in enumerate(lengths):
        low, middle, high = ("-", "-", "-") if each.fill is None else (f"{value:.1%}" for value in each.fill)
        score = () if scores is None else (f"{scores[number]:.3f}",)
        rate = f"{1000 * each.events / each.window_ms:,.0f}"
        table.add_row(
            f"{each.window_ms:g} ms", f"{each.windows:,}", f"{each.events:,}", rate, middle, low, high, *score
        )
    return table


def advice(lengths: Sequence[Length]) -> str:
    """What to do with the suggestion."""
    window = suggested(lengths)
    if window is None:
        return f"all are fuller than {PLEASANT_FILL:.0%}: try shorter ones, more time steps or larger frames"
    return f"suggested: data.window_ms = {window:g}, the longest of which no more than {PLEASANT_FILL:.0%} is on"
