"""The result of a mapping: which core holds which neurons, how full the cores are, and which limits are broken."""

import math
from collections.abc import Mapping as Dictionary
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.energy.mapping.limits import BrokenLimit, Capacities, Check, Verdict
from deploy.energy.mapping.mesh import tile_places
from deploy.energy.mapping.usage import Cores, CoreUse


@dataclass(frozen=True)
class BusiestCore:
    """The core that comes closest to (or goes farthest beyond) any one of its limits."""

    core: int
    limit: str
    actual: float
    allowed: float
    populations: tuple[str, ...]

    @property
    def share(self) -> float:
        """Of the limit that is used."""
        return self.actual / self.allowed


@dataclass(frozen=True)
class Mapping:
    """A network on the cores of one platform."""

    profile: str
    """Id of the platform."""
    capacities: Capacities
    core_of: Dictionary[str, Cores]
    """Core of every neuron by population, in storage order; inputs, which live on the host, are absent."""
    use: CoreUse
    broken: tuple[BrokenLimit, ...]

    @property
    def verdict(self) -> Verdict:
        """Whether the network fits."""
        return "no" if self.broken else "yes"

    @property
    def cores(self) -> int:
        """Cores in use."""
        return len(self.use.neurons)

    @property
    def tiles(self) -> int:
        """Tiles in use."""
        return math.ceil(self.cores / self.capacities.cores_per_tile)

    @property
    def chips(self) -> int:
        """Chips in use."""
        return math.ceil(self.cores / self.capacities.cores_per_chip)

    @property
    def populations(self) -> tuple[str, ...]:
        """Names of the populations placed."""
        return tuple(self.core_of)

    def cores_of(self, population: str) -> int:
        """How many cores hold neurons of ``population``."""
        return len(np.unique(self.core_of[population]))

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """(populations, cores) share of each population's neurons on each core."""
        held = [np.bincount(numbers, minlength=self.cores) / len(numbers) for numbers in self.core_of.values()]
        return np.stack(held)

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """Every limit that the platform states, beside the largest need for it."""
        checks = []
        for name, limit, allowed in self.capacities.stated():
            values = getattr(self.use, name)
            core = int(values.argmax())
            checks.append(Check(limit, float(values[core]), allowed, f"core {core}"))
        platform = f"{self.capacities.cores / self.capacities.cores_per_chip:,.0f} chips"
        return (*checks, Check("cores", self.cores, self.capacities.cores, platform))

    @cached_property
    def busiest(self) -> BusiestCore:
        """The core that uses the largest share of one of its limits; of several, the one that uses most of the rest."""
        stated = self.capacities.stated()
        shares = np.stack([getattr(self.use, name) / allowed for name, _, allowed in stated])
        core = int(np.lexsort((shares.sum(axis=0), shares.max(axis=0)))[-1])
        name, limit, allowed = stated[int(shares[:, core].argmax())]
        held = tuple(population for population, numbers in self.core_of.items() if (numbers == core).any())
        return BusiestCore(core, limit, float(getattr(self.use, name)[core]), allowed, held)

    @property
    def mean_neurons_used(self) -> float:
        """Mean over the cores of neurons held / neurons possible."""
        return float(self.use.neurons.mean() / self.capacities.neurons)

    @property
    def mean_memory_used(self) -> float:
        """Mean over the cores of synapse memory used; 0 where the platform states no size."""
        return float(self.use.synapse_bytes.mean() / self.capacities.synapse_bytes)

    @property
    def mesh_in_use(self) -> tuple[int, int] | None:
        """Columns and rows that the tiles in use span, across chips; ``None`` without a mesh."""
        places = tile_places(self.cores, self.capacities)
        if places is None:
            return None
        columns, rows = (int(size) for size in places.max(axis=0) - places.min(axis=0) + 1)
        return columns, rows

    @property
    def mean_hops(self) -> float | None:
        """Mean distance between two places of the mesh in use chosen at random: (n^2 - 1) / 3n per axis."""
        mesh = self.mesh_in_use
        return None if mesh is None else sum((side**2 - 1) / (3 * side) for side in mesh)

    @property
    def max_hops(self) -> int | None:
        """Diameter of the mesh in use."""
        mesh = self.mesh_in_use
        return None if mesh is None else sum(side - 1 for side in mesh)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "profile": self.profile,
            "fits": self.verdict,
            "cores": self.cores,
            "tiles": self.tiles,
            "chips": self.chips,
            "mean_neurons_used": self.mean_neurons_used,
            "mean_memory_used": self.mean_memory_used,
            "busiest": {**asdict(self.busiest), "share": self.busiest.share, **self.use.row(self.busiest.core)},
            "checks": [{**asdict(check), "fits": check.fits} for check in self.checks],
            "broken": [{**asdict(broken), "remedy": broken.remedy} for broken in self.broken],
            "populations": [
                {"name": name, "neurons": len(numbers), "cores": self.cores_of(name), "first": int(numbers.min())}
                for name, numbers in self.core_of.items()
            ],
        }
