"""Spikes, synaptic operations and neuron updates of a deployed encoder on real recordings."""

from pathlib import Path

import nir
import numpy as np
from numpy.typing import NDArray

from export.counts import Kind, LayerCounts, NetworkCounts, network_id
from export.interpreter import Array, Interpreter
from export.nir_file import read_encoder
from export.trace import input_spikes
from spikinghash.errors import GraphError
from training.data.progress import track

BATCH = 8
"""Recordings traced at once; bounds the memory."""
_KINDS: dict[type[nir.NIRNode], Kind] = {
    nir.LIF: "lif",
    nir.Threshold: "threshold",
    nir.Delay: "delay",
    nir.IF: "counter",
    nir.Input: "input",
}


class _Tally:
    """Sums over the steps of one run, per population and sample."""

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.emitted: dict[str, Array] = {}
        """Spikes of each neuron, (neurons, samples)."""
        self.active: dict[str, Array] = {}

    def observe(self, name: str, arriving: Array, emitted: Array, potential: Array | None) -> None:
        active = (arriving != 0) | (emitted != 0)
        if potential is not None:
            active |= potential != 0
        self.emitted[name] = self.emitted.get(name, 0.0) + emitted
        self.active[name] = self.active.get(name, 0.0) + active.sum(axis=0)


def trace_counts(path: Path, frames: NDArray[np.uint8], window_us: float) -> NetworkCounts:
    """Run the encoder ``path`` on ``frames`` (B, T, 2, H, W) and count.

    A synaptic operation is one spike at one existing synapse: zero weights and taps beyond the border do not count.

    Args:
        window_us: mean real duration of a recording, in microseconds.

    Raises:
        GraphError: the file is no encoder of this project, or holds an attention that is only marked.
    """
    graph, metadata = read_encoder(path)
    interpreter = Interpreter(graph, metadata.dt)
    for name in interpreter.attentions:
        raise GraphError(
            f"{path}: node {name}: a marked attention has no synapses to count: "
            "use sizes whose attention fits into coincidence gates"
        )
    incoming = _incoming(graph, interpreter)
    spikes = input_spikes(frames, metadata)
    tallies = []
    starts = range(0, len(spikes), BATCH)
    for start in track(starts, "tracing", len(starts)):
        batch = spikes[start : start + BATCH]
        tally = _Tally(len(batch))
        interpreter.run(batch, observer=tally.observe)
        tallies.append(tally)
    layers = tuple(
        _layer(name, graph, interpreter, metadata.serves.get(name, name), incoming[name], tallies, metadata.steps)
        for name in interpreter.order
        if name in incoming
    )
    edges = tuple(sorted({(source, name) for name, maps in incoming.items() for source, _ in maps}))
    return NetworkCounts(
        network=network_id(path),
        samples=len(frames),
        time_steps=metadata.time_steps,
        steps=metadata.steps,
        latency=metadata.latency,
        window_us=window_us,
        layers=layers,
        edges=edges,
    )


Incoming = dict[str, list[tuple[str, str | None]]]
"""By population: (source population, linear node between them or ``None`` for a direct edge)."""


def _incoming(graph: nir.NIRGraph, interpreter: Interpreter) -> Incoming:
    populations = [name for name, node in graph.nodes.items() if type(node) in _KINDS]
    sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        sources[target].append(source)
    incoming: Incoming = {}
    for name in populations:
        incoming[name] = []
        for source in sources[name]:
            if source in interpreter.matrices:
                incoming[name] += [(origin, source) for origin in sources[source]]
            else:
                incoming[name].append((source, None))
    return incoming


def _layer(
    name: str,
    graph: nir.NIRGraph,
    interpreter: Interpreter,
    layer: str,
    incoming: list[tuple[str, str | None]],
    tallies: list[_Tally],
    steps: int,
) -> LayerCounts:
    neurons = int(np.prod(interpreter.shape(name)))
    maps = [interpreter.matrices[linear] for _, linear in incoming if linear is not None]
    direct = len(incoming) - len(maps)
    fan_in = sum((np.diff(matrix.indptr) for matrix in maps), np.zeros(neurons, np.int64))
    weights = sum(int(np.count_nonzero(graph.nodes[linear].weight)) for _, linear in incoming if linear is not None)
    synops = [_arrivals(tally, incoming, interpreter) for tally in tallies]
    return LayerCounts(
        name=name,
        layer=layer,
        kind=_KINDS[type(graph.nodes[name])],
        neurons=neurons,
        synapses=sum(matrix.nnz for matrix in maps) + direct * neurons,
        weights=weights + direct,
        fan_in_max=int(fan_in.max(initial=0)) + direct,
        steps=steps,
        spikes=np.concatenate([tally.emitted[name].sum(axis=0) for tally in tallies]),
        synops=np.concatenate(synops),
        active_updates=np.concatenate([tally.active[name] for tally in tallies]),
    )


def _arrivals(tally: _Tally, incoming: list[tuple[str, str | None]], interpreter: Interpreter) -> Array:
    """Synaptic operations per sample: each source neuron's spikes times its fan-out."""
    total = np.zeros(tally.samples)
    for source, linear in incoming:
        emitted = tally.emitted[source]
        if linear is None:
            total += emitted.sum(axis=0)
        else:
            matrix = interpreter.matrices[linear]
            total += np.bincount(matrix.indices, minlength=matrix.shape[1]) @ emitted
    return total
