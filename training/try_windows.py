"""Which window suits recordings: ``python -m training.try_windows DIR`` (``spikinghash windows``)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikinghash.cli import run, wide_console
from spikinghash.errors import RecordingError
from spikinghash.files import private_folder
from spikinghash.resources import CONFIGS, named
from training.data.events import parse_sensor
from training.survey import LENGTHS, Length, advice, lengths_table, look, try_lengths
from training.window_options import Sensor, Sort, Stream, chosen_reader

if TYPE_CHECKING:
    from training.config import Config


def main(
    folder: Annotated[Path, typer.Argument(help="Folder CLASS/FILE or CLASS/SESSION/FILE.", metavar="DIR")],
    lengths: Annotated[str, typer.Option(help="Milliseconds, by commas.")] = ",".join(map("{:g}".format, LENGTHS)),
    sensor: Sensor = None,
    stream: Stream = None,
    sort: Sort = False,
    time_steps: Annotated[int, typer.Option(min=1, help="Frames of a window.")] = 4,
    size: Annotated[int, typer.Option(min=2, help="Height and width of a frame.")] = 32,
    config: Annotated[
        Path | None,
        typer.Option(help="Also train this config (a file, or a name as folder) on each length: validation mAP."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of each of these trainings.")] = 5,
) -> None:
    """Show how full frames are, and how many events they have, for several lengths of windows.

    With --config also the mAP of a short training on each: of validation queries, since a window is a choice.
    """
    asked = None if config is None else _asked(named(config, CONFIGS, ".toml"), sensor, stream, sort)
    found = look(folder, chosen_reader(None, sensor, stream=stream, sort=sort))
    tried = try_lengths(found.recordings, time_steps, size, parse_lengths(lengths))
    scores = None if asked is None else [_score(asked, folder, each, epochs) for each in tried]
    console = wide_console()
    console.print(lengths_table(tried, scores))
    console.print(advice(tried))


def parse_lengths(text: str) -> list[float]:
    """Milliseconds from a list with commas.

    Raises:
        RecordingError: one is no positive number.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or min(values) <= 0:
        raise RecordingError(f"--lengths {text}: milliseconds by commas are needed, as 100,200,400")
    return values


def _asked(path: Path, sensor: str | None, stream: str | None, sort: bool) -> "Config":
    """The config ``path``, with what is asked for besides."""
    from training.config import load_config

    config = load_config(path)
    data = config.data.model_copy(update={"name": "folder", "also": (), "sort": sort or config.data.sort})
    if sensor is not None:
        data = data.model_copy(update={"sensor": parse_sensor(sensor)[:2]})
    if stream is not None:
        data = data.model_copy(update={"stream": stream})
    return config.model_copy(update={"data": data})


def _score(config: "Config", folder: Path, length: Length, epochs: int) -> float:
    """Validation mAP after a short training on windows of ``length``; nan where there are none."""
    import torch

    from training.train import finish, prepare, score_names

    if length.fill is None:
        return float("nan")
    data = config.data.model_copy(update={"root": folder, "window_ms": length.window_ms, "hop_ms": None})
    short = config.model_copy(update={"data": data, "train": config.train.model_copy(update={"epochs": epochs})})
    with private_folder() as out:
        done = finish(prepare(short, torch.device("cpu")), out)
    return float(done.history[-1][score_names(short)[0]])


if __name__ == "__main__":
    run(main)
