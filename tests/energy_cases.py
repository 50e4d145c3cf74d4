"""A small spiking network, simulated and counted here by plain loops, for the tests of the energy model."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from deploy.energy.ann_network import AnnLayer, AnnNetwork
from export.encoder.work import LinearMap, Neurons, OnnxWork, packed
from export.synaptic.counts import LayerCounts, NetworkCounts
from export.synaptic.natural import MapCounts, NaturalCounts, NeuronCounts

TIME_STEPS, LATENCY, SAMPLES = 4, 1, 6
STEPS = TIME_STEPS + LATENCY
ANN = AnnNetwork("ANN", "ann_twin_1", 1, 8000, (AnnLayer("conv", 10**6, 1000, 500, 20_000, 4000, 1000),))
ONNX = OnnxWork(macs=4 * (12 * 8 + 8 * 5), operations=208, values_moved=400, weights=136, input_bytes=48)


@dataclass
class Population:
    name: str
    layer: str
    kind: str
    weights: NDArray[np.float64]  # (neurons, sources)
    threshold: float


def small_network() -> list[Population]:
    """12 inputs -> 8 LIF -> a delay of one step -> 5 LIF, with missing synapses."""
    rng = np.random.default_rng(7)
    first = rng.integers(-2, 4, (8, 12)) * (rng.random((8, 12)) < 0.7)
    last = rng.integers(-2, 4, (5, 8)) * (rng.random((5, 8)) < 0.7)
    return [
        Population("stem_lif", "stage1", "lif", first, 1.25),
        Population("stem_delay", "stage1", "delay", np.eye(8), 0.5),
        Population("head_lif", "head", "lif", last, 1.25),
    ]


def small_counts() -> NetworkCounts:
    """Counts of the small network on seeded random frames."""
    frames = (np.random.default_rng(3).random((SAMPLES, STEPS, 12)) < 0.4).astype(float)
    frames[:, TIME_STEPS:] = 0
    spikes, layers = frames, [_input(frames)]
    for population in small_network():
        layer, spikes = _simulate(population, spikes)
        layers.append(layer)
    edges = tuple((a.name, b.name) for a, b in pairwise(layers))
    name = "small.nir sha256:00"
    natural = small_natural(layers)
    return NetworkCounts(name, SAMPLES, TIME_STEPS, STEPS, LATENCY, 300_000.0, tuple(layers), edges, natural=natural)


def small_natural(layers: list[LayerCounts]) -> NaturalCounts:
    """The small network without its delay."""
    by_name = {layer.name: layer for layer in layers}
    maps, neurons = [], []
    for source, each in (("input", small_network()[0]), ("stem_lif", small_network()[2])):
        fan_out = np.array([np.count_nonzero(each.weights[:, index]) for index in range(each.weights.shape[1])])
        maps.append(natural_map(each.name, by_name[each.name].synops, fan_out, source, weight_bits=3))
        neurons.append(natural_neurons(each.name, by_name[each.name].spikes, len(each.weights), state_bits=11))
    return NaturalCounts(tuple(maps), tuple(neurons), ONNX, 12 * TIME_STEPS)


def natural_map(
    target: str, synops: NDArray[np.float64], fan_out: NDArray[np.int64], source: str = "input", **more: int
) -> MapCounts:
    """A map onto ``target`` whose weights are its synapses."""
    synapses = int(fan_out.sum())
    values = {"weights": synapses, "weight_bits": 8} | more
    record = LinearMap(name=f"{target}_map", source=source, target=target, fan_out=packed(fan_out), **values)
    return MapCounts(record, synapses, synops)


def natural_neurons(name: str, spikes: NDArray[np.float64], neurons: int, **more: int) -> NeuronCounts:
    """A population that reads no residual stream and has no bias."""
    values = {"state_bits": 16, "current_bits": 8, "stream_accesses": 0, "adds": 0, "multiplies": 0} | more
    return NeuronCounts(Neurons(name=name, neurons=neurons, **values), spikes)


def _input(frames: NDArray[np.float64]) -> LayerCounts:
    total = frames.sum(axis=(1, 2))
    return LayerCounts("input", "input", "input", 12, 0, 0, 0, STEPS, total, np.zeros(SAMPLES), total)


def _simulate(population: Population, sources: NDArray[np.float64]) -> tuple[LayerCounts, NDArray[np.float64]]:
    weights = population.weights
    neurons = len(weights)
    emitted = np.zeros((SAMPLES, STEPS, neurons))
    synops, active = np.zeros(SAMPLES), np.zeros(SAMPLES)
    for sample in range(SAMPLES):
        v, waiting = np.zeros(neurons), np.zeros(neurons)
        for step in range(STEPS):
            arriving = sources[sample, step]
            touched = np.array([bool(np.any((weights[n] != 0) & (arriving > 0))) for n in range(neurons)])
            synops[sample] += sum(np.count_nonzero(weights[:, s]) for s in np.flatnonzero(arriving))
            if population.kind == "delay":
                spikes, waiting = waiting, arriving
            else:
                v = v / 2 + weights @ arriving
                spikes = (v > population.threshold).astype(float)
            active[sample] += np.count_nonzero(touched | (v != 0) | (spikes > 0))
            v = v * (1 - spikes)
            emitted[sample, step] = spikes
    synapses = int(np.count_nonzero(weights))
    layer = LayerCounts(
        population.name, population.layer, population.kind, neurons, synapses, synapses,
        int(np.count_nonzero(weights, axis=1).max()), STEPS, emitted.sum(axis=(1, 2)), synops, active,
    )  # fmt: skip
    return layer, emitted
