"""Which window suits recordings: ``python -m training.try_windows DIR`` (``spikinghash windows``)."""

from pathlib import Path
from typing import Annotated

import typer

from spikinghash.cli import run, wide_console
from spikinghash.errors import RecordingError
from spikinghash.files import private_folder
from training.survey import LENGTHS, Length, advice, lengths_table, look, try_lengths
from training.window_options import Sensor, Sort, Stream, chosen_reader


def main(
    folder: Annotated[Path, typer.Argument(help="Folder CLASS/FILE or CLASS/SESSION/FILE.", metavar="DIR")],
    lengths: Annotated[str, typer.Option(help="Milliseconds, by commas.")] = ",".join(map("{:g}".format, LENGTHS)),
    sensor: Sensor = None,
    stream: Stream = None,
    sort: Sort = False,
    time_steps: Annotated[int, typer.Option(min=1, help="Frames of a window.")] = 4,
    size: Annotated[int, typer.Option(min=2, help="Height and width of a frame.")] = 32,
    config: Annotated[
        Path | None, typer.Option(help="Also train this config on each length, and show its validation mAP.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of each of these trainings.")] = 5,
) -> None:
    """Show how full frames are, and how many events they have, for several lengths of windows.

    With --config also the mAP of a short training on each: of validation queries, since a window is a choice.
    """
    found = look(folder, chosen_reader(None, sensor, stream=stream, sort=sort))
    tried = try_lengths(found.recordings, time_steps, size, parse_lengths(lengths))
    scores = None if config is None else [_score(config, folder, each, epochs) for each in tried]
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


def _score(config: Path, folder: Path, length: Length, epochs: int) -> float:
    """Validation mAP after a short training on windows of ``length``; nan where there are none."""
    import torch

    from training.config import load_config
    from training.train import finish, prepare, score_names

    if length.fill is None:
        return float("nan")
    asked = load_config(config)
    data = asked.data.model_copy(update={"root": folder, "window_ms": length.window_ms, "hop_ms": None})
    short = asked.model_copy(update={"data": data, "train": asked.train.model_copy(update={"epochs": epochs})})
    with private_folder() as out:
        done = finish(prepare(short, torch.device("cpu")), out)
    return float(done.history[-1][score_names(short)[0]])


if __name__ == "__main__":
    run(main)
