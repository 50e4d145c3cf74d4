"""How fast Lava runs: ``python -m benchmarks.lava``. Ratios compare within one run only.

The plain route is one stock process per layer and one run per recording. The product of an attention is compared with
its expansion into coincidence gates.
"""

import json
import os
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import nir
import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from deploy.backends.lava import ROOT, Executor, LavaBackend, LavaNumbers, find_interpreter
from deploy.lava.lowering.graph import lower
from deploy.lava.network import mapping_size
from export.attention_mappings import attention_graph
from export.marked_attention import MarkedAttention
from spikinghash.cli import run, wide_console
from spikinghash.errors import BackendError, ComparisonError

STEPS = 8
PLAIN_RECORDINGS = 3
ATTENTION = MarkedAttention((16, 4, 4), heads=4)
EXECUTORS: tuple[Executor, ...] = ("local", "processes")
DT = 1e-4
Array = NDArray[Any]


def conv_net() -> nir.NIRGraph:
    """A chain of four convolutions and a dense layer, each with LIF neurons, on 32 x 32 pixels."""
    generator = np.random.default_rng(0)
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([2, 32, 32]))}
    shape = (2, 32, 32)
    for index, (channels, stride) in enumerate(((16, 1), (16, 2), (32, 1), (32, 2))):
        weight = generator.integers(-4, 6, (channels, shape[0], 3, 3)) * 1.0
        nodes[f"conv{index}"] = nir.Conv2d(shape[1:], weight, stride, 1, 1, 1, np.zeros(channels))
        shape = (channels, shape[1] // stride, shape[2] // stride)
        nodes[f"lif{index}"] = _lif(shape, 40.25)
    nodes["flat"] = nir.Flatten({"input": np.array(shape)}, start_dim=0)
    nodes["dense"] = nir.Linear(generator.integers(-4, 6, (32, int(np.prod(shape)))) * 1.0)
    nodes |= {"lif": _lif((32,), 60.25), "output": nir.Output(np.array([32]))}
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)), type_check=False)


def _lif(shape: tuple[int, ...], threshold: float) -> nir.LIF:
    return nir.LIF(*(np.full(shape, value) for value in (2 * DT, 2.0, 0.0, threshold, 0.0)))


def random_spikes(samples: int, shape: tuple[int, ...], rate: float = 0.1) -> Array:
    """Spikes (samples, STEPS, *shape), float32."""
    return (np.random.default_rng(1).random((samples, STEPS, *shape)) < rate).astype(np.float32)


def run_plain(graph: nir.NIRGraph, spikes: Array) -> tuple[float, Array]:
    """Seconds and outputs of the plain route; the gain of the neurons goes into the weights.

    Raises:
        BackendError: it failed.
    """
    for node in graph.nodes.values():
        if isinstance(node, nir.LIF):
            assert np.all(node.r * DT / node.tau == 1)
    with tempfile.TemporaryDirectory(prefix="snh-plain-") as name:
        job = Path(name)
        (job / "script").mkdir()  # Lava executes the files beside a script's processes
        script = job / "script" / "main.py"
        script.write_text((ROOT / "benchmarks" / "lava_plain.py").read_text())
        nir.write(job / "graph.nir", graph)
        np.save(job / "input.npy", spikes)
        command = ["timeout", "-k", "5", "600", str(find_interpreter()), str(script), name]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        done = subprocess.run(command, check=False, env=os.environ | threads, capture_output=True, text=True)
        if done.returncode:
            raise BackendError(f"the plain route failed: {(done.stderr.splitlines() or ['it wrote nothing'])[-1]}")
        return float(json.loads((job / "seconds.json").read_text())), np.load(job / "outputs.npy")


def run_backend(path: Path, spikes: Array, executor: Executor, numbers: LavaNumbers) -> tuple[float, Array]:
    """Seconds of the whole call, the start of the worker included, and outputs."""
    begin = time.perf_counter()
    outputs, _ = LavaBackend(executor=executor, numbers=numbers).run(path, spikes)
    return time.perf_counter() - begin, outputs


def routes(folder: Path, recordings: int) -> Table:
    """A convolutional network on the plain route and in both executors.

    Raises:
        ComparisonError: the routes give different spikes.
    """
    table = Table("route", "numbers", "recordings", "ms/step", "steps/s", "recordings/s", "times plain", title="Routes")
    graph = conv_net()
    nir.write(folder / "net.nir", graph)
    spikes = random_spikes(recordings, (2, 32, 32))
    seconds, plain = run_plain(graph, spikes[:PLAIN_RECORDINGS])
    base = seconds / PLAIN_RECORDINGS
    _add(table, "plain", "float", PLAIN_RECORDINGS, seconds, base)
    for executor in EXECUTORS:
        for numbers in ("float", "fixed"):
            seconds, outputs = run_backend(folder / "net.nir", spikes, executor, numbers)  # type: ignore[arg-type]
            if not np.array_equal(outputs[:PLAIN_RECORDINGS], plain):
                raise ComparisonError(f"{executor}, {numbers}: spikes differ from those of the plain route")
            _add(table, executor, numbers, recordings, seconds, base)
    return table


def _add(table: Table, route: str, numbers: str, recordings: int, seconds: float, plain: float) -> None:
    each = seconds / recordings
    figures = (f"{1e3 * each / STEPS:.2f}", f"{STEPS / each:.0f}", f"{1 / each:.2f}", f"{plain / each:.1f}")
    table.add_row(route, numbers, str(recordings), *figures)


def encoder(path: Path, recordings: int) -> Table:
    """An encoder's recordings in both executors."""
    from export.nir_file import read_encoder
    from export.trace import input_spikes

    table = Table("executor", "numbers", "recordings", "seconds", "recordings/s", title=f"Encoder {path.name}")
    _, metadata = read_encoder(path)
    generator = np.random.default_rng(2)
    shape = (metadata.time_steps, 2, metadata.size, metadata.size)
    for executor in EXECUTORS:
        for samples in (1, recordings):
            frames = (generator.random((samples, *shape)) < 0.1).astype(np.uint8)
            seconds, _ = run_backend(path, input_spikes(frames, metadata), executor, "float")
            table.add_row(executor, "float", str(samples), f"{seconds:.1f}", f"{samples / seconds:.2f}")
    return table


def attention(folder: Path) -> Table:
    """Both mappings of one attention: what they take, and that they give the same.

    Raises:
        ComparisonError: they do not.
    """
    channels, height, width = ATTENTION.shape
    title = f"Attention of {height * width} tokens, {channels} channels, {ATTENTION.heads} heads"
    table = Table("mapping", "neurons", "synapses", "steps", "seconds", title=title)
    spikes = random_spikes(20, (3 * channels, height, width), rate=0.2)
    found = []
    for name, marked in (("one product", True), ("coincidence gates", False)):
        graph = attention_graph(ATTENTION, marked)
        nir.write(folder / "attention.nir", graph)
        size = mapping_size(lower(graph))
        seconds, outputs = run_backend(folder / "attention.nir", spikes, "local", "fixed")
        found.append(outputs)
        table.add_row(name, f"{size.neurons:,}", f"{size.synapses:,}", str(size.steps), f"{seconds:.1f}")
    if not np.array_equal(*found):
        raise ComparisonError("the product and the coincidence gates give different spikes")
    return table


def main(
    encoder_file: Annotated[
        Path | None, typer.Argument(help="An encoder's .nir file to measure as well.", metavar="[ENCODER.nir]")
    ] = None,
    recordings: Annotated[int, typer.Option(min=PLAIN_RECORDINGS, help="Recordings to run back to back.")] = 100,
) -> None:
    """Print the speed of Lava's executors, and of the plain route, and the size of both mappings of an attention."""
    console = wide_console()
    with tempfile.TemporaryDirectory(prefix="snh-bench-") as name:
        console.print(routes(Path(name), recordings))
        console.print(attention(Path(name)))
    if encoder_file is not None:
        console.print(encoder(encoder_file, recordings))


if __name__ == "__main__":
    run(main)
