"""What event files hold: ``python -m training.info FILE...``."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from scipy import ndimage

from spikinghash.cli import SKIPPED, run, wide_console
from spikinghash.errors import RecordingError
from spikinghash.files import atomic_path
from training.data.reader import Reader
from training.data.recordings import Recording, load_recording, parse_sensor
from training.survey import Found, advice, lengths_table, look, suggested, try_lengths
from training.window_options import Sensor, Sort, Stream

HOT_EVENTS = 50
"""A hot pixel has at least so many events, ..."""
HOT_RATIO = 10
"""... and so many times the mean of the 24 pixels around it."""
RATE_BINS = 100
FRAMES, FRAME_SIZE = 4, 32
"""Of a window, as configs/folder.toml has it."""
DRAWN = 8
"""Recordings of a folder in a picture."""


@dataclass(frozen=True)
class Facts:
    """What a recording holds."""

    file: str
    width: int
    height: int
    events: int
    seconds: float
    rate: float
    """Events per second; 0 if all are of one time."""
    on: float
    """Share of ON events."""
    hot_pixels: int
    notes: tuple[str, ...]
    """What was left out, put in order or assumed."""

    def __str__(self) -> str:
        lines = [
            f"{self.file}",
            f"  sensor      {self.width}x{self.height}",
            f"  events      {self.events:,}",
            f"  duration    {self.seconds:.6g} s",
            f"  rate        {self.rate:,.0f} events/s",
            f"  ON          {self.on:.1%}",
            f"  hot pixels  {self.hot_pixels}",
        ]
        return "\n".join(lines + [f"  note        {note}" for note in self.notes])


def describe(recording: Recording) -> Facts:
    """The facts of a recording."""
    events, (width, height, _) = recording.events, recording.sensor
    seconds = recording.span / 1e6
    return Facts(
        file=recording.name,
        width=width,
        height=height,
        events=len(events),
        seconds=seconds,
        rate=len(events) / seconds if seconds else 0.0,
        on=float(events["p"].mean()),
        hot_pixels=int(hot_pixels(count_pixels(recording)).sum()),
        notes=recording.notes,
    )


def count_pixels(recording: Recording) -> NDArray[np.int64]:
    """Events of each pixel, shape (height, width)."""
    width, height = recording.sensor[:2]
    place = recording.events["y"].astype(np.int64) * width + recording.events["x"]
    return np.bincount(place, minlength=width * height).reshape(height, width)


def hot_pixels(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pixels have far more events than those around them."""
    around = (ndimage.uniform_filter(counts.astype(float), 5, mode="constant") * 25 - counts) / 24
    return np.asarray((counts >= HOT_EVENTS) & (counts > HOT_RATIO * around))


def draw(recordings: Sequence[Recording], path: Path) -> None:
    """Write a picture with a row for each recording: its events summed up, and their rate over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3 * len(recordings)), layout="constrained")
    for (left, right), recording in zip(figure.subplots(len(recordings), 2, squeeze=False), recordings, strict=True):
        left.imshow(np.log1p(count_pixels(recording)), cmap="gray")
        left.set_title(Path(recording.name).name, fontsize=9)
        seconds = (recording.events["t"] - recording.events["t"][0]) / 1e6
        counts, edges = np.histogram(seconds, RATE_BINS)
        right.stairs(counts / np.diff(edges), edges)
        right.set(xlabel="s", ylabel="events/s")
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


def main(
    files: Annotated[list[Path], typer.Argument(help="Recordings, or one folder of them.", metavar="FILE...")],
    sensor: Sensor = None,
    stream: Stream = None,
    sort: Sort = False,
    picture: Annotated[Path | None, typer.Option("-o", "--out", help="Picture to write, .png or .svg.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print sensor, events, duration, rate and what was left out of event files, and draw them."""
    if picture is not None and picture.suffix.lower() not in (".png", ".svg"):
        raise RecordingError(f"--out {picture}: suffix {picture.suffix!r}; use .png or .svg")
    size = None if sensor is None else parse_sensor(sensor)
    folders = [path for path in files if path.is_dir()]
    if folders:
        if len(files) > 1:
            raise RecordingError(f"{folders[0]}: a folder stands alone: give one folder, or files")
        found_in = look(folders[0], Reader(size, stream=stream, sort=sort))
        _tell_folder(folders[0], found_in, as_json)
        if picture is not None:
            draw(found_in.recordings[:DRAWN], picture)
        _end(found_in.skipped)
        return
    found, failed = [], []
    for path in files:
        try:
            found.append(load_recording(path, size, stream=stream, sort=sort))
        except RecordingError as error:
            failed.append(str(error))
    if not found:
        raise RecordingError(failed[0])
    facts = [describe(recording) for recording in found]
    print(json.dumps([asdict(each) for each in facts], indent=1) if as_json else "\n".join(map(str, facts)))
    if picture is not None:
        draw(found, picture)
    _end(failed)


def _end(failed: Sequence[str]) -> None:
    for line in failed:
        print(f"skipped: {line}", file=sys.stderr)
    if failed:
        raise typer.Exit(SKIPPED)


def _tell_folder(folder: Path, found: Found, as_json: bool) -> None:
    """Print classes, and of some recordings durations, sensors and how full their frames are."""
    facts = [describe(recording) for recording in found.recordings]
    lengths = try_lengths(found.recordings, FRAMES, FRAME_SIZE)
    if as_json:
        classes = {name: len(files) for name, files in found.classes.items()}
        content = {"folder": str(folder), "classes": classes, "looked_at": [asdict(each) for each in facts]}
        windows = [asdict(each) for each in lengths]
        print(json.dumps(content | {"windows": windows, "suggested_window_ms": suggested(lengths)}, indent=1))
        return
    for name, files in found.classes.items():
        sessions = len({path.parent for path in files})
        print(f"class {name}: {len(files)} files" + (f" in {sessions} folders" if sessions > 1 else ""))
    sensors = ", ".join(sorted({f"{each.width}x{each.height}" for each in facts}))
    seconds, rates = sorted(each.seconds for each in facts), sorted(each.rate for each in facts)
    print(f"{len(facts)} of them looked at: sensor {sensors}")
    print(f"  duration    {seconds[0]:.3g} to {seconds[-1]:.3g} s")
    print(f"  rate        {rates[0]:,.0f} to {rates[-1]:,.0f} events/s")
    for note in sorted({note for each in facts for note in each.notes}):
        print(f"  note        {note}")
    print(f"  in {FRAMES} frames of {FRAME_SIZE}x{FRAME_SIZE} pixels:")
    console = wide_console()
    console.print(lengths_table(lengths))
    console.print(advice(lengths))


if __name__ == "__main__":
    run(main)
