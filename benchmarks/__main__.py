"""Run all benchmarks: ``python -m benchmarks``. Figures are medians; ratios compare within this run only."""

import statistics
import time
from collections.abc import Callable

import onnxruntime
import torch
from rich.console import Console
from rich.table import Table

from export.network import build_network, probe_frames
from export.to_onnx import build_onnx
from training.config import EncoderConfig
from training.model.encoder import Spikinghash
from training.model.lif import lif, lif_loop
from training.model.wave_mixer import WaveMixer

REPEATS = 5


def median_seconds(work: Callable[[], object]) -> float:
    """Median wall time of ``work`` after one warm-up."""
    work()
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def training_parts() -> Table:
    """Parts of a training step against their plain versions: Norse's cell in a loop, ptwt's transforms."""
    table = Table("forward and backward", "plain ms", "fused ms", "ratio", title="Training")
    current = torch.randn(8, 50, 96, 16, 16, requires_grad=True)
    spikes = (torch.rand(8, 50, 24, 16, 16) < 0.2).float().requires_grad_()
    mixer = WaveMixer(24, levels=2, channels_per_group=4)
    pairs: dict[str, tuple[Callable[[], torch.Tensor], Callable[[], torch.Tensor]]] = {
        "LIF, Norse loop": (lambda: lif_loop(current)[0], lambda: lif(current)),
        "wave mixer, ptwt": (lambda: mixer.forward_transform(spikes), lambda: mixer(spikes)),
    }
    for name, (plain, fused) in pairs.items():
        slow, fast = (median_seconds(lambda f=f: f().sum().backward()) for f in (plain, fused))  # type: ignore[misc]
        table.add_row(name, f"{1e3 * slow:.1f}", f"{1e3 * fast:.1f}", f"{slow / fast:.1f}")
    return table


def encoding() -> Table:
    """Recordings per second of the default encoder: the float model, the integer network, ONNX Runtime."""
    table = Table("batch", "float model ms", "integer torch ms", "ONNX Runtime ms", "ratio to model", title="Encoding")
    model = Spikinghash(EncoderConfig()).eval()
    network = build_network(model)
    executor = network.executor()
    session = onnxruntime.InferenceSession(build_onnx(network).SerializeToString(), providers=["CPUExecutionProvider"])
    for batch in (1, 64):
        frames = probe_frames(network.config, batch)
        tensor = torch.from_numpy(frames)
        with torch.no_grad():
            works = (
                lambda t=tensor: model(t),  # type: ignore[misc]
                lambda t=tensor: executor(t),  # type: ignore[misc]
                lambda f=frames: session.run(None, {"frames": f}),  # type: ignore[misc]
            )
            seconds = [median_seconds(work) for work in works]
        table.add_row(
            str(batch), *(f"{1e3 * value / batch:.2f}" for value in seconds), f"{seconds[0] / seconds[2]:.1f}"
        )
    return table


def main() -> None:
    """Print all tables."""
    console = Console()
    for table in (training_parts(), encoding()):
        console.print(table)


if __name__ == "__main__":
    main()
