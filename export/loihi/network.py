"""A network on Loihi's registers: whole weights and thresholds, population by population."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from export.loihi.arithmetic import LARGEST_POTENTIAL
from export.loihi.bounds import Driving, Neurons
from export.loihi.registers import Registers, registers
from export.synaptic.populations import CONSTANT, Array, Population, Projection, SynapseNetwork
from spikinghash.errors import GraphError

READOUT_DIGITS = 12
"""Binary digits behind the point of a readout's weights. A readout is a sum outside of the chip, in exact float64."""

Range = tuple[int, int]


@dataclass(frozen=True)
class FixedNetwork:
    """``network`` with whole weights in units of each target's grid, and the registers of its populations.

    The weights of readouts are real: they turn spikes and potentials into what the graph's output says.
    """

    network: SynapseNetwork
    registers: Mapping[str, Registers]

    def unit(self, name: str) -> float:
        """What a 1 that source or readout ``name`` emits stands for."""
        return unit_of(name, self.registers)


def unit_of(name: str, registers: Mapping[str, Registers]) -> float:
    """What a 1 that source or readout ``name`` emits stands for; ``registers`` are those of all populations."""
    return registers[name].unit if name in registers else 1.0


def to_fixed_point(network: SynapseNetwork, window: int, input_range: Range = (0, 1)) -> FixedNetwork:
    """Find registers for all populations.

    Args:
        network: in floating point.
        window: time steps per sample.
        input_range: smallest and largest value of the input, which are whole numbers.

    Raises:
        GraphError: a population does not fit; the message names it, the actual value, the limit and a remedy.
    """
    emitted = _ranges(network, input_range)
    found: dict[str, Registers] = {}
    for population in network.neurons:
        arriving = network.arriving[population.name]
        _check(population, arriving, emitted)
        driving = [Driving(part.weights, *_range(part, emitted)) for part in arriving]
        found[population.name] = registers(population.name, driving, _neurons(population), window)
    projections: list[Projection] = []
    for population in network.populations:
        arriving = network.arriving[population.name]
        if population.name in found:
            weights = found[population.name].weights
            projections += [replace(part, weights=whole) for part, whole in zip(arriving, weights, strict=True)]
        elif population.kind == "attention":
            projections += [_into_product(part) for part in arriving]
        else:
            projections += [_read_out(part, found) for part in arriving]
    return FixedNetwork(replace(network, projections=tuple(projections)), found)


def whole_range(spikes: Array) -> Range:
    """Smallest and largest value of the input.

    Raises:
        GraphError: a value is not whole, or wider than what a spike of Loihi 2 carries.
    """
    wrong = spikes[spikes != np.rint(spikes)]
    if wrong.size:
        raise GraphError(f"input holds {wrong.flat[0]:g}, fixed point takes whole numbers: scale or round it")
    lowest, highest = int(spikes.min()), int(spikes.max())
    if max(-lowest, highest) > LARGEST_POTENTIAL:
        raise GraphError(f"input ranges from {lowest} to {highest}, graded spikes hold 24 bits: scale it down")
    return lowest, highest


def as_recorded(values: Array) -> Array:
    """What a node emitted as it is stored: uint8 for spikes, float32 for anything else."""
    return values.astype(np.uint8 if np.isin(values, (0, 1)).all() else np.float32)


def _ranges(network: SynapseNetwork, input_range: Range) -> dict[str, Range | None]:
    """What each source emits; None for potentials."""
    ranges: dict[str, Range | None] = {
        population.name: (0, 1) if population.spiking else None for population in network.neurons
    }
    ranges |= {each.name: (0, each.attention.largest) for each in network.populations if each.attention is not None}
    return ranges | {network.input.name: (min(0, input_range[0]), max(1, input_range[1])), CONSTANT: (1, 1)}


def _range(part: Projection, emitted: Mapping[str, Range | None]) -> Range:
    lowest, highest = emitted[part.source] or (0, 0)
    return (min(lowest, 0), highest) if part.delay else (lowest, highest)


def _check(population: Population, arriving: Sequence[Projection], emitted: Mapping[str, Range | None]) -> None:
    reset = population.dynamics.reset
    if reset.any():
        raise GraphError(
            f"node {population.name}: v_reset is {reset[reset != 0][0]:g}, Loihi resets to 0: train with v_reset = 0"
        )
    for part in arriving:
        if emitted[part.source] is None and part.weights.nnz:
            raise GraphError(
                f"node {population.name}: it gets potentials from {part.source}, Loihi's neurons get spikes: "
                "put a spiking node between them, or export with --streams copied"
            )


def _into_product(part: Projection) -> Projection:
    """A product takes spikes as they are."""
    if np.any(part.weights.data != np.rint(part.weights.data)):
        raise GraphError(f"node {part.target}: attention of weighted spikes: connect queries, keys and values directly")
    return replace(part, weights=part.weights.astype(np.int64))


def _neurons(population: Population) -> Neurons:
    rule, nothing = population.dynamics, np.zeros(population.neurons)
    threshold = rule.threshold if rule.spiking else None
    if rule.current_decay is None:  # the leak potential is a synapse of the constant
        return Neurons(rule.decay, threshold, nothing + 1, nothing)
    return Neurons(rule.decay, threshold, rule.current_decay, rule.drive)


def _read_out(part: Projection, found: Mapping[str, Registers]) -> Projection:
    unit = found[part.source].unit if part.source in found else 1.0
    own, scale = part.weights, 2.0**READOUT_DIGITS
    values = np.rint(own.data * scale) / scale * unit
    return replace(part, weights=sparse.csr_matrix((values, own.indices, own.indptr), own.shape))
