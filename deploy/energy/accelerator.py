"""Charges of spiking and conventional networks on arithmetic units beside a memory, under the same assumptions.

Every layer has its own buffers, each the smallest memory that holds them: weights (8 bits), membrane potentials
(16 bits) or activations (8 bits, fewer in a quantised network). Designs lie between two dataflows:

- ``per operation``: every operand is fetched for every operation. A synaptic operation reads a weight, reads and
  writes a membrane potential and adds; a MAC reads a weight and an activation; an addition of the Haar transform
  reads an operand and writes a result. Scattered operands cost between their share of a word (packed, nominal) and a
  whole word.
  Where an ANN's zero activations are skipped, only the MACs that remain fetch operands.
- ``once``: every datum moves once per step or frame: weights, potentials (read and written), spikes or activations.
  What a perfect reuse in registers leaves. Skipped zeros are not moved, but one bit per activation tells where they
  are.

A MAC of narrower activations is priced as one of 8 bits: nothing narrower is published.

Memory per operation follows Lemaire et al. 2022 (doi 10.1007/978-3-031-30105-6_48); prices per access depend on the
capacity as in Jouppi et al. 2021, Table 2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from deploy.energy.amounts import Amount, between, exact
from deploy.energy.ann_network import AnnLayer, AnnNetwork
from deploy.energy.bill import Charge
from export.synaptic.counts import LayerCounts, NetworkCounts
from hardware_profiles.schema import MemoryLevel, Profile

Dataflow = Literal["per operation", "once"]
DATAFLOWS: tuple[Dataflow, ...] = ("per operation", "once")

WEIGHT_BITS = 8
STATE_BITS = 16
"""Membrane potential, and operands of the Haar transform."""
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


def spiking_charges(profile: Profile, counts: NetworkCounts, dataflow: Dataflow) -> list[Charge]:
    """Charges per recording of the deployed spiking network; its input frames enter as bits."""
    charges: list[Charge] = []
    for layer in counts.layers:
        if layer.kind == "input":
            bits = exact(float(layer.neurons * counts.time_steps))
            charges.append(Charge("input", INPUT, "energy.offchip_bit", bits))
        else:
            charges += _spiking_layer(profile, layer, dataflow)
    return charges


def _spiking_layer(profile: Profile, layer: LayerCounts, dataflow: Dataflow) -> Iterator[Charge]:
    updates = layer.neurons * layer.steps
    weights = buffer_for(profile, layer.weights * WEIGHT_BITS / 8)
    state = buffer_for(profile, layer.neurons * STATE_BITS / 8)
    yield from _additions(layer)
    if dataflow == "per operation":
        operands = (
            (weights.term, weights.scattered(layer.synops, WEIGHT_BITS)),
            (
                state.term,
                state.scattered(2 * layer.synops, STATE_BITS),
            ),
        )
        for term, words in operands:
            yield Charge("synaptic operations", layer.layer, term, words, scales=True)
        yield Charge(
            "spike traffic", layer.layer, state.term, state.scattered(2 * layer.spikes, EVENT_BITS), scales=True
        )
    else:
        yield Charge("memory", layer.layer, weights.term, weights.packed(layer.weights * layer.steps, WEIGHT_BITS))
        yield Charge("spike traffic", layer.layer, state.term, state.packed(2 * updates, 1))
    yield Charge("neuron updates", layer.layer, "energy.ac_int32", exact(float(UPDATE_ADDS * updates)))
    yield Charge("neuron updates", layer.layer, state.term, state.packed(2 * updates, STATE_BITS))


def _additions(layer: LayerCounts) -> Iterator[Charge]:
    """One addition per synaptic operation; a multiply-accumulate where a whole number arrives and no spike."""
    additions = layer.synops
    if layer.integer_synops is not None:
        additions = additions - layer.integer_synops
        yield Charge("synaptic operations", layer.layer, "energy.mac_int8", exact(layer.integer_synops), scales=True)
    if layer.ands is not None and layer.adds is not None:
        additions = additions + layer.adds
        yield Charge("synaptic operations", layer.layer, "energy.and_popcount", exact(layer.ands), scales=True)
    yield Charge("synaptic operations", layer.layer, "energy.ac_int32", exact(additions), scales=True)


def ann_charges(profile: Profile, network: AnnNetwork, dataflow: Dataflow) -> list[Charge]:
    """Charges per code of an ANN."""
    charges = [Charge("input", INPUT, "energy.offchip_bit", exact(float(network.input_bits)))]
    for layer in network.layers:
        charges += _ann_layer(profile, layer, network, dataflow)
    return charges


def _ann_layer(profile: Profile, layer: AnnLayer, network: AnnNetwork, dataflow: Dataflow) -> Iterator[Charge]:
    density, bits = network.density.get(layer.name, 1.0), network.activation_bits
    weights = buffer_for(profile, layer.weight_bytes)
    activations = buffer_for(profile, layer.activation_bytes(network.frames) * bits / WEIGHT_BITS)
    macs = layer.macs * density
    yield Charge("operations", layer.name, "energy.mac_int8", exact(float(macs)))
    yield Charge("operations", layer.name, "energy.ac_int32", exact(float(layer.adds + layer.transform_adds)))
    yield Charge("operations", layer.name, "energy.mul_int32", exact(float(layer.multiplies)))
    if dataflow == "per operation":
        operand, operand_bits = (weights, WEIGHT_BITS) if layer.weights else (activations, bits)
        yield Charge("memory", layer.name, operand.term, operand.scattered(macs, operand_bits))
        yield Charge("memory", layer.name, activations.term, activations.scattered(macs, bits))
        yield Charge("memory", layer.name, activations.term, activations.packed(layer.outputs, bits))
        transformed = activations.scattered(2 * layer.transform_adds, STATE_BITS)
        yield Charge("memory", layer.name, activations.term, transformed)
    else:
        moved = layer.inputs * density * bits + layer.outputs * bits + (layer.inputs if density < 1 else 0)
        yield Charge("memory", layer.name, weights.term, weights.packed(layer.weights * network.frames, WEIGHT_BITS))
        yield Charge("memory", layer.name, activations.term, activations.packed(moved, 1))


def operations(charges: list[Charge]) -> Amount:
    """Arithmetic operations among the charges."""
    counts = [charge.count for charge in charges if charge.term.startswith("energy.") and charge.part != "input"]
    total: Amount = np.sum(np.broadcast_arrays(*(count for count in counts if count is not None)), axis=0)
    return total
