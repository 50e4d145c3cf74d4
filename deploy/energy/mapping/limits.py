"""The capacities of a profile that a placement must respect, and what to say where one is broken."""

import math
from dataclasses import dataclass, fields
from typing import Literal

from hardware_profiles.schema import Limits, Profile
from hardware_profiles.terms import PLACEMENT_LIMITS
from spikinghash.errors import ProfileError

Verdict = Literal["yes", "no", "unchecked"]


@dataclass(frozen=True)
class Capacities:
    """Limits of one platform, named as in its profile; infinite where the profile states none."""

    cores_per_chip: int
    synapse_bits: int
    neurons_per_core: float
    synapse_bytes_per_core: float = math.inf
    in_axons_per_core: float = math.inf
    out_axons_per_core: float = math.inf
    max_fan_in: float = math.inf
    max_fan_out: float = math.inf
    weight_bits: float = math.inf
    populations: float = math.inf
    neurons_per_chip: float = math.inf
    chips: int = 1
    cores_per_tile: int = 1
    mesh_columns: int = 0
    mesh_rows: int = 0
    dynamic_product: bool = False
    """Whether the platform multiplies two signals, as a marked attention needs."""
    graded_spikes: bool = False
    """Whether its spikes carry numbers, as a shared residual stream needs."""

    @staticmethod
    def of(profile: Profile) -> "Capacities":
        """The capacities that ``profile`` states.

        Raises:
            ProfileError: the profile does not say what a core holds.
        """
        if missing := missing_limits(profile.limits):
            raise ProfileError(
                f"{profile.meta.id}: the profile states no {', '.join(missing)}: choose another platform"
            )
        names = {field.name for field in fields(Capacities)}
        stated = {name: limit.value for name, limit in profile.limits if limit is not None and name in names}
        support = profile.support
        return Capacities(**stated, dynamic_product=support.dynamic_matmul, graded_spikes=support.graded_spikes)

    @property
    def cores(self) -> int:
        """On all chips."""
        return self.cores_per_chip * self.chips

    @property
    def mesh(self) -> tuple[int, int] | None:
        """Columns and rows of tiles on one chip."""
        return (self.mesh_columns, self.mesh_rows) if self.mesh_columns and self.mesh_rows else None

    @property
    def on_chips(self) -> str:
        """All chips, in words."""
        return f"{self.chips:,} chip{'s' if self.chips > 1 else ''}"


def missing_limits(limits: Limits) -> list[str]:
    """Limits without which no network can be placed, in words."""
    return [name.replace("_", " ") for name in PLACEMENT_LIMITS if getattr(limits, name) is None]


CORE_LIMITS = {
    "neurons": ("neurons per core", "neurons_per_core"),
    "synapse_bytes": ("synapse bytes per core", "synapse_bytes_per_core"),
    "in_axons": ("input axons per core", "in_axons_per_core"),
    "out_axons": ("output axons per core", "out_axons_per_core"),
}
"""Limits on a core: field of ``CoreUse``, with the limit's name and its field of ``Capacities``."""

_FEWER_INPUTS = "give the layer fewer inputs per neuron (fewer channels or a smaller kernel)"
REMEDIES = {
    "neurons per core": "use a platform with larger cores",
    "synapse bytes per core": _FEWER_INPUTS,
    "weight bytes per core": "use fewer channels or a smaller kernel",
    "input axons per core": _FEWER_INPUTS,
    "output axons per core": "let fewer populations read this one, or use a platform with larger cores",
    "fan-in of a neuron": _FEWER_INPUTS,
    "fan-out of a neuron": "let fewer neurons read this one (fewer channels or a smaller kernel)",
    "populations": "use fewer layers, or a platform whose cores hold several populations",
    "cores of": "use a smaller network, or a platform of more chips",
    "neurons on": "use a smaller network, or a platform of more chips",
    "bits per weight": "quantise to fewer bits, or use a platform with wider weights",
    "products of two activations": "export with coincidence gates: use more heads or fewer tokens",
    "graded spikes": "export with --streams copied",
    "weight memory bytes": "use a smaller network, or a processor with more memory",
    "working memory bytes": "use a smaller network, or a processor with more memory",
}
"""What to do about each limit that a network can break, by the beginning of its name."""
NETWORK = "the network"


@dataclass(frozen=True)
class Check:
    """One limit of the hardware beside what the network needs."""

    limit: str
    needed: float | None
    """``None`` where the need cannot be told."""
    has: float
    where: str = NETWORK
    """Population, core, or the network."""
    cores: int = 0
    """How many cores break it; 0 for limits of the whole platform."""

    @property
    def fits(self) -> Verdict:
        """Whether the need stays within the limit."""
        if self.needed is None:
            return "unchecked"
        return "yes" if self.needed <= self.has else "no"

    @property
    def share(self) -> float:
        """Of the limit that is needed; 0 where the need cannot be told, infinite where there is none of it."""
        if not self.needed:
            return 0.0
        return self.needed / self.has if self.has else math.inf

    @property
    def excess(self) -> str:
        """By how much the limit is broken."""
        return f"{self.limit}: needs {self.needed or 0:,.0f}, has {self.has:,.0f}"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return next(remedy for name, remedy in REMEDIES.items() if self.limit.startswith(name))

    def __str__(self) -> str:
        on = f" (on {self.cores:,} cores)" if self.cores > 1 else ""
        return f"{self.where}: {self.limit}: needs {self.needed or 0:,.0f}{on}, has {self.has:,.0f}: {self.remedy}"
