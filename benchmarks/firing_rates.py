"""What a recording costs over how much its network fires: ``python -m benchmarks.firing_rates [CKPT] [--out PICTURE]``.

Frames from empty to full, one recording at a time, one thread. Encoders take turns; a figure is the least CPU time of
its calls.
"""

import tempfile
from math import prod
from pathlib import Path
from typing import Annotated

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.encode import Frames, check_codes, make_encoder, measure
from deploy.backends.events.encoder import EventsEncoder
from export.encoder.integer import Neurons
from export.encoder.network import load_network
from spikinghash.cli import run, wide_console
from spikinghash.files import atomic_path

DENSITIES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Share of the pixels that have an event in a time step."""
NAMES = ("onnx", "events")


def frames_of(density: float, shape: tuple[int, ...]) -> Frames:
    """One recording (1, T, 2, H, W)."""
    return (np.random.default_rng(0).random((1, *shape)) < density).astype(np.uint8)


def rates(checkpoint: Path, seconds: float) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Share of the neurons that spike in a step, and CPU milliseconds by encoder, each (densities,)."""
    network = load_network(checkpoint)
    config, events = network.config, EventsEncoder(network.integer(), threads=1)
    populations = [layer for layer in events.network.layers if isinstance(layer, Neurons)]
    neurons = config.time_steps * sum(prod(layer.shape) for layer in populations)
    names = [layer.name for layer in populations]
    fired, spent = [], []
    with tempfile.TemporaryDirectory() as folder:
        encoders = {name: make_encoder(name, checkpoint, Path(folder), threads=1) for name in NAMES}
        for density in DENSITIES:
            frames = frames_of(density, (config.time_steps, 2, config.size, config.size))
            check_codes(encoders, network, frames)
            counts = events.trace(frames).counts
            fired.append(sum(int(counts[name][0]) for name in names) / neurons)
            times = measure(encoders, frames, seconds)
            spent.append([1e3 * times[name][:, 1].min() for name in NAMES])
    return np.array(fired), dict(zip(NAMES, np.array(spent).T, strict=True))


def draw(fired: NDArray[np.float64], spent: dict[str, NDArray[np.float64]], path: Path) -> None:
    """A picture of both."""
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for name, milliseconds in spent.items():
        axes.plot(100 * fired, milliseconds, marker="o", label={"onnx": "ONNX Runtime"}.get(name, name))
    axes.set_xlabel("neurons that spike in a time step (%)")
    axes.set_ylabel("CPU ms per recording")
    axes.set_ylim(bottom=0)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
    plt.close(figure)


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint.", metavar="CKPT")] = Path("checkpoints/digits.pt"),
    out: Annotated[Path | None, typer.Option(help="Picture to write.")] = None,
    seconds: Annotated[float, typer.Option(help="Measuring time of each encoder and density.")] = 1.0,
) -> None:
    """Measure CPU time over firing rate."""
    fired, spent = rates(checkpoint, seconds)
    if out is not None:
        draw(fired, spent, out)
    table = Table("pixels with an event", "neurons that spike", *(f"{name}, CPU ms" for name in spent))
    for row, density in enumerate(DENSITIES):
        table.add_row(f"{density:.0%}", f"{fired[row]:.1%}", *(f"{values[row]:.2f}" for values in spent.values()))
    wide_console().print(table)


if __name__ == "__main__":
    run(main)
