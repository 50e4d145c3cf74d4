"""Any NIR graph on arrays of spikes, with what its populations did."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from deploy.backends.encoder import Executor
from deploy.backends.encoders import BACKENDS, RunNumbers
from deploy.backends.nir_backend import graph_runner
from deploy.backends.simulators import LOWERED
from export.nir.conventions import as_meant_by
from export.nir.interpreter import Array, Interpreter
from export.nir.metadata import read_metadata
from export.nir.read import TIME_STEP_KEY, assumed_time_step, named_time_step, read_graph
from export.nir.stepwise.flatten import flatten
from export.nir.stepwise.plan import SPIKING_NODES
from export.nir.tools import Tool
from export.synaptic.activity import Activity, count_activity, populations_to_record
from spikinghash.arrays import read_spikes
from spikinghash.errors import SpikinghashError
from spikinghash.files import atomic_path, private_folder

SILENCE_BATCH = 8
"""Samples that are looked through for a spike at once."""


@dataclass(frozen=True)
class GraphRun:
    """What a graph did; time is the graph's own."""

    outputs: NDArray[np.float32]
    """(samples, steps, *output shape)."""
    recorded: dict[str, NDArray[Any]] = field(default_factory=dict)
    """By population, (samples, steps, *shape): uint8 for spikes, float32 for graded values."""
    activity: dict[str, Activity] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    """What the user should know of the run, a line each."""

    def save(self, path: Path) -> None:
        """Write an .npz file: outputs, spikes/NODE, counts/NODE and operations/NODE."""
        arrays: dict[str, Any] = {f"spikes/{name}": values for name, values in self.recorded.items()}
        for name, activity in self.activity.items():
            arrays |= {f"counts/{name}": activity.spikes, f"operations/{name}": activity.operations}
        with atomic_path(path) as temporary:
            np.savez_compressed(temporary, outputs=self.outputs, **arrays)

    def as_dict(self) -> dict[str, Any]:
        """The outputs, and per population the numbers of each sample."""
        activity = {
            name: {"spikes": each.spikes.tolist(), "synaptic_operations": each.operations.tolist()}
            for name, each in self.activity.items()
        }
        return {"outputs": self.outputs.tolist(), **({"populations": activity} if activity else {})}

    def __str__(self) -> str:
        lines = [f"outputs {self.outputs.shape}, {int(np.count_nonzero(self.outputs))} values not zero"]
        lines += [
            f"{name}: {each.spikes.sum()} spikes, {each.operations.sum()} synaptic operations"
            for name, each in self.activity.items()
        ]
        return "\n".join(lines)


def run_on_file(
    graph: Path,
    source: Path,
    backend: str,
    dt: float | None = None,
    trace: bool = False,
    numbers: RunNumbers = "integer",
    executor: Executor | None = None,
    threads: int = 0,
    tool: Tool | None = None,
) -> GraphRun:
    """Run any NIR graph on the array ``spikes`` (samples, steps, ...) in the .npz file ``source``.

    Args:
        dt: seconds per step in place of what the graph's metadata say.
        trace: whether to count spikes and synaptic operations of every population.
        numbers: ``fixed`` for Loihi's fixed point, else the graph's own.
        executor: of the Lava backend.
        threads: of NEST, 0 for one.
        tool: whose file it is; its parameters are taken as that tool means them.

    Raises:
        GraphError: the array is missing or has the wrong shape, the graph cannot be run, or it is an encoder of this
            project whose metadata cannot be read.
        SpikinghashError: the backend runs no NIR graphs.
    """
    if backend not in BACKENDS[".nir"]:
        raise SpikinghashError(f"--backend {backend}: does not run NIR graphs: use {' or '.join(BACKENDS['.nir'])}")
    option = f"--dt {dt:g}" if dt is not None else f"--from {tool}"
    if (dt is not None or tool is not None) and backend not in (own := ("nir", "lava", *LOWERED)):
        raise SpikinghashError(f"{option}: {backend} takes the time step from its own importer: use {' or '.join(own)}")
    if dt is not None and tool is not None:
        raise SpikinghashError(f"--dt {dt:g}: with --from {tool} the tool's own time step is taken: leave one out")
    spikes = read_spikes(source)
    runner = graph_runner(backend, numbers, executor, threads)
    with _as_wanted(graph, dt, tool) as path:
        network = read_graph(path)
        read_metadata(network, str(graph))
        outputs, recorded = runner.run(path, spikes, populations_to_record(network) if trace else ())
        remarks = tuple(_remarks(graph.name, network, spikes, outputs))
        return GraphRun(outputs, recorded, count_activity(network, spikes, recorded) if trace else {}, remarks)


def _remarks(
    name: str, graph: nir.NIRGraph, spikes: NDArray[np.float32], outputs: NDArray[np.float32]
) -> Iterator[str]:
    """The time step, where it had to be assumed, and that nothing spiked, which a wrong one often leads to."""
    interpreter = Interpreter(graph)
    dt = interpreter.plan.dt
    if named_time_step(graph) is None:
        why = assumed_time_step(graph)[1]
        yield f"note: {name} names no time step: {dt:g} s assumed ({why}); --dt sets another, --from takes a tool's"
    if not outputs.any() and _is_silent(interpreter, spikes):
        samples, steps = spikes.shape[:2]
        yield (
            f"warning: no neuron of {name} spiked in {samples} x {steps} steps of {dt:g} s: "
            f"if it was made for another time step, give it with --dt{_hint(graph)}, or --from its tool"
        )


def _hint(graph: nir.NIRGraph) -> str:
    """A time step to try: with IF neurons whose r is 1, sinabs, Norse and spyx mean that inputs add up as they are."""
    counters = [node for node in flatten(graph)[0].values() if isinstance(node, nir.IF)]
    return " (1, if its IF neurons shall add up their inputs)" if any(np.all(node.r == 1) for node in counters) else ""


def _is_silent(interpreter: Interpreter, spikes: NDArray[np.float32]) -> bool:
    """Whether there are spiking neurons, and none spikes in the reference interpreter."""
    spiking = {name for name, node in interpreter.nodes.items() if isinstance(node, SPIKING_NODES)}
    active: set[str] = set()

    def observe(name: str, _arriving: Array, emitted: Array, _potential: Array | None) -> None:
        if name in spiking and emitted.any():
            active.add(name)

    for first in range(0, len(spikes), SILENCE_BATCH):
        interpreter.run(spikes[first : first + SILENCE_BATCH], observer=observe)
        if active:
            return False
    return bool(spiking)


@contextmanager
def _as_wanted(path: Path, dt: float | None, tool: Tool | None) -> Iterator[Path]:
    """The graph's file, or a copy whose metadata name another time step, or that says what a tool means by it."""
    if dt is None and tool is None:
        yield path
        return
    graph = read_graph(path)
    if tool is not None:
        graph = as_meant_by(graph, tool)
    else:
        graph.metadata[TIME_STEP_KEY] = dt
    with private_folder() as folder:
        copy = folder / path.name
        nir.write(str(copy), graph, compression=None)  # h5py compresses no scalar
        yield copy
