"""The capacities of a profile that a mapping must respect, and what to say where one is broken."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hardware_profiles.schema import Profile
from spikinghash.errors import ProfileError

Verdict = Literal["yes", "no"]


@dataclass(frozen=True)
class Capacities:
    """Limits of one platform; infinite where the profile states none."""

    neurons: float
    synapse_bytes: float
    in_axons: float
    out_axons: float
    fan_in: float
    fan_out: float
    cores: float
    synapse_bits: int
    cores_per_chip: int
    cores_per_tile: int
    mesh: tuple[int, int] | None
    """Columns and rows of tiles on one chip."""
    weight_bits: float
    neurons_in_all: float
    dynamic_product: bool
    """Whether the platform multiplies two signals, as a marked attention needs."""

    @staticmethod
    def of(profile: Profile) -> "Capacities":
        """The capacities that ``profile`` states.

        Raises:
            ProfileError: the platform has no cores to map onto.
        """
        limits = profile.limits

        def stated(name: str, otherwise: float = math.inf) -> float:
            limit = getattr(limits, name, None)
            return otherwise if limit is None else float(limit.value)

        if limits.neurons_per_core is None or limits.synapse_bits is None or limits.cores_per_chip is None:
            raise ProfileError(
                f"{profile.meta.id}: the profile states no neurons_per_core, synapse_bits or cores_per_chip: "
                "choose a platform of cores"
            )
        per_chip, chips = int(stated("cores_per_chip")), stated("chips", 1)
        columns, rows = stated("mesh_columns", 0), stated("mesh_rows", 0)
        return Capacities(
            neurons=stated("neurons_per_core"),
            synapse_bytes=stated("synapse_bytes_per_core"),
            in_axons=stated("in_axons_per_core"),
            out_axons=stated("out_axons_per_core"),
            fan_in=stated("max_fan_in"),
            fan_out=stated("max_fan_out"),
            cores=per_chip * chips,
            synapse_bits=int(stated("synapse_bits")),
            cores_per_chip=per_chip,
            cores_per_tile=int(stated("cores_per_tile", 1)),
            mesh=(int(columns), int(rows)) if columns and rows else None,
            weight_bits=stated("weight_bits"),
            neurons_in_all=chips * stated("neurons_per_chip"),
            dynamic_product=profile.support.dynamic_matmul,
        )

    def of_cores(self) -> Iterator[tuple[str, str, float]]:
        """Limits on what one core holds: field of ``CoreUse``, what the limit is called, and its value."""
        yield "neurons", "neurons per core", self.neurons
        yield "synapse_bytes", "synapse bytes per core", self.synapse_bytes
        yield "in_axons", "input axons per core", self.in_axons
        yield "out_axons", "output axons per core", self.out_axons

    def of_neurons(self) -> Iterator[tuple[str, str, float]]:
        """Limits on one neuron, in the same form."""
        yield "fan_in", "fan-in of a neuron", self.fan_in
        yield "fan_out", "fan-out of a neuron", self.fan_out

    def stated(self) -> list[tuple[str, str, float]]:
        """All of these that the platform states."""
        return [item for item in (*self.of_cores(), *self.of_neurons()) if math.isfinite(item[2])]


REMEDIES = {
    "neurons per core": "use a platform with larger cores",
    "synapse bytes per core": "give the layer fewer inputs per neuron (fewer channels or a smaller kernel)",
    "input axons per core": "give the layer fewer inputs per neuron (fewer channels or a smaller kernel)",
    "output axons per core": "let fewer populations read this one, or use a platform with larger cores",
    "fan-in of a neuron": "give the layer fewer inputs per neuron (fewer channels or a smaller kernel)",
    "fan-out of a neuron": "let fewer neurons read this one (fewer channels or a smaller kernel)",
    "cores": "use a smaller network, or a platform of more chips",
    "neurons": "use a smaller network, or a platform of more chips",
    "bits per weight": "quantise to fewer bits, or use a platform with wider weights",
    "dynamic products": "export with coincidence gates: use more heads or fewer tokens",
}
"""What to do about each limit that a network can break."""


@dataclass(frozen=True)
class BrokenLimit:
    """A limit that the network does not keep."""

    object: str
    """Population, or the network."""
    limit: str
    actual: float
    allowed: float
    cores: int = 0
    """How many cores break it; 0 for limits of the whole platform."""

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.limit]

    def __str__(self) -> str:
        where = f" (on {self.cores:,} cores)" if self.cores > 1 else ""
        return f"{self.object}: {self.limit}: needs {self.actual:,.0f}{where}, has {self.allowed:,.0f}: {self.remedy}"


@dataclass(frozen=True)
class Check:
    """One stated limit beside the largest need for it."""

    limit: str
    busiest: float
    allowed: float
    where: str

    @property
    def fits(self) -> Verdict:
        """Whether the largest need stays within the limit."""
        return "yes" if self.busiest <= self.allowed else "no"
