"""NIR files that others published, read and run: ``python -m benchmarks.public_graphs PAPER [--nmnist FOLDER]``.

``PAPER`` is the folder ``paper`` of a checkout of github.com/neuromorphs/NIR. It prints the tables of
docs/public_graphs.md.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import nir
import numpy as np
import typer
from numpy.typing import NDArray

from export.nir.conventions import as_meant_by
from export.nir.interpreter import Array, Interpreter
from export.nir.metadata import read_metadata
from export.nir.read import assumed_time_step, read_graph
from export.nir.stepwise.plan import SPIKING_NODES
from export.nir.structure import describe_structure
from spikinghash.cli import run
from spikinghash.errors import SpikinghashError
from training.data.recordings import load_recording

TRACES = {"lif_norse.csv": "Norse", "lif_snntorch.csv": "snnTorch", "lif_nengo.csv": "nengo", "lif_spyx.csv": "spyx",
          "lif_sinabs.csv": "sinabs", "lif_rockpool.csv": "rockpool", "lif_lava_cpu_float.csv": "Lava, float",
          "lif_spinnaker2.csv": "SpiNNaker2"}  # fmt: skip
"""Columns: input, potential, spikes; 1,000 steps of 0.1 ms."""


def row(path: Path, rate: float = 0.3) -> str:
    """What reading a file, and running it on random spikes, comes to."""
    try:
        graph = read_graph(path)
        structure = describe_structure(graph, read_metadata(graph, path.name), path.name)
        dt, why = assumed_time_step(graph)
        interpreter = Interpreter(graph)
        steps = 500 if structure.neurons < 1000 else 50
        spikes = np.random.default_rng(0).random((1, steps, *interpreter.input_shape)) < rate
        found = _spikes(interpreter, spikes.astype(np.float32))
    except SpikinghashError as error:
        return f"| {path.name} | {error} | | | |"
    size = f"{structure.neurons:,} neurons, {structure.synapses:,} synapses"
    return f"| {path.name} | {_kinds(graph)} | {size} | {dt:g} s ({why}) | {found} |"


def _kinds(graph: nir.NIRGraph) -> str:
    kinds = sorted({type(node).__name__ for node in graph.nodes.values()} - {"Input", "Output"})
    return ", ".join(kinds)


def _spikes(interpreter: Interpreter, spikes: NDArray[np.float32]) -> int:
    """How many spikes all spiking nodes send."""
    total = 0

    def observe(name: str, _arriving: Array, emitted: Array, _potential: Array | None) -> None:
        nonlocal total
        total += int(emitted.sum()) if isinstance(interpreter.nodes[name], SPIKING_NODES) else 0

    interpreter.run(spikes, observer=observe)
    return total


def lif_rows(folder: Path) -> Iterator[str]:
    """The paper's single LIF against the trace of each platform: the steps of all spikes."""
    interpreter = Interpreter(read_graph(folder / "lif_norse.nir"))
    given = np.genfromtxt(folder / "lif_norse.csv", delimiter=",")[:, 0]  # some of the others' are scaled
    outputs, _ = interpreter.run(given.astype(np.float32).reshape(1, -1, *interpreter.input_shape))
    ours = np.flatnonzero(outputs.ravel())
    yield f"| here | {', '.join(map(str, ours))} | |"
    for name, platform in TRACES.items():
        theirs = np.flatnonzero(np.genfromtxt(folder / name, delimiter=",")[:, 2] > 0)
        lags = theirs - ours if len(theirs) == len(ours) else np.array([])
        told = (
            "other spikes" if not lags.size else "the same" if not lags.any() else f"{lags.min()} to {lags.max()} later"
        )
        yield f"| {platform} | {', '.join(map(str, theirs))} | {told} |"


def count_frames(path: Path) -> NDArray[np.float32]:
    """Events of an N-MNIST recording counted in bins of 1 ms, (steps, 2, 34, 34), as the paper's authors do."""
    events = load_recording(path).events
    steps = int(events["t"][-1] - events["t"][0]) // 1000 + 1
    frames = np.zeros((steps, 2, 34, 34), np.float32)
    step = (events["t"] - events["t"][0]) // 1000
    np.add.at(frames, (step, events["p"].astype(int), events["y"], events["x"]), 1)
    return frames


def cnn_rows(path: Path, nmnist: Path, each: int) -> Iterator[str]:
    """Share of N-MNIST recordings whose class sends the most spikes, as the file is read and as sinabs means it."""
    graph = read_graph(path)
    files = [file for digit in range(10) for file in sorted((nmnist / str(digit)).glob("*.bin"))[:each]]
    for title, meant in (("as read", graph), ("`--from sinabs`", as_meant_by(graph, "sinabs"))):
        interpreter, right, spikes = Interpreter(meant), 0, 0
        for file in files:
            counts = interpreter.run(count_frames(file)[None])[0].sum(axis=(0, 1)).ravel()
            right += int(counts.any() and counts.argmax() == int(file.parent.name))
            spikes += int(counts.sum())
        yield f"| {title} | {len(files)} | {spikes} | {right / len(files):.3f} |"


def main(
    paper: Annotated[Path, typer.Argument(help="Folder `paper` of the NIR repository.")],
    nmnist: Annotated[Path | None, typer.Option(help="Folder of N-MNIST with a folder per digit.")] = None,
    each: Annotated[int, typer.Option(min=1, help="Recordings of each digit.")] = 10,
) -> None:
    """Print the tables."""
    print("| file | primitives | size | time step assumed | spikes |\n|---|---|---|---|---|")
    for path in sorted(paper.rglob("*.nir")):
        print(row(path), flush=True)
    print("\n| platform | spikes at steps | beside those here |\n|---|---|---|")
    for line in lif_rows(paper / "01_lif"):
        print(line, flush=True)
    if nmnist is not None:
        print("\n| cnn_sinabs.nir | recordings | output spikes | right |\n|---|---|---|---|")
        for line in cnn_rows(paper / "02_cnn" / "cnn_sinabs.nir", nmnist, each):
            print(line, flush=True)


if __name__ == "__main__":
    run(main)
