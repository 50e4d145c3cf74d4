"""Spikes, synaptic operations and neuron updates of a deployed encoder on real recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import nir
import numpy as np
from numpy.typing import NDArray

from export.nir.interpreter import Array, Interpreter
from export.nir.marked_attention import MarkedAttention
from export.nir.metadata import Metadata, read_encoder
from export.nir.trace import input_spikes, neuron_spikes
from export.synaptic.counted import PRODUCTS, build_network
from export.synaptic.counts import Kind, LayerCounts, NetworkCounts, network_id
from export.synaptic.lowering import lower
from export.synaptic.natural import NaturalCounts, count_natural
from export.synaptic.populations import Population, SynapseNetwork, operations
from export.synaptic.schedule import Schedule, schedule
from export.synaptic.sizes import stored_weights, widest_weight
from spikinghash.progress import track

BATCH = 8
"""Recordings traced at once; bounds the memory."""


class _Tally:
    """Sums over the steps of one run, per population and sample."""

    def __init__(self, samples: int, attentions: Mapping[str, MarkedAttention]) -> None:
        self.samples, self._attentions = samples, attentions
        self.emitted: dict[str, Array] = {}
        """(neurons, samples) spikes of each neuron, a graded spike being a value that is not zero."""
        self.by_step: dict[str, list[float]] = {}
        """Spikes in each step, of all neurons and samples."""
        self.active: dict[str, Array] = {}
        """(samples,) neuron-steps."""
        self.ands: dict[str, Array] = {}
        """(samples,) coincidences in the products K^T V."""
        self.adds: dict[str, Array] = {}
        """(samples,) additions in the counts Q (K^T V)."""

    def observe(self, name: str, arriving: Array, emitted: Array, potential: Array | None) -> None:
        if name in self._attentions:
            self._attend(name, arriving, emitted)
            return
        active = (arriving != 0) | (emitted != 0)
        if potential is not None:
            active |= potential != 0
        self._add(name, (emitted != 0).astype(float), active)

    def _add(self, name: str, emitted: Array, active: NDArray[np.bool_]) -> None:
        self.emitted[name] = self.emitted.get(name, 0.0) + emitted
        self.by_step.setdefault(name, []).append(float(emitted.sum()))
        self.active[name] = self.active.get(name, 0.0) + active.sum(axis=0)

    def _attend(self, name: str, arriving: Array, counts: Array) -> None:
        """A step of a marked attention: every coincidence of k and v is one AND, every q adds a row of products."""
        channels, height, width = self._attentions[name].shape
        heads = self._attentions[name].heads
        q, k, v = arriving.reshape(3, heads, channels // heads, height * width, self.samples)
        products = np.einsum("hajs,hbjs->habs", k, v, optimize=True)
        added = q.sum(axis=2) * np.count_nonzero(products, axis=2)
        self.ands[name + PRODUCTS] = self.ands.get(name + PRODUCTS, 0.0) + products.sum(axis=(0, 1, 2))
        self.adds[name] = self.adds.get(name, 0.0) + added.sum(axis=(0, 1))
        parts = {name + PRODUCTS: products.reshape(-1, self.samples) != 0, name: counts != 0}
        for part, present in parts.items():
            self._add(part, present.astype(float), present)


def trace_counts(
    path: Path, frames: NDArray[np.uint8], window_us: float, network: SynapseNetwork | None = None
) -> NetworkCounts:
    """Run the encoder ``path`` on ``frames`` (B, T, 2, H, W) and count.

    A synaptic operation is one spike at one existing synapse: zero weights and taps beyond the border do not count.

    Args:
        window_us: mean real duration of a recording, in microseconds.
        network: what ``read_network`` says of the same file, where it is at hand.

    Raises:
        GraphError: the file is no encoder of this project.
    """
    graph, metadata = read_encoder(path)
    interpreter = Interpreter(graph, metadata.dt)
    network = network or build_network(graph, metadata.serves)
    timing = schedule(lower(graph, dt=metadata.dt, narrow=True))
    lags = _lags(network, timing)
    tally = _traced(interpreter, input_spikes(frames, metadata))
    layers = tuple(
        replace(_layer(population, network, graph, tally, metadata), lag=lags[population.name])
        for population in network.populations
        if population.kind != "readout"
    )
    names = {layer.name for layer in layers}
    edges = sorted({(each.source, each.target) for each in network.projections if each.target in names})
    return NetworkCounts(
        network=network_id(path),
        samples=len(frames),
        time_steps=metadata.time_steps,
        steps=metadata.steps,
        latency=metadata.latency,
        window_us=window_us,
        layers=layers,
        edges=tuple(edges),
        pace=timing.pace,
        depth=timing.depth,
        natural=_natural(tally.emitted, graph, metadata, frames[0, 0].size) if metadata.work else None,
    )


def _traced(interpreter: Interpreter, spikes: NDArray[np.float32]) -> _Tally:
    tallies: list[_Tally] = []
    starts = range(0, len(spikes), BATCH)
    for start in track(starts, "tracing", len(starts)):
        batch = spikes[start : start + BATCH]
        tally = _Tally(len(batch), interpreter.attentions)
        interpreter.run(batch, observer=tally.observe)
        tallies.append(tally)
    return _joined(tallies)


def _lags(network: SynapseNetwork, timing: Schedule) -> dict[str, int]:
    """When each population acts; delays and products, which that schedule dissolves, act with what feeds them."""
    lags: dict[str, int] = {}
    for population in network.populations:
        feeding = (lags.get(each.source, 0) for each in network.arriving[population.name])
        lags[population.name] = timing.latencies.get(population.name, max(feeding, default=0))
    return lags


def _joined(tallies: Sequence[_Tally]) -> _Tally:
    """One of all samples, from those of batches."""
    first, whole = tallies[0], _Tally(sum(each.samples for each in tallies), {})
    for part in ("emitted", "active", "ands", "adds"):
        for name in getattr(first, part):
            getattr(whole, part)[name] = np.concatenate([getattr(each, part)[name] for each in tallies], axis=-1)
    whole.by_step = {name: np.sum([each.by_step[name] for each in tallies], axis=0).tolist() for name in first.by_step}
    return whole


def _natural(emitted: Mapping[str, Array], graph: nir.NIRGraph, metadata: Metadata, frame_pixels: int) -> NaturalCounts:
    """Counts of the encoder as it was before it was lowered."""
    assert metadata.work is not None
    frames = next(name for name, node in graph.nodes.items() if isinstance(node, nir.Input))
    code = next(source for source, target in graph.edges if isinstance(graph.nodes[target], nir.Output))
    # A last channel of the input tells when a window lasts; the encoder has none.
    spikes = {"input": emitted[frames][:frame_pixels].T, "vote": emitted[code].T} | neuron_spikes(emitted, metadata)
    return count_natural(metadata.work, spikes, frame_pixels, metadata.time_steps)


def _layer(
    population: Population,
    network: SynapseNetwork,
    graph: nir.NIRGraph,
    tally: _Tally,
    metadata: Metadata,
) -> LayerCounts:
    name, neurons, steps = population.name, population.neurons, metadata.steps
    stored = network.stored(name)
    linear = [graph.nodes[node] for node in dict.fromkeys(node for each in stored for node in each.nodes)]
    weights, direct = stored_weights(linear), sum(not each.nodes for each in stored)
    graded = [each for each in stored if each.source in network.graded]
    return LayerCounts(
        name=name,
        layer=population.layer,
        kind=cast(Kind, population.kind),
        neurons=neurons,
        synapses=sum(each.weights.nnz for each in stored),
        weights=len(weights) + direct,
        fan_in_max=int(network.fan_in(name).max(initial=0)),
        steps=steps,
        spikes=tally.emitted[name].sum(axis=0),
        synops=operations(stored, tally.emitted),
        active_updates=tally.active[name],
        integer_synops=operations(graded, tally.emitted) if graded else None,
        weight_bits=widest_weight(
            (network.by_name[each.source], stored_weights(graph.nodes[node] for node in each.nodes)) for each in stored
        ),
        ands=tally.ands.get(name),
        adds=tally.adds.get(name),
        neuron_spikes=tally.emitted[name].sum(axis=1),
        step_spikes=np.asarray(tally.by_step[name]),
    )
