"""Codes and counts of ``events`` against the torch executor: ``python -m benchmarks.equality [--recordings DIR]``.

Every checkpoint is tried on random frames, from empty ones to full ones, and on recordings: of N-MNIST below DIR, or
simulated ones. On one thread and on two, in batches of several sizes, all codes and the counts of spikes of all layers
must be those of the executor, which shares no arithmetic with ``events``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.encode import Frames, read_files, recorded_frames
from deploy.backends.events.encoder import EventsEncoder
from export.encoder.network import Network, load_network
from spikinghash.cli import run, wide_console
from spikinghash.errors import ComparisonError
from spikinghash.progress import track
from training.config import EncoderConfig

BATCHES = (1, 7, 64)
"""Sizes of batches, in turns."""
THREADS = (1, 2)


def random_frames(config: EncoderConfig, count: int) -> Frames:
    """Frames (N, T, 2, H, W) whose shares of pixels that spike go from 0 to 1."""
    generator = np.random.default_rng(0)
    shares = np.linspace(0, 1, count).reshape(-1, 1, 1, 1, 1)
    return (generator.random((count, config.time_steps, 2, config.size, config.size)) < shares).astype(np.uint8)


def batches(count: int) -> Iterator[slice]:
    """Consecutive parts of ``count`` recordings, of the sizes of ``BATCHES`` in turns."""
    start = turn = 0
    while start < count:
        yield slice(start, start + BATCHES[turn % len(BATCHES)])
        start, turn = start + BATCHES[turn % len(BATCHES)], turn + 1


def compare(name: str, network: Network, frames: Frames) -> tuple[int, int]:
    """Compare on all of ``frames``; returns how many codes and how many counts were equal.

    Raises:
        ComparisonError: a code or a count differs.
    """
    executor = network.executor()
    encoders = {threads: EventsEncoder(network.integer(), threads=threads) for threads in THREADS}
    codes_equal = counts_equal = 0
    parts = list(batches(len(frames)))
    for part in track(parts, name, len(parts)):
        with torch.no_grad():
            codes, spikes = executor.layers(frames[part])
        counts = {layer: values.sum(axis=(1, 2, 3, 4)) for layer, values in spikes.items()}
        for threads, encoder in encoders.items():
            traced = encoder.trace(frames[part])
            where = f"{name}, recordings {part.start} to {part.stop - 1}, {threads} threads"
            if not (np.array_equal(traced.codes, codes) and np.array_equal(encoder.encode(frames[part]), codes)):
                raise ComparisonError(f"{where}: other codes than the executor's")
            if different := [layer for layer in counts if not np.array_equal(traced.counts[layer], counts[layer])]:
                raise ComparisonError(f"{where}: other counts than the executor's in {', '.join(different)}")
        codes_equal += len(codes)
        counts_equal += sum(map(len, counts.values()))
    return codes_equal, counts_equal


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of checkpoints.")] = Path("checkpoints"),
    recordings: Annotated[Path | None, typer.Option(help="Folder of N-MNIST .bin files; simulated without.")] = None,
    count: Annotated[int, typer.Option(min=2, help="Random ones, and as many recordings.")] = 1000,
) -> None:
    """Compare all checkpoints."""
    files = read_files(recordings, count)
    console = wide_console()
    for path in sorted(folder.rglob("*.pt")):
        network = load_network(path)
        for kind, frames in (
            ("random", random_frames(network.config, count)),
            ("recordings", recorded_frames(network.config, files)),
        ):
            codes, counts = compare(f"{path}, {kind}", network, frames)
            console.print(f"{path}, {kind}: {codes:,} codes and {counts:,} counts of layers equal, 0 differ")


if __name__ == "__main__":
    run(main)
