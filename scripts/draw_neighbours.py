"""Draw the README's picture, recordings and their nearest neighbours: ``draw_neighbours.py TARGET.png``.

It shows the recordings that come along with the package, and what the committed encoder says of them.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

import spikinghash
from spikinghash.files import atomic_path
from spikinghash.resources import RECORDINGS

QUERIES = (("7", 0), ("5", 2))
"""Class and number; neither was trained on."""
NEIGHBOURS = 6
FIRST = 0.3
"""Share of the recording that is drawn: the camera moves there in one direction."""


def image(path: Path) -> NDArray[np.float64]:
    """The first events of a recording, ON red, OFF blue, as RGB (height, width, 3)."""
    recording = spikinghash.read_events(path)
    width, height, _ = recording.sensor
    events = recording.events
    events = events[events["t"] <= np.quantile(events["t"], FIRST)]
    counts = np.zeros((2, height, width))
    np.add.at(counts, (events["p"].astype(int), events["y"], events["x"]), 1)
    off, on = np.minimum(counts / 3, 1)
    return np.stack([1 - off, 1 - np.maximum(on, off), 1 - on], axis=-1)


def draw(axes: Axes, path: Path, title: str, edge: str) -> None:
    """One recording under its title."""
    axes.imshow(image(path), interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(edgecolor=edge, linewidth=2)


def main(target: Path) -> None:
    """Draw the queries, each before its nearest among all others."""
    files = sorted(RECORDINGS.glob("*/*.bin"))
    codes = spikinghash.load("digits").encode_files(files)
    figure, rows = plt.subplots(len(QUERIES), NEIGHBOURS + 1, figsize=(9, 3.1), layout="constrained")
    for axes, (label, number) in zip(rows, QUERIES, strict=True):
        asked = files.index(spikinghash.example(label, number))
        others = np.delete(np.arange(len(files)), asked)
        index = spikinghash.Index(bits=8 * codes.shape[1])
        index.add(codes[others], others)
        found = index.search(codes[asked], NEIGHBOURS)[0]
        draw(axes[0], files[asked], f"query\n{codes[asked].tobytes().hex()}", "black")
        for place, near, distance in zip(axes[1:], found.ids, found.distances, strict=True):
            same = files[near].parent.name == label
            title = f"{distance} of {index.bits} bits\n{codes[near].tobytes().hex()}"
            draw(place, files[near], title, "tab:green" if same else "silver")
    with atomic_path(target) as unfinished:
        figure.savefig(unfinished, dpi=110, format="png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
