"""A small spiking network, simulated and counted here by plain loops, for the tests of the energy model."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from export.synaptic.counts import LayerCounts, NetworkCounts

TIME_STEPS, LATENCY, SAMPLES = 4, 1, 6
STEPS = TIME_STEPS + LATENCY


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
    return NetworkCounts("small.nir sha256:00", SAMPLES, TIME_STEPS, STEPS, LATENCY, 300_000.0, tuple(layers), edges)


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
