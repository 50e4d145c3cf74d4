"""A network in SANA-FE's YAML: groups of neurons, edges, and the core of every neuron; nothing of a chip but its cores.

SANA-FE's ``leaky_integrate_fire`` takes ``v <- cut(leak_decay v) + i``, spikes where ``v > threshold`` and resets hard,
as NIR does, but that it cuts what is left of v to multiples of 1/64. Weights and thresholds are therefore multiplied by
a power of two, the largest with which 64 v has room in 32 bits.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from export.nir.stepwise.dynamics import Dynamics
from export.synaptic.populations import Population, Projection, SynapseNetwork

CORES_PER_TILE = 4
PER_CORE = 1024
"""Neurons on a core of SANA-FE's Loihi, and units for inputs there."""
LIF, INPUT = "loihi_lif", "loihi_inputs"
"""Units of that architecture."""
CUT_BITS = 6
ROOM_BITS = 31 - CUT_BITS
"""Of potentials, beside the sign."""


@dataclass(frozen=True)
class Description:
    """A network in which every synapse takes one step, on cores.

    Attributes:
        network: with relays (``export.synaptic.relays``).
        lags: by population, steps by which it lags behind the input.
        core_of: by population of neurons, the core of each.
        cores: in use by neurons; those of the inputs follow.
        steps: that a run of the graph takes; bounds the potentials of neurons without a leak.
    """

    network: SynapseNetwork
    lags: Mapping[str, int]
    core_of: Mapping[str, NDArray[np.int64]]
    cores: int
    steps: int

    @cached_property
    def groups(self) -> dict[str, str]:
        """SANA-FE's names by population: letters, digits and underscores, of which no two are equal."""
        names: dict[str, str] = {}
        for population in self.network.populations:
            plain = "n_" + re.sub(r"\W+", "_", population.name, flags=re.ASCII).strip("_")
            taken = set(names.values())
            others = (f"{plain}_{number}" for number in range(1, len(taken) + 2))
            names[population.name] = next(name for name in (plain, *others) if name not in taken)
        return names

    @cached_property
    def scale_bits(self) -> int:
        """The power of two that weights and thresholds are multiplied with."""
        largest = max(float(largest_potential(each, self.network.arriving[each.name], self.steps).max())
                      for each in self.network.neurons)  # fmt: skip
        return ROOM_BITS - math.ceil(math.log2(largest)) - 1

    @property
    def cut(self) -> float:
        """Potentials are cut to multiples of it, in units of the graph."""
        return float(2.0 ** -(CUT_BITS + self.scale_bits))

    @property
    def input_cores(self) -> int:
        """Cores that hold the inputs."""
        return math.ceil(sum(each.neurons for each in self.network.populations if each.rule is None) / PER_CORE)

    def write(self, file: TextIO) -> None:
        """Write the description."""
        for line in self._lines():
            file.write(line + "\n")

    def _lines(self) -> Iterator[str]:
        yield f"# Weights, thresholds and resets are those of the NIR graph times 2^{self.scale_bits}."
        yield "network:"
        yield "  name: network"
        yield "  groups:"
        for population in self.network.populations:
            yield from self._group(population)
        yield "  edges:"
        for part in self.network.projections:
            yield from self._edge(part)
        yield "mappings:"
        yield from self._mappings()

    def _group(self, population: Population) -> Iterator[str]:
        lag = self.lags.get(population.name)
        yield f"    # {population.name}" + ("" if lag is None else f": step t of the graph is step {1 + lag} + t here")
        yield f"    - name: {self.groups[population.name]}"
        yield f"      attributes: [log_spikes: {'false' if population.rule is None else 'true'}]"
        yield "      neurons:"
        if population.rule is None:
            attributes = "rate: 1.0" if population.kind == "constant" else "spikes: []"
            yield f"        - 0..{population.neurons - 1}: [{attributes}]"
            return
        values = neuron_attributes(population.rule, 2.0**self.scale_bits)
        for first, end in runs(np.array(list(values.values()))):
            told = ", ".join(f"{key}: {float(value[first])!r}" for key, value in values.items())
            yield f"        - {first}..{end - 1}: [{told}]"

    def _edge(self, part: Projection) -> Iterator[str]:
        synapses = part.weights.tocoo()
        weights = (synapses.data * 2.0**self.scale_bits).tolist()
        pairs = zip(synapses.col.tolist(), synapses.row.tolist(), strict=True)
        yield f"    - {self.groups[part.source]} -> {self.groups[part.target]}:"
        yield "        type: sparse"
        yield f"        source_target_pairs: [{', '.join(f'[{source}, {target}]' for source, target in pairs)}]"
        yield f"        weight: [{', '.join(map(repr, weights))}]"

    def _mappings(self) -> Iterator[str]:
        inputs = 0
        for population in self.network.populations:
            name = self.groups[population.name]
            if population.rule is None:
                for neuron in range(population.neurons):  # a unit holds the train of one input
                    core, number = divmod(inputs, PER_CORE)
                    unit = f"'{INPUT}[{number}]'"
                    yield f"  - {name}.{neuron}: [core: {address(self.cores + core)}, soma: {unit}]"
                    inputs += 1
                continue
            cores = self.core_of[population.name]
            for first, end in runs(cores[None]):
                yield f"  - {name}.{first}..{end - 1}: [core: {address(int(cores[first]))}, soma: {LIF}]"


def address(core: int) -> str:
    """Tile and core within it."""
    return "{}.{}".format(*divmod(core, CORES_PER_TILE))


def runs(values: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """First and end of each stretch of equal columns of (rows, columns)."""
    borders = 1 + np.flatnonzero((values[:, 1:] != values[:, :-1]).any(axis=0))
    return pairwise([0, *borders.tolist(), values.shape[1]])


def neuron_attributes(rule: Dynamics, scale: float) -> dict[str, NDArray[np.float64]]:
    """What SANA-FE calls the parameters of neurons, by name (neurons,)."""
    values = {"leak_decay": 1 - rule.decay, "threshold": scale * rule.threshold, "reset": scale * rule.reset}
    return values if rule.current_decay is None else {"input_decay": 1 - rule.current_decay, **values}


def largest_potential(population: Population, arriving: list[Projection], steps: int) -> NDArray[np.float64]:
    """(neurons,) a bound of |v|, and of its threshold: all that could arrive, with what is kept from step to step."""
    rule = population.dynamics
    total = sum((np.asarray(abs(part.weights).sum(axis=1)).ravel() for part in arriving), np.zeros(population.neurons))
    if rule.current_decay is not None:
        total = total * _kept_in_all(rule.current_decay, steps)
    bound = np.maximum(total * _kept_in_all(rule.decay, steps), abs(rule.threshold)) + abs(rule.reset)
    return np.maximum(bound, 2.0**-100)


def _kept_in_all(decay: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Sum of (1 - decay)^n over ``steps`` steps, without signs."""
    with np.errstate(divide="ignore"):
        return np.minimum(steps, 1 / (1 - np.abs(1 - decay)))


def unlike_sanafe(population: Population) -> str | None:
    """Why SANA-FE's Loihi cannot do what this population does."""
    if population.kind == "attention":
        return "a product of signals, for which SANA-FE has no neuron: export it with --attention gates"
    if population.rule is None:
        return None
    rule = population.rule
    if not rule.spiking:
        return "emits its potential, but a spike of SANA-FE carries no value: use spiking neurons"
    for decay, name in ((rule.decay, "tau"), (rule.current_decay, "tau_syn")):
        if decay is not None and np.any(decay >= 2):
            return f"dt/{name} is {decay.max():g}, with which it has no bound: use dt < 2 {name}"
    if rule.current_decay is not None and np.any(rule.drive):
        return "a CubaLIF whose v_leak is not 0, which SANA-FE would add from its first step on: use v_leak = 0"
    if np.any(rule.threshold < 0):
        return f"a threshold is {rule.threshold.min():g}: it would spike in SANA-FE before its first step"
    return None
