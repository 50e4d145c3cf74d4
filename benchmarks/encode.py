"""How fast recordings become codes: ``python -m benchmarks.encode [CKPT] [--recordings DIR] [--json]``.

All encoders run in one process, in turns, on the same frames, so that what else the machine does falls on all of them
alike; compare within a run only. The yardstick ``norse`` is the float model as a user of Norse writes it:
its cell in a loop over the steps, and the wavelet transforms of ptwt. ``fused`` is the float model with the
project's own neurons and wave mixers. All others run the integer network and must give its codes, or the run fails.
"""

import json
import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.table import Table

from deploy.backends.encoders import load_encoder
from export.encoder.network import Network, load_network
from export.onnx.to_onnx import export_onnx
from spikinghash.cli import run, wide_console
from spikinghash.errors import ComparisonError
from training.checkpoint import load_checkpoint
from training.config import EncoderConfig
from training.data import digits
from training.data.binning import events_to_frames
from training.data.recordings import NMNIST_SENSOR, decode_events, encode_events
from training.model.encoder import Spikinghash
from training.model.plain import PlainEncoder

Frames = NDArray[np.uint8]
Codes = NDArray[np.uint8]
Encode = Callable[[Frames], Codes]
BATCHES = (1, 64)
SECONDS = 4.0
"""Measuring time of each encoder and batch size, at least three calls."""
NAMES = ("norse", "fused", "torch", "torch-compiled", "onnx", "onnx-int8", "events")
FLOAT = ("norse", "fused")


@dataclass(frozen=True)
class Speed:
    """One encoder at one batch size; times are wall time unless said otherwise."""

    encoder: str
    batch: int
    recordings_per_second: float
    p50_ms: float
    """Per call."""
    p95_ms: float
    cpu_ms: float
    """Least CPU time of a call, per recording: what else the machine does adds to it, too, by way of the caches."""
    ratio: float
    """Recordings per second, in units of the first encoder."""
    peak_mib: float
    """Peak memory of a process of its own that encodes such a batch twice."""


def norse_codes(model: Spikinghash) -> Callable[[torch.Tensor], torch.Tensor]:
    """Bits (B, K) of frames by a copy of ``model`` that Norse steps and ptwt transforms."""
    plain = PlainEncoder(model).eval()
    return lambda frames: (plain(frames).spikes.sum(0) >= model.config.votes).to(torch.uint8)


def make_encoder(name: str, checkpoint: Path, folder: Path, threads: int = 0) -> Encode:
    """The encoder ``name`` on ``threads`` threads, 0 for all; ONNX models are written to ``folder`` if missing."""
    if name in FLOAT:
        model = load_checkpoint(checkpoint).model().eval()
        return _torch(norse_codes(model) if name == "norse" else model.codes, packed=False)
    if name.startswith(("onnx", "events")):
        path = folder / f"{name}.onnx"
        if not path.exists():
            export_onnx(load_network(checkpoint), path, int8=name == "onnx-int8")
        return load_encoder(path, "events" if name == "events" else "onnxruntime", threads=threads).encode
    executor = load_network(checkpoint).executor()
    module = torch.compile(executor) if name == "torch-compiled" else executor
    return _torch(lambda frames: module(frames).codes, packed=True)


def _torch(encode: Callable[[torch.Tensor], torch.Tensor], packed: bool) -> Encode:
    def call(frames: Frames) -> Codes:
        with torch.no_grad():
            codes = encode(torch.from_numpy(frames)).numpy()
        return codes if packed else np.packbits(codes, axis=1)

    return call


def measure(encoders: dict[str, Encode], frames: Frames, seconds: float) -> dict[str, NDArray[np.float64]]:
    """Seconds of each call on the clock and of CPU time, (calls, 2), by encoder.

    The encoders take turns, after one call that is not counted.
    """
    for encode in encoders.values():
        encode(frames)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in encoders}

    def goes_on(spent: list[tuple[float, float]]) -> bool:
        return len(spent) < 3 or (sum(wall for wall, _ in spent) < seconds and len(spent) < 200)

    while any(map(goes_on, times.values())):
        for name, encode in encoders.items():
            if goes_on(times[name]):
                begin = time.perf_counter(), time.process_time()
                encode(frames)
                times[name].append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    return {name: np.array(spent) for name, spent in times.items()}


def check_codes(encoders: dict[str, Encode], network: Network, frames: Frames) -> None:
    """Every encoder of the integer network gives its codes.

    Raises:
        ComparisonError: one does not.
    """
    with torch.no_grad():
        expected = network.executor()(torch.from_numpy(frames)).codes.numpy()
    for name, encode in encoders.items():
        if name not in FLOAT and not np.array_equal(encode(frames), expected):
            raise ComparisonError(f"{name}: other codes than the integer network's")


def peak_memory(name: str, checkpoint: Path, folder: Path, frames: Frames) -> float:
    """Peak memory in MiB of a fresh process that loads the encoder and encodes ``frames`` twice."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak, (name, checkpoint, folder, frames))


def _peak(name: str, checkpoint: Path, folder: Path, frames: Frames) -> float:
    encode = make_encoder(name, checkpoint, folder)
    for _ in range(2):
        encode(frames)
    # Not getrusage: its peak takes in that of the parent, from before this process was a program of its own.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def stage_shares(files: list[bytes], encode: Encode, time_steps: int, size: int) -> dict[str, float]:
    """Microseconds per recording of decoding the events, binning them, and encoding them in batches of 64."""
    spent = {"decode": 0.0, "bin": 0.0, "encode": 0.0}
    frames = np.empty((len(files), time_steps, 2, size, size), np.uint8)
    for index, content in enumerate(files):
        with _timed(spent, "decode"):
            events = decode_events(content)
        with _timed(spent, "bin"):
            frames[index] = events_to_frames(events, NMNIST_SENSOR, time_steps, size)
    with _timed(spent, "encode"):
        for start in range(0, len(frames), BATCHES[-1]):
            encode(frames[start : start + BATCHES[-1]])
    return {stage: 1e6 * seconds / len(files) for stage, seconds in spent.items()}


@contextmanager
def _timed(spent: dict[str, float], stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    spent[stage] += time.perf_counter() - begin


def read_files(folder: Path | None, count: int) -> list[bytes]:
    """Recordings in the format of N-MNIST: those below ``folder``, or simulated ones."""
    if folder is not None:
        return [path.read_bytes() for path in sorted(folder.rglob("*.bin"))[:count]]
    return [encode_events(events, "simulated").tobytes() for events in digits.simulate(range(count))]


def recorded_frames(config: EncoderConfig, files: list[bytes]) -> Frames:
    """Frames of recordings in the format of N-MNIST."""
    steps, size = config.time_steps, config.size
    return np.stack([events_to_frames(decode_events(content), NMNIST_SENSOR, steps, size) for content in files])


def compare(
    checkpoint: Path, files: list[bytes], names: list[str], seconds: float, threads: int = 0
) -> tuple[list[Speed], dict[str, float]]:
    """All figures of one run: the speeds, and the shares of the stages with the fastest encoder at batch 64."""
    network = load_network(checkpoint)
    steps, size = network.config.time_steps, network.config.size
    frames = recorded_frames(network.config, files)
    speeds: list[Speed] = []
    with tempfile.TemporaryDirectory() as folder:
        encoders = {name: make_encoder(name, checkpoint, Path(folder), threads) for name in names}
        for batch in BATCHES:
            part = np.resize(frames, (batch, *frames.shape[1:]))
            check_codes(encoders, network, part)
            times = measure(encoders, part, seconds)
            slowest = np.median(times[names[0]][:, 0])
            for name, spent in times.items():
                p50, p95 = np.quantile(spent[:, 0], (0.5, 0.95))
                cpu = 1e3 * spent[:, 1].min() / batch
                peak = peak_memory(name, checkpoint, Path(folder), part)
                speeds.append(Speed(name, batch, batch / p50, 1e3 * p50, 1e3 * p95, cpu, slowest / p50, peak))
        last = {
            speed.encoder: speed.recordings_per_second
            for speed in speeds
            if speed.encoder.startswith(("onnx", "events"))
        }
        fastest = encoders[max(last, key=lambda name: last[name])] if last else encoders[names[-1]]
        return speeds, stage_shares(files, fastest, steps, size)


def print_tables(speeds: list[Speed], stages: dict[str, float]) -> None:
    """The figures for a reader."""
    table = Table(
        "encoder",
        "batch",
        "recordings/s",
        "p50 ms",
        "p95 ms",
        "CPU ms/recording",
        f"times {speeds[0].encoder}",
        "peak MiB",
    )
    for speed in speeds:
        table.add_row(
            speed.encoder, str(speed.batch), f"{speed.recordings_per_second:.0f}", f"{speed.p50_ms:.2f}",
            f"{speed.p95_ms:.2f}", f"{speed.cpu_ms:.2f}", f"{speed.ratio:.1f}", f"{speed.peak_mib:.0f}",
        )  # fmt: skip
    shares = Table("stage", "us per recording", "share")
    for stage, value in stages.items():
        shares.add_row(stage, f"{value:.0f}", f"{value / sum(stages.values()):.0%}")
    console = wide_console()
    console.print(table)
    console.print(shares)


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint.", metavar="CKPT")] = Path("checkpoints/digits.pt"),
    recordings: Annotated[Path | None, typer.Option(help="Folder of N-MNIST .bin files; simulated without.")] = None,
    encoders: Annotated[str, typer.Option(help="Comma-separated; the first is the yardstick.")] = ",".join(NAMES),
    seconds: Annotated[float, typer.Option(help="Measuring time of each.")] = SECONDS,
    threads: Annotated[int, typer.Option(min=0, help="Of events and ONNX Runtime; 0: all cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare the encoders, and show where the time goes from event file to code."""
    speeds, stages = compare(checkpoint, read_files(recordings, BATCHES[-1]), encoders.split(","), seconds, threads)
    if as_json:
        print(json.dumps({"speeds": [asdict(speed) for speed in speeds], "us_per_recording": stages}, indent=1))
    else:
        print_tables(speeds, stages)


if __name__ == "__main__":
    run(main)
