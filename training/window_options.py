"""Options of all commands that read recordings for a trained network, and what they mean to it."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from training.data.binning import Crop
from training.data.events import parse_sensor
from training.data.facts import DataFacts, crop_of
from training.data.reader import Reader
from training.data.windows import Windows

Sensor = Annotated[str | None, typer.Option("--sensor", help="WIDTHxHEIGHT, for files that do not tell it.")]
Stream = Annotated[str | None, typer.Option("--stream", help="Of several streams of events: its number or name.")]
Sort = Annotated[bool, typer.Option("--sort", help="Put events in order of time however late they are.")]
Window = Annotated[float | None, typer.Option("--window", help="Milliseconds, instead of those of the training.")]
CropOption = Annotated[
    Crop | None, typer.Option("--crop", help="Square of the sensor that is the frame, instead of that of the training.")
]
Hop = Annotated[float | None, typer.Option("--hop", help="Milliseconds from one window to the next.")]


def chosen_reader(
    facts: DataFacts | None,
    sensor: str | None = None,
    window: float | None = None,
    hop: float | None = None,
    *,
    stream: str | None = None,
    sort: bool = False,
    crop: Crop | None = None,
) -> Reader:
    """How recordings are read for a network that was trained on ``facts``, and as the user asks, which goes first.

    Windows of another length than those of the training, and another crop, are warned of.

    Raises:
        RecordingError: an option cannot be used.
    """
    windows = chosen_windows(facts, window, hop)
    size = None if sensor is None else parse_sensor(sensor)
    return Reader.of(facts, size, windows).asked(stream, sort, crop=chosen_crop(facts, crop))


def chosen_crop(facts: DataFacts | None, crop: Crop | None) -> Crop | None:
    """That which the user asks for, warned of where it is not that of the training; ``None``: that of ``facts``."""
    if facts is not None and crop not in (None, facts.crop):
        known = "the usual one" if facts.crop is None else facts.crop
        print(f"--crop: {crop}, but the network was trained on {known}", file=sys.stderr)
    return crop or crop_of(facts)


def chosen_windows(facts: DataFacts | None, window: float | None, hop: float | None) -> Windows | None:
    """Those that the user asks for; ``None``: those of the training.

    Others than those of the training are warned of; where it cut nothing, those not as long as its recordings.

    Raises:
        RecordingError: a time cannot be used.
    """
    trained = (facts or DataFacts()).windows
    if window is None and hop is not None and trained is not None:
        window = trained.length / 1000
    windows = Windows.of_ms(window, hop)
    if facts is None or windows is None or windows == trained:
        return windows
    if trained is not None or not facts.lasted(windows.length / 1e6):
        print(f"--window: cut into {windows}, but the network was trained on {facts.cut}", file=sys.stderr)
    return windows


def tell_once(remarks: Iterable[tuple[str | Path, str]]) -> None:
    """Print each kind of remark on standard error once, with the first file that it is of and how many others have it.

    Remarks that differ by their figures alone are of one kind.
    """
    found: dict[str, list[tuple[str | Path, str]]] = {}
    for file, remark in remarks:
        found.setdefault(re.sub(r"\d[\d.,]*", "0", remark), []).append((file, remark))
    for (file, remark), *others in found.values():
        alike = f" (and {len(others)} other{'s' * (len(others) > 1)} alike)" if others else ""
        print(f"{file}{alike}: {remark}", file=sys.stderr)
