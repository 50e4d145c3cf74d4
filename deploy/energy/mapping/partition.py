"""Greedy partition of the populations onto cores.

Populations are placed from the output to the input, so that the cores that a spike must reach are known when its
neuron is placed, and the output axons of a core are exact. A core takes neurons until one of its limits is reached,
then the next is opened: a population is split where it must be, and small ones share a core. A population is cut
position by position or channel by channel, whichever opens fewer cores.

Where populations form a cycle, a target may not be placed yet. The partition is then repeated with the targets where
the round before put them.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from deploy.energy.mapping.limits import Capacities
from deploy.energy.mapping.usage import Cores, core_use, destinations, summed
from export.synaptic.populations import Population, SynapseNetwork

ROUNDS = 3
"""Most repetitions for the sake of cycles."""


def partition(network: SynapseNetwork, capacities: Capacities) -> dict[str, Cores]:
    """Core number of every neuron of every population but the inputs, numbered from input to output."""
    core_of = _round(network, capacities, {})
    for _ in range(ROUNDS - 1 if capacities.out_axons_per_core < math.inf else 0):
        if (core_use(network, core_of, capacities.synapse_bits).out_axons <= capacities.out_axons_per_core).all():
            break
        core_of = _round(network, capacities, core_of)
    last = max(int(numbers.max()) for numbers in core_of.values())
    return {name: last - numbers for name, numbers in reversed(core_of.items())}


@dataclass
class _Core:
    """The core that is being filled."""

    number: int
    sources: NDArray[np.int32]
    """(all neurons,) number of the last core that each sends to, of this one and those before it."""
    neurons: int = 0
    synapse_bytes: float = 0.0
    in_axons: int = 0
    out_axons: int = 0

    def next(self) -> "_Core":
        return _Core(self.number + 1, self.sources)

    def copy(self) -> "_Core":
        return replace(self, sources=self.sources.copy())


@dataclass
class _Slice:
    """Neurons of one population in the order in which they are placed."""

    order: NDArray[np.int64]
    rows: sparse.csr_matrix
    """Which neurons of the whole network send to each."""
    synapse_bytes: NDArray[np.float64]
    out_axons: NDArray[np.int64]
    first: NDArray[np.int32] = field(repr=False)
    """Scratch, (all neurons,)."""

    def fill(self, core: _Core, capacities: Capacities, most: float) -> tuple[NDArray[np.int64], _Core]:
        """Cores of the neurons, in ``order``, and the core that is still open; given up beyond core ``most``."""
        numbers = np.zeros(len(self.order), np.int64)
        start = 0
        while start < len(self.order) and core.number <= most:
            end, new_axons = self._end(start, core, capacities)
            if end == start and core.neurons:
                core = core.next()
                continue
            if end == start:  # a neuron that fits on no core gets one of its own, and breaks a limit there
                end, new_axons = start + 1, self._new_axons(start, start + 1, core)
            numbers[start:end] = core.number
            self._take(start, end, core, int(new_axons[: end - start].sum()))
            start = end
        return numbers, core

    def _end(self, start: int, core: _Core, capacities: Capacities) -> tuple[int, NDArray[np.int64]]:
        """First neuron from ``start`` on that has no room on ``core`` any more, and the new axons of those before."""
        stop = int(min(len(self.order), start + max(0.0, capacities.neurons_per_core - core.neurons)))
        room = {
            "bytes": capacities.synapse_bytes_per_core - core.synapse_bytes,
            "out": capacities.out_axons_per_core - core.out_axons,
            "in": capacities.in_axons_per_core - core.in_axons,
        }
        stop = start + _prefix(self.synapse_bytes[start:stop], room["bytes"])
        stop = start + _prefix(self.out_axons[start:stop], room["out"])
        new_axons = self._new_axons(start, stop, core)
        return start + _prefix(new_axons, room["in"]), new_axons

    def _new_axons(self, start: int, stop: int, core: _Core) -> NDArray[np.int64]:
        """Input axons that each neuron adds to those that ``core`` and the neurons before it already have."""
        begin, end = self.rows.indptr[start], self.rows.indptr[stop]
        sources = self.rows.indices[begin:end]
        row = np.repeat(np.arange(stop - start, dtype=np.int32), np.diff(self.rows.indptr[start : stop + 1]))
        self.first[sources[::-1]] = row[::-1]  # of several rows with the same source, the first is assigned last
        new = (self.first[sources] == row) & (core.sources[sources] != core.number)
        return np.bincount(row[new], minlength=stop - start)

    def _take(self, start: int, end: int, core: _Core, new_axons: int) -> None:
        sources = self.rows.indices[self.rows.indptr[start] : self.rows.indptr[end]]
        core.in_axons += new_axons
        core.sources[sources] = core.number
        core.neurons += end - start
        core.synapse_bytes += float(self.synapse_bytes[start:end].sum())
        core.out_axons += int(self.out_axons[start:end].sum())


_Attempt = tuple[int, int, NDArray[np.int64], NDArray[np.int64], _Core]
"""Last core opened, rank among equals, order of the neurons, their cores, and the core that is still open."""


def _prefix(needs: NDArray[np.float64] | NDArray[np.int64], room: float) -> int:
    """How many of ``needs``, from the first on, have room together."""
    return int(np.searchsorted(np.cumsum(needs), room + 1e-9, side="right"))


def _round(network: SynapseNetwork, capacities: Capacities, before: Mapping[str, Cores]) -> dict[str, Cores]:
    """Core numbers from the output to the input; ``before`` are those of the round before."""
    ends = np.cumsum([population.neurons for population in network.populations])
    offsets = dict(zip(network.by_name, [0, *ends[:-1].tolist()], strict=True))
    total = int(ends[-1])
    first = np.zeros(total, np.int32)
    core, placed = _Core(0, np.full(total, -1, np.int32)), dict(before)
    result: dict[str, Cores] = {}
    cores_before = 1 + max((int(numbers.max()) for numbers in before.values()), default=0)
    for population in reversed(network.populations):
        if population.kind == "input":
            continue
        reached = destinations(network, population.name, placed, max(core.number + 1, cores_before))
        out_axons = np.bincount(reached.indices, minlength=population.neurons)
        rows = _sources(network, population, offsets, total)
        synapse_bytes = network.fan_in(population.name) * capacities.synapse_bits / 8
        attempts: list[_Attempt] = []
        for order in _orders(population):
            ordered = rows if np.all(order[:-1] < order[1:]) else sparse.csr_matrix(rows[order])
            part = _Slice(order, ordered, synapse_bytes[order], out_axons[order], first)
            most = min((attempt[0] for attempt in attempts), default=math.inf)
            numbers, last = part.fill(core.copy(), capacities, most)
            attempts.append((last.number, -len(attempts), order, numbers, last))
        _, _, order, numbers, core = min(attempts, key=lambda attempt: attempt[:2])
        cores = np.empty(population.neurons, np.int64)
        cores[order] = numbers
        result[population.name] = placed[population.name] = cores
    return result


def _orders(population: Population) -> Iterator[NDArray[np.int64]]:
    """Position by position, which seldom opens many more cores, then channel by channel, as neurons are stored."""
    stored = np.arange(population.neurons)
    channels = population.shape[0]
    if 1 < channels < population.neurons:
        yield stored.reshape(channels, -1).T.ravel()
    yield stored


def _sources(
    network: SynapseNetwork, population: Population, offsets: Mapping[str, int], total: int
) -> sparse.csr_matrix:
    """(neurons, all neurons) which neurons send to each one, whatever the number of synapses."""
    shape, parts = (population.neurons, total), []
    for projection in network.arriving[population.name]:
        weights = projection.weights
        columns = weights.indices + offsets[projection.source]
        parts.append(sparse.csr_matrix((np.ones(weights.nnz, np.int8), columns, weights.indptr), shape=shape))
    return summed(parts, shape, np.int8)
