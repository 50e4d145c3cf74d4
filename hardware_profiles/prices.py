"""From lists of estimates to bands, and the check of a profile against published measurements."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from hardware_profiles.schema import KINDS, EnergyEstimate, Estimate, Kind, Profile, TimeEstimate, Validation


@dataclass(frozen=True)
class Price:
    """A value with its band, in joules, seconds or watts."""

    low: float
    nominal: float
    high: float
    kind: Kind
    """Kind of evidence behind the nominal value."""
    sources: tuple[str, ...]

    @property
    def corners(self) -> tuple[float, float, float]:
        """(low, nominal, high)."""
        return self.low, self.nominal, self.high


def weakest(kinds: Sequence[Kind]) -> Kind:
    """The weakest kind of evidence among ``kinds``."""
    return max(kinds, key=KINDS.index)


def price(estimates: Sequence[Estimate]) -> Price | None:
    """Band over all estimates of a term; nominal is the preferred one, else the median of the strongest kind.

    All-in estimates cover more than the term and are left out. ``None`` when nothing is left.
    """
    usable = [estimate for estimate in estimates if estimate.scope != "all_in"]
    if not usable:
        return None
    best = min(map(_strength, usable))
    chosen = [e for e in usable if e.preferred] or [e for e in usable if _strength(e) == best]
    values = [estimate.si for estimate in usable]
    nominal = median(estimate.si for estimate in chosen)
    return Price(min(values), nominal, max(values), chosen[0].kind, _sources(usable))


def barrier_price(estimates: Sequence[TimeEstimate], tiles: int) -> Price | None:
    """Time of a barrier over ``tiles`` tiles, from points found at other sizes.

    A barrier takes longer the more tiles it joins, so a source bounds the time from below by its nearest smaller
    system and from above by its nearest larger one. Nominal is the upper bound of the strongest kind, and no less than
    what a stronger source found on smaller systems. Where no single source has points on both sides, bounds of
    different sources are combined and the kind is "derived". ``None`` when no source reaches ``tiles``.
    """
    curves = [_curve(estimates, key) for key in _sources(estimates)]
    around = [curve for curve in curves if curve[0].at <= tiles <= curve[-1].at]
    floors = [max(e.si for e in curve if e.at <= tiles) for curve in around or curves if curve[0].at <= tiles]
    ceilings = [next(e for e in curve if e.at >= tiles) for curve in around or curves if curve[-1].at >= tiles]
    if not ceilings:
        return None
    ceiling = min(ceilings, key=_strength)
    outgrown = [curve[-1] for curve in curves if curve[-1].at < tiles and _strength(curve[-1]) < _strength(ceiling)]
    nominal = max([ceiling, *outgrown], key=lambda estimate: estimate.si)
    values = [*floors, nominal.si, *(estimate.si for estimate in ceilings)]
    kind = nominal.kind if around else "derived"
    return Price(min(values), nominal.si, max(values), kind, _sources([*ceilings, nominal]))


def _strength(estimate: Estimate) -> int:
    """Rank of the evidence; 0 is the strongest."""
    return KINDS.index(estimate.kind)


def _curve(estimates: Sequence[TimeEstimate], source: str) -> list[TimeEstimate]:
    """Points of one source, smallest system first."""
    return sorted((e for e in estimates if e.source == source), key=lambda estimate: estimate.at)


def _sources(estimates: Sequence[Estimate]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(estimate.source for estimate in estimates))


@dataclass(frozen=True)
class Outcome:
    """How a validation case came out; energies in joules."""

    case: Validation
    predicted: tuple[float, float]
    """At the low and the high end of the counts, with nominal prices."""
    measured: float

    @property
    def errors(self) -> tuple[float, float]:
        """Relative errors at both ends."""
        low, high = self.predicted
        return low / self.measured - 1, high / self.measured - 1

    @property
    def passed(self) -> bool:
        """Whether both ends lie within the tolerance."""
        return max(map(abs, self.errors)) <= self.case.tolerance_rel


def validate(profile: Profile) -> list[Outcome]:
    """Run the validation cases of a profile."""
    return [_outcome(profile, case) for case in profile.validation]


def _outcome(profile: Profile, case: Validation) -> Outcome:
    ends = [0.0, 0.0]
    for term, count in case.counts.items():
        band = price(profile.energy[term])
        if band is not None:
            pair = count if isinstance(count, tuple) else (count, count)
            ends = [end + number * band.nominal for end, number in zip(ends, pair, strict=True)]
    return Outcome(case, (ends[0], ends[1]), case.measured * EnergyEstimate.factors[case.unit])
