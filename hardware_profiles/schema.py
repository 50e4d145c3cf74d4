"""The schema of a hardware profile (TOML).

A term (the energy of a synaptic operation, say) holds a list of estimates. Each estimate states its unit, the kind of
evidence, what it covers, and its source. A term that nobody has published is absent: never 0, never borrowed from
another chip (a borrowed value is of kind "assumed" and says in its note where it comes from).
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hardware_profiles.estimates import (
    EnergyEstimate,
    Estimate,
    Location,
    Positive,
    PowerEstimate,
    RateEstimate,
    Table,
    TimeEstimate,
    Whole,
)
from hardware_profiles.terms import EnergyTerm, Execution, Kind, Platform, PowerTerm, RateTerm, TimeTerm


class Meta(Table):
    """What the profile describes."""

    id: str
    name: str
    execution: Execution
    process_nm: Positive | None = None
    vdd_v: Positive | None = None
    architecture: str = ""
    """Of a processor, as ``uname -m`` names it: what is measured on a machine of it stands for the platform."""
    note: str = ""
    unvalidated: str = ""
    """Why there is no validation case that the model reproduces."""

    @property
    def platform(self) -> Platform:
        """The family, from the way of execution.

        event_cores: neurons live on cores and are priced per event. accelerator: arithmetic units beside a memory.
        processor: a CPU, GPU or microcontroller that runs the network as dense arithmetic.
        """
        if self.execution == "clocked":
            return "accelerator"
        return "processor" if self.execution == "roofline" else "event_cores"


class Source(Table):
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


class Limit(Table):
    """One capacity of the hardware."""

    value: Whole
    source: str
    kind: Kind = "vendor"
    note: str = ""


class Limits(Table):
    """Capacities; an absent one is not checked."""

    chips: Limit | None = None
    cores_per_chip: Limit | None = None
    cores_per_tile: Limit | None = None
    mesh_columns: Limit | None = None
    mesh_rows: Limit | None = None
    neurons_per_core: Limit | None = None
    synapse_bytes_per_core: Limit | None = None
    synapse_bits: Limit | None = None
    weight_bits: Limit | None = None
    """Widest weight of a synapse, sign included."""
    populations: Limit | None = None
    """Populations on a chip, where a core holds exactly one."""
    neurons_per_chip: Limit | None = None
    max_fan_in: Limit | None = None
    max_fan_out: Limit | None = None
    in_axons_per_core: Limit | None = None
    out_axons_per_core: Limit | None = None
    weight_memory_bytes: Limit | None = None
    """Memory of a processor that holds the weights, where it is apart from the working memory."""
    working_memory_bytes: Limit | None = None
    """Memory of a processor that holds membrane potentials or activations."""
    lanes: Limit | None = None
    """Operations that a clocked platform does per cycle."""


class Support(Table):
    """What the platform can compute."""

    spikes: bool
    dense: bool
    """Multiply-accumulates on activations, as an ANN needs."""
    dynamic_matmul: bool = False
    """Products of two activations, as attention needs."""
    graded_spikes: bool = False
    """Spikes that carry a number, as a shared residual stream needs, at the prices that the profile states."""


class MemoryLevel(Table):
    """One memory, priced per access of a whole word. Without a capacity it holds anything (DRAM)."""

    capacity_kb: Positive | None = None
    word_bits: Whole
    access: Annotated[tuple[EnergyEstimate, ...], Field(min_length=1)]


class Work(Table):
    """What a processor has to do per inference."""

    macs: Positive
    """Multiply-accumulates."""
    weight_bytes: Positive
    input_bytes: Positive


class Validation(Table):
    """A published measurement and the events behind it, which ``deploy.energy.validation`` bills like an encoder's.

    With a unit of energy, ``counts`` are events per inference; with a unit of power, per second, standing power
    included. Standing power for ``duration_us`` belongs to an energy that was measured with it. ``work`` stands for
    both on a processor, whose time may be the measurement. Only terms that the source counted are billed.
    """

    name: str
    counts: dict[EnergyTerm, Positive | tuple[Positive, Positive]] = Field(default_factory=dict)
    """A pair where the source gives a range."""
    work: Work | None = None
    chips: Whole = 1
    duration_us: Positive | None = None
    """Measured time per inference, for which the chips draw standing power."""
    operating_point: str = ""
    """Where a term has estimates of this operating point, only they are used."""
    measured: Positive
    unit: Literal["fJ", "pJ", "nJ", "uJ", "mJ", "J", "uW", "mW", "W", "ns", "us", "ms", "s"]
    tolerance_rel: Positive
    """How far the measurement may lie outside the predicted band, as a share of the measurement."""
    claimed: bool = True
    """``False`` where the model is known to miss it: reported with its error, and no evidence for the profile."""
    source: str
    note: str = ""

    @property
    def si_unit(self) -> Literal["J", "W", "s"]:
        """Joules, watts or seconds."""
        if self.unit in TimeEstimate.factors:
            return "s"
        return "W" if self.unit in PowerEstimate.factors else "J"

    @property
    def measured_si(self) -> float:
        """The measurement in joules, watts or seconds."""
        factors = EnergyEstimate.factors | PowerEstimate.factors | TimeEstimate.factors
        return self.measured * factors[self.unit]

    @model_validator(mode="after")
    def _has_events(self) -> "Validation":
        if not (self.counts or self.work or self.duration_us):
            raise ValueError("states nothing to bill: give counts, work or duration_us")
        if self.si_unit == "s" and not self.work:
            raise ValueError("a time is predicted from work alone: give work, or an energy or power")
        return self


class Run(Table):
    """A whole application that somebody ran and measured. Kept for the record: its counts are not published."""

    name: str
    value: Positive
    unit: Literal["nJ", "uJ", "mJ", "J", "ns", "us", "ms", "s", "uW", "mW", "W"]
    kind: Kind
    source: str
    note: str = ""


class Profile(Table):
    """One platform."""

    schema_version: Literal[1]
    meta: Meta
    sources: dict[str, Source]
    support: Support
    limits: Limits = Limits()
    energy: dict[EnergyTerm, tuple[EnergyEstimate, ...]] = Field(default_factory=dict)
    time: dict[TimeTerm, tuple[TimeEstimate, ...]] = Field(default_factory=dict)
    power: dict[PowerTerm, tuple[PowerEstimate, ...]] = Field(default_factory=dict)
    rate: dict[RateTerm, tuple[RateEstimate, ...]] = Field(default_factory=dict)
    memory: dict[str, MemoryLevel] = Field(default_factory=dict)
    run: tuple[Run, ...] = ()
    validation: tuple[Validation, ...] = ()

    def estimate_lists(self) -> Iterator[tuple[Location, tuple[Estimate, ...]]]:
        """Every list of estimates with its place in the file."""
        for section in ("energy", "time", "power", "rate"):
            for term, estimates in getattr(self, section).items():
                yield (section, term), estimates
        for name, level in self.memory.items():
            yield ("memory", name, "access"), level.access

    def at(self, operating_point: str) -> "Profile":
        """The profile at one operating point: where a term has estimates of it, the others are left out."""
        if not operating_point:
            return self
        sections = {
            section: {term: _at(estimates, operating_point) for term, estimates in getattr(self, section).items()}
            for section in ("energy", "time", "power", "rate")
        }
        return self.model_copy(update=sections)

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
        for index, run in enumerate(self.run):
            yield ("run", index, "source"), run.source

    @model_validator(mode="after")
    def _platform_is_complete(self) -> "Profile":
        if self.meta.platform == "accelerator" and not self.memory:
            raise ValueError("a clocked accelerator needs at least one [memory.LEVEL]")
        if self.meta.platform == "processor" and "memory" not in self.rate:
            raise ValueError("a roofline needs [[rate.memory]]")
        return self


def _at(estimates: tuple[Estimate, ...], operating_point: str) -> tuple[Estimate, ...]:
    return tuple(one for one in estimates if one.operating_point == operating_point) or estimates
