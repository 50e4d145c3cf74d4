"""What a recording costs in all that encodes here: ``python -m benchmarks.side_by_side CKPT [--recordings DIR]``.

Encoders and twins take turns in one process, on one thread and then on two; a figure is the least of its calls. Peak
memory and cold start are those of a process of its own that loads nothing else. OpenVINO runs in the environment of the
foreign simulators, on its own processor's clock, a recording at a time. Weights of the twins are those that they begin
with: time does not depend on them, since no kernel leaves a zero out.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from benchmarks.encode import BATCHES, Encode, check_codes, make_encoder, measure, read_files, recorded_frames
from deploy.backends.encoders import load_encoder
from deploy.backends.runtime_backend import RuntimeEncoder
from export.encoder.network import Network, load_network
from export.onnx.to_onnx import export_onnx
from export.onnx.twin import export_twin, load_twin, quantise_onnx
from spikinghash.cli import run
from spikinghash.files import private_folder
from training.baselines.resnet import ResNet18
from training.baselines.twin import AnnTwin

Frames = NDArray[np.uint8]
TWIN = "twin"
ONE_BY_ONE = 16
"""Recordings of a call in batches of one: what ran before has pushed an encoder's weights out of the caches."""
_COLD = """
import re, sys, time
path, backend, frames = sys.argv[1:]
import numpy as np
frames = np.load(frames)
if backend == "twin":
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session, frames = onnxruntime.InferenceSession(path, options), frames.astype(np.float32)
    encode = lambda each: [session.run(None, {session.get_inputs()[0].name: one[None]}) for one in each]
else:
    from pathlib import Path
    from deploy.backends.encoders import load_encoder
    encode = load_encoder(Path(path), backend, threads=1).encode
encode(frames[:1])
cold = time.process_time()
encode(frames)
print(cold, int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024)
"""
"""Prints CPU seconds to the first code, and the peak in MiB after a batch."""


@dataclass
class Row:
    """One encoder; milliseconds per recording."""

    name: str
    path: Path
    backend: str
    cpu: dict[int, float] = field(default_factory=dict)
    """On one thread, by batch."""
    two: tuple[float, float] | None = None
    """On two threads, the largest batch: of the processor, and on the clock."""
    cold: tuple[float, float] | None = None
    """CPU seconds to the first code, and MiB."""


def rows_of(checkpoint: Path, network: Network, frames: Frames, former: Path | None, folder: Path) -> list[Row]:
    """All that is compared, its files written to ``folder``."""
    files = {"today": folder / "encoder.onnx", "int8": folder / "int8.onnx"}
    export_onnx(network, files["today"])
    export_onnx(network, files["int8"], int8=True)
    rows = [Row(f"`{name}`", files["today"], name) for name in ("events", "numpy")]
    if former is not None:
        rows.append(Row("ONNX Runtime, former file", former, "onnxruntime"))
    rows.append(Row("ONNX Runtime", files["today"], "onnxruntime"))
    rows.append(Row("ONNX Runtime, `--int8` file", files["int8"], "onnxruntime"))
    rows.append(Row("Norse and ptwt, float model in torch", checkpoint, "norse"))
    return rows + list(_twins(network, frames, folder))


def _twins(network: Network, frames: Frames, folder: Path) -> Iterator[Row]:
    torch.manual_seed(0)
    config = network.config
    twins = {"ANN twin": AnnTwin(config, 1), "ResNet-18": ResNet18(config.time_steps, config.bits)}
    for name, twin in twins.items():
        source, target = folder / f"{name}.onnx", folder / f"{name}-int8.onnx"
        export_twin(twin, frames, source)
        quantise_onnx(source, target, frames)
        yield Row(name, source, TWIN)
        yield Row(f"{name}, int8" + (" (and QNN: no kernel has fewer bits)" if "twin" in name else ""), target, TWIN)


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


def cold(row: Row, frames: Path) -> tuple[float, float] | None:
    """CPU seconds from the start of a process to the first code, and its peak memory in MiB."""
    if row.backend == "norse":
        return None
    command = [sys.executable, "-c", _COLD, str(row.path), row.backend, str(frames)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(answer[0]), float(answer[1])


def fill(rows: list[Row], network: Network, frames: Frames, seconds: float, folder: Path) -> None:
    """Measure everything."""
    np.save(folder / "frames.npy", frames)
    torch.set_num_threads(1)
    for threads in (1, 2):
        encoders = {row.name: encoder_of(row, threads) for row in rows}
        integer = {row.name: encoders[row.name] for row in rows if row.backend not in (TWIN, "norse")}
        check_codes(integer, network, frames)
        for batch in BATCHES if threads == 1 else BATCHES[-1:]:
            part = frames[: max(batch, ONE_BY_ONE)]
            calls = {name: in_batches(encode, batch) for name, encode in encoders.items()}
            for name, spent in measure(calls, part, seconds).items():
                row = next(each for each in rows if each.name == name)
                clock, cpu = 1e3 * spent.min(axis=0) / len(part)
                if threads == 1:
                    row.cpu[batch] = float(cpu)
                else:
                    row.two = float(cpu), float(clock)
    for row in rows:
        starts = [cold(row, folder / "frames.npy") for _ in range(3)]
        row.cold = min((each for each in starts if each is not None), default=None)


def openvino(path: Path, frames: Frames) -> str:
    """A row of the table."""
    measured = RuntimeEncoder(path, "openvino").measured(frames)
    return f"| OpenVINO, in float32 | {1e3 * measured.seconds:.2f} | | | | |"


def line(row: Row) -> str:
    """A row of the table."""
    first, last = (f"{row.cpu[batch]:.2f}" for batch in BATCHES)
    two = f"{row.two[0]:.2f} ({row.two[1]:.2f})" if row.two else ""
    seconds, peak = (f"{row.cold[0]:.2f}", f"{row.cold[1]:.0f}") if row.cold else ("", "")
    return f"| {row.name} | {first} | {last} | {two} | {peak} | {seconds} |"


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint.", metavar="CKPT")] = Path("checkpoints/digits.pt"),
    recordings: Annotated[Path | None, typer.Option(help="Folder of N-MNIST .bin files; simulated without.")] = None,
    former: Annotated[Path | None, typer.Option(help="The same encoder as another version wrote it (.onnx).")] = None,
    seconds: Annotated[float, typer.Option(help="Measuring time of each.")] = 2.0,
) -> None:
    """Print the table."""
    logging.disable(logging.WARNING)  # ONNX Runtime's quantisation warns of every tensor that it keeps in one scale
    network = load_network(checkpoint)
    frames = recorded_frames(network.config, read_files(recordings, BATCHES[-1]))
    with private_folder() as folder:
        rows = rows_of(checkpoint, network, frames, former, folder)
        fill(rows, network, frames, seconds, folder)
        print(
            "| | batch 1 | batch 64 | two threads, batch 64 (clock) | peak MiB | first code, CPU s |\n"
            + "|---" * 6
            + "|"
        )
        print("\n".join(line(row) for row in rows), flush=True)
        print(openvino(folder / "encoder.onnx", frames[:16]))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run(main)
