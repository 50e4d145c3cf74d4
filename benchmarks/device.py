"""Training and ONNX Runtime on a GPU, beside the CPU of the same machine: ``benchmarks/device.sh``.

Steps of training are compared and timed on one untrained network of configs/dvs128.toml, with random frames: in single
precision and under autocast in bfloat16. Then an epoch of as many recordings as DVS128 Gesture trains on, and the codes
of the exported model on ONNX Runtime's CUDA and CPU providers, which must be the same. Compiled steps come last: what
compiling takes is not known before, and what is printed by then stays where it takes too long.
"""

import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.paper_size import CONFIG, DENSITY, untrained
from benchmarks.results.__main__ import processor
from benchmarks.timing import medians
from export.encoder.network import build_network
from export.onnx.properties import read_model
from export.onnx.to_onnx import export_onnx
from spikinghash.cli import run
from spikinghash.errors import ComparisonError, in_one_line
from spikinghash.files import private_folder
from training.config import Config, EncoderConfig, load_config
from training.data.frames import Dataset
from training.data.splits import Split
from training.loss import HashLoss
from training.model.encoder import Spikinghash
from training.steps import descend, epoch, one_cycle
from training.train import device_named

Step = Callable[[], Tensor]
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
"""Of ONNX Runtime."""
GESTURES, CLASSES = 1176, 11
"""Training recordings of DVS128 Gesture, and its classes."""
COMPARED, CODED, AT_ONCE = 4, 64, 8
"""Recordings of the step whose gradients are compared, and whose codes are; how many are encoded at once."""
COMPARED_SIZE = 32
"""Pixels across, at most, of the frames whose gradients are compared. In larger ones rounding moves a spike, and in an
untrained network nothing is alike after it: one spike of 81,212 at 64 pixels, half of them eight layers later."""


def main(
    device: Annotated[str, typer.Option(help="cuda; cpu tries the script itself.")] = "cuda",
    config: Annotated[Path, typer.Option(help="TOML file of the network.")] = CONFIG,
    recordings: Annotated[int, typer.Option(min=2, help="Of the epoch.")] = GESTURES,
    repeats: Annotated[int, typer.Option(min=1, help="Steps that are timed in each way.")] = 5,
    compiled: Annotated[
        bool, typer.Option("--compiled/--not-compiled", help="With torch.compile, too, on a GPU.")
    ] = True,
) -> None:
    """Print what the device computes and how long it takes."""
    there, loaded = device_named(device), load_config(config)
    print(f"{described(there)}; CPU: {processor()}, {torch.get_num_threads()} threads; torch {torch.__version__}\n")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for lines in (
        agreement(loaded, there),
        step_times(loaded, there, repeats),
        epoch_time(loaded, there, recordings),
        codes_alike(loaded, there),
        compiled_times(loaded, there, repeats) if compiled and there.type != "cpu" else (),
    ):
        for line in lines:
            print(line, flush=True)


def described(device: torch.device) -> str:
    """Name of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def batch_of(config: Config, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random frames (B, T, 2, H, W) and classes (B,)."""
    sizes, generator = config.encoder, torch.Generator().manual_seed(seed)
    shape = (count, sizes.time_steps, 2, sizes.size, sizes.size)
    return (torch.rand(shape, generator=generator) < DENSITY).to(torch.uint8), torch.arange(count) % CLASSES


def losses(config: Config, device: torch.device) -> tuple[Spikinghash, HashLoss]:
    """An untrained network in training mode, the same on every device, and its loss."""
    model, settings = untrained(config).model().train().to(device), config.train
    return model, HashLoss(config.encoder.votes, settings.soft_weight, settings.balance_weight).to(device)


def agreement(config: Config, device: torch.device) -> Iterator[str]:
    """Loss and gradients of one step on the device, on small frames, against those of the CPU in double precision."""
    sizes = config.encoder.model_dump()
    small = EncoderConfig(**sizes | {"size": min(sizes["size"], COMPARED_SIZE)})
    config = config.model_copy(update={"encoder": small})
    frames, labels = batch_of(config, COMPARED)
    found: dict[str, tuple[float, Tensor]] = {}
    for name, place, kind in (
        ("exact", torch.device("cpu"), torch.float64),
        ("CPU", torch.device("cpu"), torch.float32),
        (described(device), device, torch.float32),
    ):
        model, loss = (part.to(kind) for part in losses(config, place))
        value = loss(model(frames.to(place)), labels.to(place))
        gradients = torch.autograd.grad(value, list(model.parameters()), allow_unused=True)
        flat = [each.flatten().double().cpu() for each in gradients if each is not None]
        found[name] = value.item(), torch.cat(flat)
    value, exact = found.pop("exact")
    for name, (own, gradient) in found.items():
        apart = float((gradient - exact).norm() / exact.norm())
        yield f"step on {name}: loss {own:.6f} ({value:.6f} in double precision), gradients {apart:.2e} apart"


def step_times(config: Config, device: torch.device, repeats: int) -> Iterator[str]:
    """Milliseconds of forward and backward per recording, on the CPU and on the device in each way."""
    frames, labels = batch_of(config, config.train.batch_size)
    ways = {"CPU": (torch.device("cpu"), False), described(device): (device, False)}
    if device.type != "cpu":  # whose compiled neurons have no bfloat16
        ways["autocast, bfloat16"] = device, True
    yield "\n| training step | ms per recording | against the CPU |\n|---|---|---|"
    baseline = 0.0
    for name, (place, half) in ways.items():
        (seconds,) = medians([step_on(config, place, half, False, frames, labels)], repeats)
        baseline = baseline or seconds
        yield f"| {name} | {1e3 * seconds / len(frames):.2f} | {baseline / seconds:.1f} times as fast |"


def compiled_times(config: Config, device: torch.device, repeats: int) -> Iterator[str]:
    """Milliseconds of forward and backward per recording on a GPU, compiled and not, which take turns.

    What runs on a CPU is compiled already, by Numba, and cannot be traced.
    """
    frames, labels = batch_of(config, config.train.batch_size)
    yield "\n| training step | ms per recording | torch.compile |\n|---|---|---|"
    for name, half in {"single precision": False, "autocast, bfloat16": True}.items():
        steps = [step_on(config, device, half, graph, frames, labels) for graph in (False, True)]
        try:
            plain, graph = (1e3 * seconds / len(frames) for seconds in medians(steps, repeats))
        except Exception as error:  # compilers raise all kinds
            yield f"| {name} | not possible: {in_one_line(error)[:150]} | |"
            continue
        yield f"| {name} | {plain:.2f} | {graph:.2f} |"


def step_on(config: Config, device: torch.device, half: bool, graph: bool, frames: Tensor, labels: Tensor) -> Step:
    """A call that makes one step, and waits until the device is done with it."""
    model, loss = losses(config, device)
    network: Callable[[Tensor], Any] = torch.compile(model) if graph else model
    parameters, frames, labels = list(model.parameters()), frames.to(device), labels.to(device)

    def step() -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            value: Tensor = loss(network(frames), labels)
        torch.autograd.grad(value, parameters, allow_unused=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return value

    return step


def epoch_time(config: Config, device: torch.device, count: int) -> Iterator[str]:
    """Seconds of an epoch, augmentation, transfer and optimiser included."""
    frames, labels = batch_of(config, count)
    dataset = Dataset(frames.numpy(), labels.numpy(), [str(index) for index in range(count)])
    everything, nothing = np.arange(count), np.arange(0)
    sets = Split(everything, nothing, nothing)
    model, loss = losses(config, device)
    optimiser, schedule = one_cycle([*model.parameters(), *loss.parameters()], config.train, sets)
    begin, values = time.perf_counter(), []
    generator = torch.Generator().manual_seed(0)
    for batch, classes in epoch(dataset, sets, config.train, generator, lambda _: None):
        value = loss(model(batch.to(device)), classes.to(device))
        descend(value, optimiser, schedule)
        values.append(value.item())
    seconds = time.perf_counter() - begin
    done = len(values) * config.train.batch_size
    course = f"loss {values[0]:.3f} to {values[-1]:.3f}"
    yield f"\nepoch of {done} recordings on {described(device)}: {seconds:.1f} s, {course}"


def encoded(session: onnxruntime.InferenceSession, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes (B, K/8), a few recordings at once: at the paper's size 64 take more than 8 GiB in double precision."""
    parts = np.split(frames, range(AT_ONCE, len(frames), AT_ONCE))
    return np.concatenate([session.run(["codes"], {"frames": part})[0] for part in parts])


def codes_alike(config: Config, device: torch.device) -> Iterator[str]:
    """Whether the exported model gives one code on ONNX Runtime's CUDA and CPU providers, and how fast.

    Raises:
        ComparisonError: they differ.
    """
    if device.type == "cuda" and CUDA not in onnxruntime.get_available_providers():
        yield "ONNX Runtime on CUDA: not measured, this onnxruntime has no CUDA provider: install onnxruntime-gpu"
        return
    providers = [CUDA] if device.type == "cuda" else [CPU]
    frames = batch_of(config, CODED, seed=1)[0].numpy()
    with private_folder() as folder:
        export_onnx(build_network(untrained(config).model()), folder / "encoder.onnx")
        content = read_model(folder / "encoder.onnx")
    sessions = [onnxruntime.InferenceSession(content, providers=each) for each in ([CPU], providers)]
    calls = [functools.partial(encoded, session, frames) for session in sessions]
    one, other = (call() for call in calls)
    if not np.array_equal(one, other):
        raise ComparisonError(f"ONNX Runtime: {np.unpackbits(one ^ other).sum()} of {8 * one.size} bits differ on CUDA")
    cpu, cuda = medians(calls, 3)
    yield (
        f"ONNX Runtime, {providers[0]}: all {CODED} codes are those of the CPU; {1e3 * cuda / CODED:.2f} ms per "
        f"recording, on the CPU {1e3 * cpu / CODED:.2f}"
    )


if __name__ == "__main__":
    run(main)
