"""How fast Lava runs: ``python -m benchmarks.lava``. Ratios compare within one run only.

CPU seconds, of all processes together, tell more than seconds where other programs run besides.

The plain route is one stock process per layer and one run per recording. The product of an attention is compared with
its expansion into coincidence gates.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import nir
import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.timing import seconds_of_children
from deploy.backends.encoder import Executor
from deploy.backends.lava_backend import LavaBackend, LavaNumbers, find_interpreter
from deploy.backends.worker import ROOT
from export.encoder.operations.attention import gate_weights
from export.nir.marked_attention import MappingSize, MarkedAttention
from export.nir.metadata import read_encoder
from export.nir.trace import input_spikes
from export.synaptic.lowering import lower
from export.synaptic.populations import SynapseNetwork
from export.synaptic.schedule import schedule
from spikinghash.cli import run, wide_console
from spikinghash.errors import BackendError, ComparisonError

STEPS = 8
PLAIN_RECORDINGS = 3
ATTENTION = MarkedAttention((16, 4, 4), heads=4)
EXECUTORS: tuple[Executor, ...] = ("local", "processes")
NUMBERS: tuple[LavaNumbers, ...] = ("float", "fixed")
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


def attention_graph(attention: MarkedAttention, marked: bool) -> nir.NIRGraph:
    """Spikes of queries, keys and values, (3 C, H, W), through an attention to one LIF neuron per count.

    Args:
        attention: its shape and heads.
        marked: whether it stays a marked subgraph; else it is written as gates, one chain for all heads.
    """
    channels, height, width = attention.shape
    size = channels * height * width
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([3 * channels, height, width]))}
    if marked:
        flat = nir.Flatten({"input": np.array(attention.shape)}, start_dim=0)
        nodes |= {"attention": attention.subgraph(), "flat": flat}
    else:
        into, total = _all_heads(attention)
        flat = nir.Flatten({"input": np.array([3 * channels, height, width])}, start_dim=0)
        gates = nir.Threshold(np.full(len(into), 2.5))
        nodes |= {"flat": flat, "into": nir.Linear(into), "gates": gates, "sum": nir.Linear(total)}
    nodes |= {"lif": _lif((size,), 2.25), "output": nir.Output(np.array([size]))}
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)), type_check=False)


def _all_heads(attention: MarkedAttention) -> tuple[Array, Array]:
    """Matrices into and out of the gates of all heads, one head after the other."""
    channels, height, width = attention.shape
    tokens, per_head = height * width, channels // attention.heads
    into, total = (weights[:, :, 0, 0] for weights in gate_weights(per_head, tokens))
    one_per_head = np.eye(attention.heads)
    all_into = np.hstack([np.kron(one_per_head, part) for part in np.split(into, 3, axis=1)])
    return all_into, np.kron(one_per_head, total)


def _lif(shape: tuple[int, ...], threshold: float) -> nir.LIF:
    return nir.LIF(*(np.full(shape, value) for value in (2 * DT, 2.0, 0.0, threshold, 0.0)))


def random_spikes(samples: int, shape: tuple[int, ...], rate: float = 0.1) -> Array:
    """Spikes (samples, STEPS, *shape), float32."""
    return (np.random.default_rng(1).random((samples, STEPS, *shape)) < rate).astype(np.float32)


@dataclass(frozen=True)
class Measured:
    """A call of a route, the start of its Python included."""

    outputs: Array
    seconds: float
    cpu_seconds: float
    """Of all processes together."""


def measure(call: Callable[[], Array]) -> Measured:
    """Call a route that works in processes of its own."""
    before, begin = seconds_of_children(), time.perf_counter()
    outputs = call()
    return Measured(outputs, time.perf_counter() - begin, seconds_of_children() - before)


def run_plain(graph: nir.NIRGraph, spikes: Array) -> Array:
    """Outputs of the plain route; the gain of the neurons goes into the weights.

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
        outputs: Array = np.load(job / "outputs.npy")
        return outputs


def run_backend(path: Path, spikes: Array, executor: Executor, numbers: LavaNumbers = "float") -> Measured:
    """All recordings back to back."""
    return measure(lambda: LavaBackend(executor=executor, numbers=numbers).run(path, spikes)[0])


def routes(folder: Path, recordings: int) -> Table:
    """A convolutional network on the plain route and in both executors.

    Raises:
        ComparisonError: the routes give different spikes.
    """
    table = _table("route", "Routes")
    graph = conv_net()
    nir.write(folder / "net.nir", graph)
    spikes = random_spikes(recordings, (2, 32, 32))
    plain = measure(lambda: run_plain(graph, spikes[:PLAIN_RECORDINGS]))
    _add(table, "plain", "float", plain, plain)
    for executor in EXECUTORS:
        for numbers in NUMBERS:
            found = run_backend(folder / "net.nir", spikes, executor, numbers)
            if not np.array_equal(found.outputs[:PLAIN_RECORDINGS], plain.outputs):
                raise ComparisonError(f"{executor}, {numbers}: spikes differ from those of the plain route")
            _add(table, executor, numbers, found, plain)
    return table


def _table(first: str, title: str) -> Table:
    columns = ("numbers", "recordings", "seconds", "CPU s", "ms/step", "steps/s", "recordings/s", "times the first")
    table = Table(first, title=title)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _add(table: Table, route: str, numbers: str, found: Measured, first: Measured) -> None:
    recordings, steps = found.outputs.shape[:2]
    each = found.seconds / recordings
    gain = first.seconds / len(first.outputs) / each
    figures = (f"{1e3 * each / steps:.2f}", f"{steps / each:.0f}", f"{1 / each:.2f}", f"{gain:.1f}")
    table.add_row(route, numbers, str(recordings), f"{found.seconds:.1f}", f"{found.cpu_seconds:.1f}", *figures)


def encoder(path: Path, recordings: int) -> Table:
    """An encoder's recordings in both executors."""
    _, metadata = read_encoder(path)
    shape = (metadata.time_steps, 2, metadata.size, metadata.size)
    frames = (np.random.default_rng(2).random((recordings, *shape)) < 0.1).astype(np.uint8)
    spikes = input_spikes(frames, metadata)
    table, first = _table("executor", f"Encoder {path.name}"), None
    for samples in sorted({1, recordings}):
        for executor in EXECUTORS:
            found = run_backend(path, spikes[:samples], executor)
            first = first or found
            _add(table, executor, "float", found, first)
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
        run = run_backend(folder / "attention.nir", spikes, "local", "fixed")
        found.append(run.outputs)
        table.add_row(name, f"{size.neurons:,}", f"{size.synapses:,}", str(size.steps), f"{run.seconds:.1f}")
    product, gates = found
    if not np.array_equal(product, gates):
        raise ComparisonError("the product and the coincidence gates give different spikes")
    return table


def mapping_size(network: SynapseNetwork) -> MappingSize:
    """Neurons and synapses that a network occupies, and how long a spike is on its way."""
    return MappingSize(
        neurons=sum(part.neurons for part in (*network.neurons, *network.of_kind("attention"))),
        synapses=sum(part.weights.nnz for part in network.projections),
        steps=schedule(network).depth,
    )


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
