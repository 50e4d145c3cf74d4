"""The result of a placement: which core holds how many neurons of which population, and whether all limits are kept."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.energy.mapping.limits import Capacities, Check, Verdict
from deploy.energy.mapping.mesh import tile_places
from deploy.energy.mapping.usage import Cores


@dataclass(frozen=True)
class Placement:
    """Populations on the cores of one platform."""

    capacities: Capacities
    populations: tuple[str, ...]
    """Names; inputs live on the host and are absent."""
    held: NDArray[np.int64]
    """(populations, cores) neurons."""
    synapse_bytes: NDArray[np.float64]
    """(cores,)."""
    core_of: Mapping[str, Cores] = field(default_factory=dict)
    """Core of every neuron by population, in storage order; empty where only the number of neurons was known."""

    @property
    def cores(self) -> int:
        """Cores in use."""
        return self.held.shape[1]

    @property
    def tiles(self) -> int:
        """Tiles in use."""
        return math.ceil(self.cores / self.capacities.cores_per_tile)

    @property
    def chips(self) -> int:
        """Chips in use."""
        return math.ceil(self.cores / self.capacities.cores_per_chip)

    @property
    def shares(self) -> NDArray[np.float64]:
        """(populations, cores) share of each population's neurons on each core."""
        return np.asarray(self.held / self.held.sum(axis=1, keepdims=True))

    def cores_of(self, population: str) -> int:
        """How many cores hold neurons of ``population``."""
        return int(np.count_nonzero(self.held[self.populations.index(population)]))

    @property
    def neurons_used(self) -> float:
        """Mean over the cores of neurons held / neurons possible."""
        return float(self.held.sum() / self.cores / self.capacities.neurons_per_core)

    @property
    def memory_used(self) -> float:
        """Mean over the cores of synapse memory used; 0 where the platform states no size."""
        return float(self.synapse_bytes.mean() / self.capacities.synapse_bytes_per_core)

    @property
    def mesh_in_use(self) -> tuple[int, int] | None:
        """Columns and rows that the tiles in use span, across chips; ``None`` without a mesh."""
        places = tile_places(self.cores, self.capacities)
        if places is None:
            return (1, 1) if self.tiles == 1 else None
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


@dataclass(frozen=True)
class Fit:
    """Whether a network fits, limit by limit."""

    checks: tuple[Check, ...]
    """A limit that is kept, at its largest need; one that is broken, once for each population that breaks it."""
    placement: Placement | None
    """May be there although limits are broken; absent where no core can hold the network or none is described."""

    @property
    def verdict(self) -> Verdict:
        """``no`` when any limit is broken, ``unchecked`` when one could not be checked."""
        verdicts = {check.fits for check in self.checks}
        return "no" if "no" in verdicts else "unchecked" if "unchecked" in verdicts else "yes"

    @property
    def broken(self) -> tuple[Check, ...]:
        """The broken limits."""
        return tuple(check for check in self.checks if check.fits == "no")

    @property
    def tightest(self) -> Check | None:
        """The limit of which the largest share is needed."""
        return max(self.checks, key=lambda check: check.share, default=None)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        placed, tightest = self.placement, self.tightest
        values: dict[str, Any] = {
            "fits": self.verdict,
            "busiest": asdict(tightest) | {"share": tightest.share if tightest.has else None} if tightest else None,
            "checks": [asdict(check) | {"fits": check.fits} for check in self.checks],
            "broken": [asdict(check) | {"remedy": check.remedy} for check in self.broken],
        }
        if placed is None:
            return values
        figures = ("cores", "tiles", "chips", "neurons_used", "memory_used")
        populations = [
            {
                "name": name,
                "neurons": int(row.sum()),
                "cores": int(np.count_nonzero(row)),
                "first": int(np.flatnonzero(row)[0]),
            }
            for name, row in zip(placed.populations, placed.held, strict=True)
        ]
        return values | {name: getattr(placed, name) for name in figures} | {"populations": populations}
