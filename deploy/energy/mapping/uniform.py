"""Placement from counts alone: every neuron of a population is taken to have the population's mean of synapses.

For networks whose single synapses are not at hand, or too many to be (a published measurement, a search among a
million codes). Populations are placed in topological order, neurons in storage order; a core takes neurons until its
places or its synapse memory are full. Where a core holds exactly one population, its convolution kernels are stored
once; elsewhere they are unrolled.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from deploy.energy.mapping.limits import Capacities, Check
from deploy.energy.mapping.placement import Fit, Placement
from export.synaptic.counts import LayerCounts
from hardware_profiles.schema import Profile

MANTISSA_BITS = 8
"""Of a weight, sign included."""
FLOAT_BITS = 32
Slice = tuple[int, int, int]
"""Number of the population, core, and neurons of the population there."""


def place_counts(layers: Sequence[LayerCounts], profile: Profile) -> Fit:
    """Place all populations but the inputs. Limits that depend on which neurons share sources stay unchecked.

    Raises:
        ProfileError: the profile does not say what a core holds.
    """
    capacities = Capacities.of(profile)
    placed = tuple(layer for layer in layers if layer.kind != "input")
    neurons = list(_neuron_checks(placed, capacities))
    checks = [*_network_checks(placed, capacities), *neurons]
    slices: list[Slice] = []
    if capacities.populations < math.inf:
        checks += _own_core_checks(placed, capacities)
        slices = [(index, index, layer.neurons) for index, layer in enumerate(placed)]
    else:
        slices = [] if any(check.fits == "no" for check in neurons) else _fill(placed, capacities)
        cores = slices[-1][1] + 1 if slices else _least_cores(placed, capacities)
        checks += [Check(f"cores of {capacities.on_chips}", cores, capacities.cores), *_axon_checks(capacities)]
    fit = Fit(tuple(check for check in checks if check.has < math.inf), None)
    return fit if fit.broken else replace(fit, placement=_placement(placed, slices, capacities))


def _network_checks(placed: Sequence[LayerCounts], capacities: Capacities) -> Iterator[Check]:
    neurons = sum(layer.neurons for layer in placed)
    yield Check("bits per weight", _weight_bits(placed), capacities.weight_bits)
    yield Check(f"neurons on {capacities.on_chips}", neurons, capacities.neurons_per_chip * capacities.chips)
    attentions = [layer.name for layer in placed if layer.kind == "attention"]
    if attentions and not capacities.dynamic_product:
        yield Check("products of two activations", len(attentions), 0, attentions[0])
    for layer in () if capacities.graded_spikes else placed:
        if layer.kind == "integrator":
            yield Check("graded spikes", layer.neurons, 0, layer.name)


def _weight_bits(placed: Sequence[LayerCounts]) -> int:
    """Of a synapse.

    Wider whole numbers are int8 mantissas with a power of two per layer, or biases, which belong to the neurons.
    """
    widest = max(layer.weight_bits for layer in placed)
    return widest if widest >= FLOAT_BITS else min(widest, MANTISSA_BITS)


def _neuron_checks(placed: Sequence[LayerCounts], capacities: Capacities) -> Iterator[Check]:
    """A neuron's sources must have axons, and its synapses room, on the one core where it lives."""
    widest = max(placed, key=lambda layer: layer.fan_in_max)
    synapse_bytes = math.ceil(widest.fan_in_max * capacities.synapse_bits / 8)
    yield Check("fan-in of a neuron", widest.fan_in_max, capacities.max_fan_in, widest.name)
    yield Check("input axons per core", widest.fan_in_max, capacities.in_axons_per_core, widest.name)
    if capacities.populations == math.inf:
        yield Check("synapse bytes per core", synapse_bytes, capacities.synapse_bytes_per_core, widest.name)


def _axon_checks(capacities: Capacities) -> Iterator[Check]:
    why = "depends on which neurons share sources and targets"
    yield Check("input axons per core, all neurons", None, capacities.in_axons_per_core, why)
    yield Check("output axons per core", None, capacities.out_axons_per_core, why)


def _least_cores(placed: Sequence[LayerCounts], capacities: Capacities) -> int:
    """The cores that neurons and synapses need at least, where a single neuron fits on none."""
    by_neurons = sum(layer.neurons for layer in placed) / capacities.neurons_per_core
    synapse_bytes = sum(layer.synapses for layer in placed) * capacities.synapse_bits / 8
    return math.ceil(max(by_neurons, synapse_bytes / capacities.synapse_bytes_per_core))


def _fill(placed: Sequence[LayerCounts], capacities: Capacities) -> list[Slice]:
    slices: list[Slice] = []
    core, places, memory = 0, int(capacities.neurons_per_core), capacities.synapse_bytes_per_core
    for index, layer in enumerate(placed):
        remaining, bytes_each = layer.neurons, layer.synapses * capacities.synapse_bits / 8 / layer.neurons
        while remaining:
            taken = min(remaining, places, math.floor(memory / bytes_each + 1e-9) if bytes_each else places)
            if taken:
                slices.append((index, core, taken))
                places, memory, remaining = places - taken, memory - taken * bytes_each, remaining - taken
            if remaining:
                core += 1
                places, memory = int(capacities.neurons_per_core), capacities.synapse_bytes_per_core
    return slices


def _placement(placed: Sequence[LayerCounts], slices: Sequence[Slice], capacities: Capacities) -> Placement:
    held = np.zeros((len(placed), slices[-1][1] + 1), np.int64)
    for index, core, neurons in slices:
        held[index, core] = neurons
    alone = capacities.populations < math.inf
    stored = np.array([(layer.weights if alone else layer.synapses) / layer.neurons for layer in placed])
    synapse_bytes = stored * capacities.synapse_bits / 8 @ held
    return Placement(capacities, tuple(layer.name for layer in placed), held, synapse_bytes)


def _own_core_checks(placed: Sequence[LayerCounts], capacities: Capacities) -> Iterator[Check]:
    largest = max(placed, key=lambda layer: layer.neurons)
    heaviest = max(placed, key=lambda layer: layer.weights)
    weight_bytes = math.ceil(heaviest.weights * capacities.synapse_bits / 8)
    yield Check("populations", len(placed), capacities.populations)
    yield Check("neurons per core", largest.neurons, capacities.neurons_per_core, largest.name)
    yield Check("weight bytes per core", weight_bytes, capacities.synapse_bytes_per_core, heaviest.name)
