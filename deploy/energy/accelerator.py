"""Charges of spiking and conventional networks on arithmetic units beside a memory, by the same schedules.

The spiking network runs as it is, layer by layer: nothing of what chips without products and time blocks need. Every
layer has its own buffers, each the smallest memory that holds them: weights, membrane potentials or activations, with
the bits that they have. Three schedules:

- ``all steps``: a layer runs for all steps, or frames, before the next one begins. Its weights are fetched once per
  code, and a neuron's steps follow each other, so that its potential stays in a register.
- ``step by step``: all layers run for one step, or frame, before the next. Weights are fetched once per step;
  potentials are read and written in every step.
- ``per operation``: step by step, and nothing is reused: every operand is fetched for every operation. A synaptic
  operation reads a weight, reads and writes a membrane potential and adds; a MAC reads a weight and an activation; an
  addition of the Haar transform reads an operand and writes a result. Scattered operands cost between their share of a
  word (packed, nominal) and a whole word. Where an ANN's zero activations are skipped, only the MACs that remain fetch
  operands.

In the first two every datum moves once per use: what a perfect reuse in registers leaves. Spikes and activations are
written once and read once, residual streams too. Skipped zeros are not moved, but one bit per activation tells where
they are.

A MAC of narrower activations is priced as one of 8 bits: nothing narrower is published.

Memory per operation follows Lemaire et al. 2022 (doi 10.1007/978-3-031-30105-6_48); prices per access depend on the
capacity as in Jouppi et al. 2021, Table 2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from deploy.energy.amounts import Amount, between, exact
from deploy.energy.ann_network import AnnLayer, AnnNetwork
from deploy.energy.bill import Charge
from export.synaptic.natural import MapCounts, NaturalCounts, NeuronCounts
from hardware_profiles.schema import MemoryLevel, Profile

Schedule = Literal["all steps", "step by step", "per operation"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)

WEIGHT_BITS = 8
"""Of an ANN."""
TRANSFORM_BITS = 16
"""Operands of the Haar transform."""
EVENT_BITS = 16
"""Address of a spike in a queue."""
UPDATE_ADDS = 2
"""int32 additions per neuron update: leak and comparison with the threshold."""
INPUT = "input"


@dataclass(frozen=True)
class _Buffer:
    """A memory level that holds one layer's data."""

    name: str
    level: MemoryLevel

    @property
    def term(self) -> str:
        return f"memory.{self.name}"

    def packed(self, items: object, bits: int) -> Amount:
        """Words accessed when items lie side by side and are used together."""
        return exact(np.asarray(items, dtype=np.float64) * bits / self.level.word_bits)

    def scattered(self, items: object, bits: int) -> Amount:
        """Words accessed when items are used one by one: from their share of a word to a whole one."""
        words = np.asarray(items, dtype=np.float64)
        share = words * bits / self.level.word_bits
        return between(share, share, np.maximum(words, share))


def buffer_for(profile: Profile, size_bytes: float) -> _Buffer:
    """The smallest memory that holds ``size_bytes``; the largest when none does."""
    levels = sorted(profile.memory.items(), key=lambda item: item[1].capacity_kb or float("inf"))
    for name, level in levels:
        if level.capacity_kb is None or size_bytes <= 1024 * level.capacity_kb:
            return _Buffer(name, level)
    return _Buffer(*levels[-1])


def spiking_charges(profile: Profile, counts: NaturalCounts, time_steps: int, schedule: Schedule) -> list[Charge]:
    """Charges per recording of the spiking network; its input frames enter as bits."""
    charges = [Charge("input", INPUT, "energy.offchip_bit", exact(float(counts.input_bits)))]
    targets = {each.neurons.name: each for each in counts.neurons}
    for each in counts.maps:
        charges += _map_charges(profile, each, targets[each.map.target], time_steps, schedule)
    for population in counts.neurons:
        charges += _neuron_charges(profile, population, time_steps, schedule)
    return charges


def _map_charges(
    profile: Profile, counts: MapCounts, target: NeuronCounts, time_steps: int, schedule: Schedule
) -> Iterator[Charge]:
    """One addition per synaptic operation, and the weights."""
    name, bits = counts.map.name, counts.map.weight_bits
    weights = buffer_for(profile, counts.map.weights * bits / 8)
    yield Charge("synaptic operations", name, "energy.ac_int32", exact(counts.synops), scales=True)
    if schedule == "per operation":
        state = _state(profile, target)
        reads = weights.scattered(counts.synops, bits)
        updates = state.scattered(2 * counts.synops, target.neurons.state_bits)
        yield Charge("synaptic operations", name, weights.term, reads, scales=True)
        yield Charge("synaptic operations", name, state.term, updates, scales=True)
    else:
        fetches = counts.map.weights * (1 if schedule == "all steps" else time_steps)
        yield Charge("memory", name, weights.term, weights.packed(fetches, bits))


def _neuron_charges(profile: Profile, counts: NeuronCounts, time_steps: int, schedule: Schedule) -> Iterator[Charge]:
    """Updates, spikes written and read, potentials, and what the residual stream holds."""
    of, name = counts.neurons, counts.neurons.name
    updates = of.neurons * time_steps
    held = time_steps if schedule == "all steps" else 1
    spikes = buffer_for(profile, of.neurons * held / 8)
    stream = buffer_for(profile, of.neurons * of.current_bits * held / 8)
    yield Charge("neuron updates", name, "energy.ac_int32", exact(float((UPDATE_ADDS + of.adds) * updates)))
    yield Charge("neuron updates", name, "energy.mul_int32", exact(float(of.multiplies * updates)))
    yield Charge("memory", name, stream.term, stream.packed(of.stream_accesses * updates, of.current_bits))
    if schedule != "all steps":
        state = _state(profile, counts)
        yield Charge("neuron updates", name, state.term, state.packed(2 * updates, of.state_bits))
    if schedule == "per operation":
        moved = spikes.scattered(2 * counts.spikes, EVENT_BITS)
        yield Charge("spike traffic", name, spikes.term, moved, scales=True)
    else:
        yield Charge("spike traffic", name, spikes.term, spikes.packed(2 * updates, 1))


def _state(profile: Profile, counts: NeuronCounts) -> _Buffer:
    return buffer_for(profile, counts.neurons.neurons * counts.neurons.state_bits / 8)


def ann_charges(profile: Profile, network: AnnNetwork, schedule: Schedule) -> list[Charge]:
    """Charges per code of an ANN."""
    charges = [Charge("input", INPUT, "energy.offchip_bit", exact(float(network.input_bits)))]
    for layer in network.layers:
        charges += _ann_layer(profile, layer, network, schedule)
    return charges


def _ann_layer(profile: Profile, layer: AnnLayer, network: AnnNetwork, schedule: Schedule) -> Iterator[Charge]:
    density, bits = network.density.get(layer.name, 1.0), network.activation_bits
    weights = buffer_for(profile, layer.weight_bytes)
    held = network.frames if schedule == "all steps" else 1
    activations = buffer_for(profile, layer.activation_bytes(network.frames) * held * bits / WEIGHT_BITS)
    macs = layer.macs * density
    yield Charge("operations", layer.name, "energy.mac_int8", exact(float(macs)))
    yield Charge("operations", layer.name, "energy.ac_int32", exact(float(layer.adds + layer.transform_adds)))
    yield Charge("operations", layer.name, "energy.mul_int32", exact(float(layer.multiplies)))
    if schedule == "per operation":
        operand, operand_bits = (weights, WEIGHT_BITS) if layer.weights else (activations, bits)
        yield Charge("memory", layer.name, operand.term, operand.scattered(macs, operand_bits))
        yield Charge("memory", layer.name, activations.term, activations.scattered(macs, bits))
        yield Charge("memory", layer.name, activations.term, activations.packed(layer.outputs, bits))
        transformed = activations.scattered(2 * layer.transform_adds, TRANSFORM_BITS)
        yield Charge("memory", layer.name, activations.term, transformed)
    else:
        moved = layer.inputs * density * bits + layer.outputs * bits + (layer.inputs if density < 1 else 0)
        fetches = layer.weights * (1 if schedule == "all steps" else network.frames)
        yield Charge("memory", layer.name, weights.term, weights.packed(fetches, WEIGHT_BITS))
        yield Charge("memory", layer.name, activations.term, activations.packed(moved, 1))


def operations(charges: list[Charge]) -> Amount:
    """Arithmetic operations among the charges."""
    counts = [charge.count for charge in charges if charge.term.startswith("energy.") and charge.part != "input"]
    total: Amount = np.sum(np.broadcast_arrays(*(count for count in counts if count is not None)), axis=0)
    return total
