"""One encoder beside its twins: in turns in one process, and each in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.encode import BATCHES, Encode, check_codes, make_encoder, measure
from deploy.backends.encoders import load_encoder
from export.encoder.network import Network
from export.onnx.to_onnx import export_onnx
from export.onnx.twin import load_twin, write_forms
from training.baselines.resnet import ResNet18
from training.baselines.twin import AnnTwin

Frames = NDArray[np.uint8]
TWIN = "twin"
ONE_BY_ONE = 16
"""Recordings of a call in batches of one: what ran before has pushed an encoder's weights out of the caches."""
STARTS = 2
"""Cold starts; the least counts."""


@dataclass
class Row:
    """One encoder; milliseconds per recording."""

    key: str
    path: Path
    backend: str
    cpu: list[float] = field(default_factory=list)
    """On one thread, in batches of ``BATCHES``."""
    two: float | None = None
    """Of the processor on two threads, the largest batch."""
    cold: tuple[float, float] | None = None
    """CPU seconds to the first code, and MiB."""

    def measured(self) -> dict[str, object]:
        """What was measured, for a file."""
        cold = None if self.cold is None else [round(each, 3) for each in self.cold]
        return {"key": self.key, "cpu_ms": [round(each, 4) for each in self.cpu], "two_ms": self.two, "cold": cold}


def rows_of(checkpoint: Path, network: Network, frames: Frames, folder: Path) -> list[Row]:
    """All that is compared, its files written to ``folder``."""
    files = {key: folder / f"{key}.onnx" for key in ("onnx", "onnx-int8")}
    export_onnx(network, files["onnx"])
    export_onnx(network, files["onnx-int8"], int8=True)
    rows = [Row(name, files["onnx"], name) for name in ("events", "numpy")]
    rows += [Row(key, path, "onnxruntime") for key, path in files.items()]
    return [*rows, Row("norse", checkpoint, "norse"), *_twins(network, frames, folder)]


def _twins(network: Network, frames: Frames, folder: Path) -> Iterator[Row]:
    torch.manual_seed(0)
    config = network.config
    for key, twin in {"twin": AnnTwin(config, 1), "resnet18": ResNet18(config.time_steps, config.bits)}.items():
        for form, path in write_forms(twin, frames, frames[:ONE_BY_ONE], folder, key):
            yield Row(key if form == "float32" else f"{key}-{form}", path, TWIN)


def encoder_of(row: Row, threads: int) -> Encode:
    """A callable from frames to codes."""
    if row.backend == "norse":
        return make_encoder("norse", row.path, row.path.parent)
    if row.backend != TWIN:
        return load_encoder(row.path, row.backend, threads=threads).encode
    twin = load_twin(row.path, threads)
    return lambda frames: np.concatenate([twin(one[None].astype(np.float32)) for one in frames])


def in_batches(encode: Encode, batch: int) -> Encode:
    """``encode`` of any number of recordings, ``batch`` at a time."""

    def call(frames: Frames) -> Frames:
        return np.concatenate([encode(frames[start : start + batch]) for start in range(0, len(frames), batch)])

    return call


def of_batch(frames: Frames, batch: int) -> Frames:
    """The recordings of a call."""
    return frames[: max(batch, ONE_BY_ONE)]


def least_ms(encoders: dict[str, Encode], frames: Frames, batch: int, seconds: float) -> dict[str, tuple[float, float]]:
    """Least milliseconds per recording, on the clock and of the processor, by encoder, which take turns."""
    part = of_batch(frames, batch)
    calls = {name: in_batches(encode, batch) for name, encode in encoders.items()}
    least = {name: 1e3 * spent.min(axis=0) / len(part) for name, spent in measure(calls, part, seconds).items()}
    return {name: (float(clock), float(cpu)) for name, (clock, cpu) in least.items()}


def take_turns(rows: list[Row], network: Network, frames: Frames, seconds: float) -> None:
    """CPU times on one thread and on two; torch, in which Norse computes, stays on one.

    Raises:
        ComparisonError: an encoder of the integer network gives other codes than it.
    """
    for threads in (1, 2):
        taking = [row for row in rows if threads == 1 or row.backend != "norse"]
        encoders = {row.key: encoder_of(row, threads) for row in taking}
        check_codes({row.key: encoders[row.key] for row in taking if _integer(row)}, network, frames)
        for batch in BATCHES if threads == 1 else BATCHES[-1:]:
            least = least_ms(encoders, frames, batch, seconds)
            for row in taking:
                if threads == 1:
                    row.cpu.append(least[row.key][1])
                else:
                    row.two = round(least[row.key][1], 4)


def _integer(row: Row) -> bool:
    return row.backend not in (TWIN, "norse")


def start_cold(rows: list[Row], frames: Path) -> None:
    """What each takes in a process that loads nothing else; Norse would be torch's start."""
    for row in rows:
        if row.backend != "norse":
            row.cold = min(cold(row, frames) for _ in range(STARTS))


def cold(row: Row, frames: Path) -> tuple[float, float]:
    """CPU seconds from the start of a process to the first code, and its peak memory in MiB."""
    command = [sys.executable, "-m", "benchmarks.side_by_side.cold", str(row.path), row.backend, str(frames)]
    seconds, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(peak)


def threads_gain(row: Row, frames: Frames, seconds: float) -> dict[str, float]:
    """Clock of one thread over that of two, which take turns on four times the recordings in one call."""
    many = np.tile(frames, (4, 1, 1, 1, 1))
    encoders: dict[str, Encode] = {each: load_encoder(row.path, row.backend, threads=int(each)).encode for each in "12"}
    spent = measure(encoders, many, seconds)
    one, two = (spent[threads][:, 0] for threads in ("1", "2"))
    return {
        "least": round(float(one.min() / two.min()), 3),
        "median": round(float(np.median(one) / np.median(two)), 3),
    }
