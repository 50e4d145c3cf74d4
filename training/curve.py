"""The course of a training as a picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from spikinghash.files import atomic_path


def write_curve(path: Path, history: Sequence[dict[str, float]], key: str, name: str) -> None:
    """Loss, and the score that some records of ``history`` have under ``key``, over the epochs, as PNG."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.subplots()
    right = left.twinx()
    scored = [record for record in history if key in record]
    for axis, value, records, colour in ((left, "loss", history, "tab:blue"), (right, key, scored, "tab:orange")):
        axis.plot([record["epoch"] for record in records], [record[value] for record in records], ".-", color=colour)
    left.set_xlabel("epoch")
    left.set_ylabel("loss", color="tab:blue")
    right.set_ylabel(name, color="tab:orange")
    right.set_ylim(0, 1)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
