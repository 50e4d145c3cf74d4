"""Greedy placement of populations onto cores, and whether the network fits.

Populations are placed in topological order, neurons in storage order. A core takes neurons until its neurons or its
synapse memory are full, then the next core is opened: a population is split where it must be, and small ones share a
core. Every neuron of a population is charged the population's mean of synapses, without sharing of convolution
kernels. Input populations live on the host side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from export.synaptic.counts import LayerCounts
from hardware_profiles.schema import Limit, Limits

Verdict = Literal["yes", "no", "unchecked"]


@dataclass(frozen=True)
class Check:
    """One limit of the hardware beside what the network needs."""

    limit: str
    needed: float | None
    """``None`` where the need cannot be told from the counts."""
    available: float
    fits: Verdict
    note: str = ""

    @property
    def excess(self) -> str:
        """By how much the limit is broken."""
        return f"{self.limit}: needs {self.needed:,.0f}, has {self.available:,.0f}"


@dataclass(frozen=True)
class Placement:
    """Where the neurons are."""

    layers: tuple[LayerCounts, ...]
    """The populations that were placed."""
    shares: NDArray[np.float64]
    """(layers, cores) share of each population's neurons on each core."""
    cores: int
    tiles: int
    chips: int
    neurons_used: float
    """Mean over the cores of neurons placed / neurons available."""
    memory_used: float
    """The same for synapse memory."""
    full_by: dict[str, int]
    """How many cores were closed by which limit."""
    mesh: tuple[int, int]
    """Columns and rows of tiles in use on one chip."""

    def cores_of(self, layer: int) -> int:
        """Cores that hold neurons of population ``layer``."""
        return int(np.count_nonzero(self.shares[layer]))

    @property
    def busiest_limit(self) -> str:
        """The limit that closes most cores."""
        used = {"neurons": self.neurons_used, "synapse memory": self.memory_used}
        return max(self.full_by, key=lambda limit: (self.full_by[limit], used[limit]))

    @property
    def mean_hops(self) -> float:
        """Mean distance between two tiles of the mesh chosen at random: (n^2 - 1) / 3n per axis."""
        return sum((side**2 - 1) / (3 * side) for side in self.mesh)

    @property
    def max_hops(self) -> int:
        """Diameter of the mesh in use."""
        return sum(side - 1 for side in self.mesh)


@dataclass(frozen=True)
class Fit:
    """Whether a network fits, limit by limit; ``placement`` is absent where no core can hold it."""

    checks: tuple[Check, ...]
    placement: Placement | None

    @property
    def verdict(self) -> Verdict:
        """``no`` when any limit is broken, ``unchecked`` when one could not be checked."""
        verdicts = {check.fits for check in self.checks}
        return "no" if "no" in verdicts else "unchecked" if "unchecked" in verdicts else "yes"

    @property
    def broken(self) -> str:
        """The broken limits, each with its excess."""
        return "; ".join(check.excess for check in self.checks if check.fits == "no")


@dataclass
class _Core:
    """Room left on the core that is being filled."""

    neurons: int
    synapse_bytes: float

    def room(self, bytes_each: float) -> int:
        by_memory = math.floor(self.synapse_bytes / bytes_each + 1e-9) if bytes_each else self.neurons
        return min(self.neurons, by_memory)


def fit(layers: Sequence[LayerCounts], limits: Limits) -> Fit:
    """Place all populations but the input and check every limit.

    Args:
        layers: counts of all populations.
        limits: of a platform of cores; ``neurons_per_core``, ``synapse_bytes_per_core``, ``synapse_bits``,
            ``cores_per_chip`` and ``cores_per_tile`` must be stated, as the schema demands of such platforms.
    """
    placed = tuple(layer for layer in layers if layer.kind != "input")
    checks = list(_fan_in_checks(placed, limits))
    if any(check.fits == "no" for check in checks):
        return Fit(tuple(checks), None)
    placement = _place(placed, limits)
    chips = limits.chips.value if limits.chips else 1
    available = required(limits, "cores_per_chip") * chips
    cores_fit: Verdict = "yes" if placement.cores <= available else "no"
    checks.append(Check(f"cores of {chips} chips", placement.cores, available, cores_fit))
    checks += _unchecked(limits)
    return Fit(tuple(checks), placement)


def required(limits: Limits, name: str) -> int:
    """A limit that every platform of cores states (the schema sees to it)."""
    limit: Limit = getattr(limits, name)
    return limit.value


def _fan_in_checks(placed: Sequence[LayerCounts], limits: Limits) -> list[Check]:
    """A neuron's sources must have axons, and its synapses room, on the one core where it lives."""
    widest = max(placed, key=lambda layer: layer.fan_in_max)
    synapse_bits = required(limits, "synapse_bits")
    needs = [
        ("fan-in of a neuron", widest.fan_in_max, limits.max_fan_in),
        ("input axons per core", widest.fan_in_max, limits.in_axons_per_core),
        ("synapse bytes per core", math.ceil(widest.fan_in_max * synapse_bits / 8), limits.synapse_bytes_per_core),
    ]
    note = f"for one neuron of {widest.name}, the widest"
    return [
        Check(name, need, limit.value, "yes" if need <= limit.value else "no", note)
        for name, need, limit in needs
        if limit
    ]


def _unchecked(limits: Limits) -> list[Check]:
    """Limits on the axons of whole cores: they depend on which spikes share a target, which counts do not tell."""
    stated = {
        "input axons per core, all neurons": limits.in_axons_per_core,
        "output axons per core": limits.out_axons_per_core,
    }
    note = "depends on which neurons share sources and targets"
    return [Check(name, None, limit.value, "unchecked", note) for name, limit in stated.items() if limit]


def _place(placed: tuple[LayerCounts, ...], limits: Limits) -> Placement:
    capacity = required(limits, "neurons_per_core")
    memory = required(limits, "synapse_bytes_per_core")
    bits = required(limits, "synapse_bits")
    slices: list[tuple[int, int, int]] = []
    full_by = {"neurons": 0, "synapse memory": 0}
    core, number = _Core(capacity, memory), 0
    for index, layer in enumerate(placed):
        remaining, bytes_each = layer.neurons, layer.synapses * bits / 8 / layer.neurons
        while remaining:
            taken = min(remaining, core.room(bytes_each))
            if taken:
                slices.append((index, number, taken))
                core.neurons -= taken
                core.synapse_bytes -= taken * bytes_each
                remaining -= taken
            if remaining:
                full_by["neurons" if core.neurons == 0 else "synapse memory"] += 1
                core, number = _Core(capacity, memory), number + 1
    return _summary(placed, slices, full_by, limits, number + 1)


def _summary(
    placed: tuple[LayerCounts, ...],
    slices: list[tuple[int, int, int]],
    full_by: dict[str, int],
    limits: Limits,
    cores: int,
) -> Placement:
    shares = np.zeros((len(placed), cores))
    for index, core, neurons in slices:
        shares[index, core] = neurons / placed[index].neurons
    tiles = math.ceil(cores / (limits.cores_per_tile.value if limits.cores_per_tile else 1))
    synapse_bytes = sum(layer.synapses for layer in placed) * required(limits, "synapse_bits") / 8
    return Placement(
        layers=placed,
        shares=shares,
        cores=cores,
        tiles=tiles,
        chips=math.ceil(cores / required(limits, "cores_per_chip")),
        neurons_used=sum(layer.neurons for layer in placed) / (cores * required(limits, "neurons_per_core")),
        memory_used=synapse_bytes / (cores * required(limits, "synapse_bytes_per_core")),
        full_by=full_by,
        mesh=_mesh(tiles, limits),
    )


def _mesh(tiles: int, limits: Limits) -> tuple[int, int]:
    columns = limits.mesh_columns.value if limits.mesh_columns else tiles
    rows = limits.mesh_rows.value if limits.mesh_rows else 1
    return min(tiles, columns), min(math.ceil(tiles / columns), rows)
