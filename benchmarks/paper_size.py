"""Exports at the paper's size, and what runs on them: ``python -m benchmarks.paper_size [--before CHECKOUT]``.

CPU time and peak memory of each command, run alternately with this code and with that of another checkout on the same
checkpoint: an untrained network of configs/dvs128.toml whose normalisation has seen a few frames, so that it spikes.
"""

import datetime
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import nir
import numpy as np
import onnx
import torch
import typer
from numpy.typing import NDArray

from benchmarks.results.__main__ import processor
from export.nir.stepwise.flatten import flatten
from spikinghash.cli import run
from spikinghash.errors import SpikinghashError
from spikinghash.files import private_folder
from training.archive import load_archive, save_archive
from training.checkpoint import Checkpoint, save_checkpoint
from training.config import Config, EncoderConfig, load_config
from training.data.digits import write_recordings
from training.model.encoder import Spikinghash

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "dvs128.toml"
FRAMES, DENSITY = 4, 0.1
"""Random frames that the normalisation sees, and the share of ones in these and all others."""
GIBI = 2**20
"""Kibibytes, in which the system counts memory."""


PARENT = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small process between this one and what is measured: the system counts the peak of who starts a process as its."""


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    cpu_s: float
    """Of the command and the processes that it starts."""
    peak_gib: float
    """Of the largest of them."""


ON_LAVA = ("--backend", "lava", "--executor", "local")
COMMANDS = {
    "export.to_nir": ("export.to_nir", "{checkpoint}", "-o", "{out}/encoder.nir"),
    "export.to_onnx": ("export.to_onnx", "{checkpoint}", "-o", "{out}/encoder.onnx"),
    "deploy.run": ("deploy.run", "{out}/encoder.nir", "{recording}"),
    "deploy.run, Lava in process": ("deploy.run", "{out}/encoder.nir", "{recording}", *ON_LAVA),
    "deploy.run --trace": ("deploy.run", "{out}/encoder.nir", "--input", "{input}", "--trace"),
    "deploy.run --trace, Lava in process": (
        "deploy.run", "{out}/encoder.nir", "--input", "{input}", "--trace", *ON_LAVA
    ),
    "deploy.place": ("deploy.place", "{out}/encoder.nir", "--profile", "spinnaker1"),
    "deploy.report": ("deploy.report", "{out}/encoder.nir", "--recordings", "{recording}", "--out", "{out}/report"),
}  # fmt: skip
COMPARED = ("export.to_nir", "export.to_onnx")
"""What is run with the other checkout, too."""


def main(
    before: Annotated[Path | None, typer.Option(help="Checkout of an earlier version to compare with.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each export; the least of them counts.")] = 1,
    only: Annotated[str, typer.Option(help="Commands that begin so.")] = "",
) -> None:
    """Print a table of what exports and runs take."""
    print(f"{datetime.date.today().isoformat()}, {processor()}, one thread\n")
    print("| command | before: CPU, s | peak, GiB | now: CPU, s | peak, GiB | files |\n|---|---|---|---|---|---|")
    with private_folder() as folder:
        names = {"checkpoint": folder / "dvs128.pt", "recording": write_recordings(folder, [0])[0]}
        names["input"] = folder / "input.npz"
        np.savez(names["input"], spikes=some_input(load_config(CONFIG).encoder))
        save_plainly(names["checkpoint"], untrained(load_config(CONFIG)))
        for command, arguments in COMMANDS.items():
            if command.startswith(only):
                print(row(command, arguments, before if command in COMPARED else None, runs, folder, names), flush=True)


def row(
    command: str, arguments: tuple[str, ...], before: Path | None, runs: int, folder: Path, names: dict[str, Path]
) -> str:
    """A line of the table; runs of both checkouts take turns."""
    checkouts = {"now": ROOT} | ({"before": before} if before else {})
    costs: dict[str, list[Cost]] = {name: [] for name in checkouts}
    for _ in range(runs):
        for name, checkout in checkouts.items():
            (folder / name).mkdir(exist_ok=True)
            filled = [part.format(out=folder / name, **names) for part in arguments]
            costs[name].append(measured(["-m", *filled], checkout))
    cells = [
        f"{min(c.cpu_s for c in costs[name]):.1f} | {min(c.peak_gib for c in costs[name]):.2f}"
        if name in costs
        else " | "
        for name in ("before", "now")
    ]
    return f"| {command} | {' | '.join(cells)} | {same(folder, arguments[-1]) if before else ''} |"


def same(folder: Path, written: str) -> str:
    """Whether both checkouts wrote the same bytes, or at least the same graph."""
    one, other = (Path(written.format(out=folder / name)) for name in ("before", "now"))
    if one.read_bytes() == other.read_bytes():
        return "same bytes"
    alike = same_onnx(one, other) if one.suffix == ".onnx" else same_nir(one, other)
    return "same graph, other metadata" if alike else "other graphs"


def same_onnx(one: Path, other: Path) -> bool:
    """Whether operators and weights are the same, bit for bit."""
    first, second = (onnx.load(path).graph.SerializeToString(deterministic=True) for path in (one, other))
    return bool(first == second)


def same_nir(one: Path, other: Path) -> bool:
    """Whether nodes, edges and all parameters are the same, bit for bit."""
    first, second = (flatten(nir.read(path)) for path in (one, other))
    if first[1] != second[1] or list(first[0]) != list(second[0]):
        return False
    return all(
        np.array_equal(np.asarray(value), np.asarray(getattr(second[0][name], key)), equal_nan=True)
        for name, node in first[0].items()
        for key, value in vars(node).items()
        if isinstance(value, np.ndarray)
    )


def measured(arguments: list[str], checkout: Path) -> Cost:
    """Run Python on ``arguments`` in ``checkout``.

    Raises:
        SpikinghashError: it failed.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-S", "-c", PARENT, sys.executable, *arguments]
    done = subprocess.run(command, cwd=checkout, env=os.environ | threads, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SpikinghashError(f"{' '.join(arguments)}: it ended with {done.returncode}")
    cpu_s, kibibytes = map(float, done.stdout.split())
    return Cost(cpu_s, kibibytes / GIBI)


def save_plainly(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` with no key that an earlier version would not know."""
    save_checkpoint(path, checkpoint)
    content = load_archive(path)
    kept = {key: content[key] for key in ("format", "weights", "epoch", "metrics", "resume", "grids")}
    save_archive(path, kept | {"config": tomllib.loads(CONFIG.read_text())})


def some_input(sizes: EncoderConfig) -> NDArray[np.float32]:
    """Random frames with the channel that tells that they are frames, (1, T, 3, H, W)."""
    frames = np.ones((1, sizes.time_steps, 3, sizes.size, sizes.size), np.float32)
    frames[:, :, :2] = np.random.default_rng(0).random(frames[:, :, :2].shape) < DENSITY
    return frames


@torch.no_grad()
def untrained(config: Config) -> Checkpoint:
    """A network of ``config`` whose layers spike."""
    torch.manual_seed(0)
    model, encoder = Spikinghash(config.encoder), config.encoder
    for name, parameter in model.named_parameters():
        if name.endswith("norm.bias"):
            torch.nn.init.uniform_(parameter, -0.2, 0.6)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model((torch.rand(FRAMES, encoder.time_steps, 2, encoder.size, encoder.size) < DENSITY).to(torch.uint8))
    return Checkpoint(config, model.state_dict(), 0, {})


if __name__ == "__main__":
    run(main)
