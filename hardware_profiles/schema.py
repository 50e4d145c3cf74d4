"""The schema of a hardware profile (TOML).

A term (the energy of a synaptic operation, say) holds a list of estimates. Each estimate states its unit, the kind of
evidence, what it covers, and its source. A term that nobody has published is absent: never 0, never borrowed from
another chip (a borrowed value is of kind "assumed" and says in its note where it comes from).
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION = 1

Kind = Literal["metered", "measured", "fitted", "simulated", "derived", "vendor", "assumed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Kinds of evidence, strongest first: ``fitted`` to silicon, ``simulated`` before or after layout, ``derived`` by
arithmetic from published figures."""

EnergyTerm = Literal[
    "synop",
    "neuron_update_active",
    "neuron_update_inactive",
    "spike_out",
    "packet",
    "hop",
    "chip_crossing",
    "reset",
    "ac_int32",
    "mul_int32",
    "mac_int8",
    "ac_fp32",
    "mac_fp32",
    "offchip_bit",
]
"""synop: one spike at one synapse. packet: one spike delivered to one core. chip_crossing: one packet over a link
between chips. reset: the state of one chip cleared between recordings. ac, mac: (multiply-)accumulate. offchip_bit: one
bit in or out."""

TimeTerm = Literal["synop", "neuron_update_active", "neuron_update_inactive", "spike_out", "packet", "barrier", "cycle"]
PowerTerm = Literal["static", "io"]

PLACEMENT_LIMITS = (
    "neurons_per_core",
    "synapse_bytes_per_core",
    "synapse_bits",
    "cores_per_chip",
    "cores_per_tile",
)
"""Limits without which no network can be placed on cores."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Whole = Annotated[int, Field(gt=0)]
Location = tuple[str | int, ...]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Meta(_Table):
    """What the profile describes."""

    id: str
    name: str
    platform: Literal["event_cores", "accelerator"]
    """event_cores: neurons live on cores and are priced per event. accelerator: arithmetic units beside a memory."""
    execution: Literal["timestep_barrier", "clocked"]
    process_nm: Positive
    vdd_v: Positive | None = None
    note: str = ""


class Source(_Table):
    """Where values come from, and how it was read: the figure is only as good as that."""

    title: str
    authors: str
    venue: str
    year: int
    doi: str | None = None
    arxiv: str | None = None
    url: str | None = None
    locator: str
    read: Literal["primary", "code", "transcription", "secondary", "abstract"]
    note: str = ""


class Limit(_Table):
    """One capacity of the hardware."""

    value: Whole
    source: str
    kind: Kind = "vendor"
    note: str = ""


class Limits(_Table):
    """Capacities; an absent one is not checked."""

    chips: Limit | None = None
    cores_per_chip: Limit | None = None
    cores_per_tile: Limit | None = None
    mesh_columns: Limit | None = None
    mesh_rows: Limit | None = None
    neurons_per_core: Limit | None = None
    synapse_bytes_per_core: Limit | None = None
    synapse_bits: Limit | None = None
    max_fan_in: Limit | None = None
    in_axons_per_core: Limit | None = None
    out_axons_per_core: Limit | None = None
    lanes: Limit | None = None
    """Operations that a clocked platform does per cycle."""


class Support(_Table):
    """What the platform can compute."""

    spikes: bool
    dense: bool
    """Multiply-accumulates on activations, as the ANN twin needs."""


class Estimate(_Table):
    """One published value of a term."""

    factors: ClassVar[dict[str, float]]

    value: Positive
    kind: Kind
    scope: Literal["per_term", "marginal", "all_in"]
    """per_term: this event alone. marginal: slope of the total against the event rate. all_in: total power over the
    event rate at one operating point; kept for the record, never added to other terms."""
    source: str
    bound: Literal["min", "max"] | None = None
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    operating_point: str = ""
    preferred: bool = False
    note: str = ""
    unit: str

    @property
    def si(self) -> float:
        """The value in joules, seconds or watts."""
        return self.value * self.factors[self.unit]


class EnergyEstimate(Estimate):
    """Energy per event."""

    factors: ClassVar[dict[str, float]] = {"fJ": 1e-15, "pJ": 1e-12, "nJ": 1e-9, "uJ": 1e-6, "mJ": 1e-3, "J": 1.0}
    unit: Literal["fJ", "pJ", "nJ", "uJ", "mJ", "J"]


class TimeEstimate(Estimate):
    """Time per event. ``at`` names the size of the system, in tiles, where the time of a barrier was found."""

    factors: ClassVar[dict[str, float]] = {"ps": 1e-12, "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
    unit: Literal["ps", "ns", "us", "ms", "s"]
    at: Whole = 1


class PowerEstimate(Estimate):
    """Power per chip."""

    factors: ClassVar[dict[str, float]] = {"uW": 1e-6, "mW": 1e-3, "W": 1.0}
    unit: Literal["uW", "mW", "W"]
    per: Literal["chip"] = "chip"


class MemoryLevel(_Table):
    """One memory, priced per access of a whole word. Without a capacity it holds anything (DRAM)."""

    capacity_kb: Positive | None = None
    word_bits: Whole
    access: Annotated[tuple[EnergyEstimate, ...], Field(min_length=1)]


class Validation(_Table):
    """A published measurement that the prices must reproduce: counts times nominal prices, against ``measured``."""

    name: str
    counts: dict[EnergyTerm, Positive | tuple[Positive, Positive]]
    """Events per inference; a pair where the source gives a range."""
    measured: Positive
    unit: Literal["fJ", "pJ", "nJ", "uJ", "mJ", "J"]
    tolerance_rel: Positive
    source: str
    note: str = ""


class Profile(_Table):
    """One platform."""

    schema_version: Literal[1]
    meta: Meta
    sources: dict[str, Source]
    support: Support
    limits: Limits = Limits()
    energy: dict[EnergyTerm, tuple[EnergyEstimate, ...]] = {}
    time: dict[TimeTerm, tuple[TimeEstimate, ...]] = {}
    power: dict[PowerTerm, tuple[PowerEstimate, ...]] = {}
    memory: dict[str, MemoryLevel] = {}
    validation: tuple[Validation, ...] = ()

    def estimate_lists(self) -> Iterator[tuple[Location, tuple[Estimate, ...]]]:
        """Every list of estimates with its place in the file."""
        for section in ("energy", "time", "power"):
            for term, estimates in getattr(self, section).items():
                yield (section, term), estimates
        for name, level in self.memory.items():
            yield ("memory", name, "access"), level.access

    def cited(self) -> Iterator[tuple[Location, str]]:
        """Every citation: its place in the file, and the source key."""
        for place, estimates in self.estimate_lists():
            for index, estimate in enumerate(estimates):
                yield (*place, index, "source"), estimate.source
        for name, limit in self.limits:
            if limit is not None:
                yield ("limits", name), limit.source
        for index, case in enumerate(self.validation):
            yield ("validation", index, "source"), case.source

    @model_validator(mode="after")
    def _platform_is_complete(self) -> "Profile":
        if self.meta.platform == "accelerator" and not self.memory:
            raise ValueError("an accelerator needs at least one [memory.LEVEL]")
        if self.meta.platform == "event_cores":
            absent = [name for name in PLACEMENT_LIMITS if getattr(self.limits, name) is None]
            if absent:
                raise ValueError(f"a platform of event_cores needs limits.{absent[0]}")
        return self
