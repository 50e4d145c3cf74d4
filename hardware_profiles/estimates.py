"""One published value with its unit, its kind of evidence, what it covers, and its source."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from hardware_profiles.terms import Kind

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Whole = Annotated[int, Field(gt=0)]
Location = tuple[str | int, ...]


class Table(BaseModel):
    """A table of a profile: unknown keys and values of a wrong type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Estimate(Table):
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
    supersedes: tuple[str, ...] = ()
    """Terms, such as "energy.hop", that this value already holds: they are not charged beside it."""
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


class RateEstimate(Estimate):
    """Operations or bytes per second."""

    factors: ClassVar[dict[str, float]] = {"Mop/s": 1e6, "Gop/s": 1e9, "Top/s": 1e12, "MB/s": 1e6, "GB/s": 1e9}
    unit: Literal["Mop/s", "Gop/s", "Top/s", "MB/s", "GB/s"]
