"""From lists of estimates to bands."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from hardware_profiles.estimates import Estimate, TimeEstimate
from hardware_profiles.schema import Profile
from hardware_profiles.terms import KINDS, Kind


@dataclass(frozen=True)
class Band:
    """A value with the band that the estimates leave open, in SI units."""

    low: float
    nominal: float
    high: float

    @property
    def corners(self) -> tuple[float, float, float]:
        """(low, nominal, high)."""
        return self.low, self.nominal, self.high


@dataclass(frozen=True)
class Price(Band):
    """Of a term, in joules, seconds, watts, or operations or bytes per second."""

    kind: Kind
    """Kind of evidence behind the nominal value."""
    sources: tuple[str, ...]
    bound: Literal["min", "max"] | None = None
    """Set where all that is published is the least or the most that the value can be."""
    whole_step: bool = False
    """Of a barrier: whether the nominal value is the time of a whole step, the work of its cores included."""


SIGNIFICANT_SHARE = 0.05
"""Terms below this share of a total do not lower its grade."""


def weakest(kinds: Sequence[Kind]) -> Kind:
    """The weakest kind of evidence among ``kinds``."""
    return max(kinds, key=KINDS.index)


def price(estimates: Sequence[Estimate]) -> Price | None:
    """Band over all estimates of a term; nominal is the preferred one, else the median of the strongest kind.

    All-in estimates cover more than the term and are left out. ``None`` when nothing is left.
    """
    usable = _usable(estimates)
    if not usable:
        return None
    best = min(map(_strength, usable))
    chosen = [e for e in usable if e.preferred] or [e for e in usable if _strength(e) == best]
    values = [estimate.si for estimate in usable]
    nominal = median(estimate.si for estimate in chosen)
    bounds = {estimate.bound for estimate in usable}
    bound = bounds.pop() if len(bounds) == 1 else None
    return Price(min(values), nominal, max(values), chosen[0].kind, _sources(usable), bound)


def _usable(estimates: Sequence[Estimate]) -> list[Estimate]:
    return [estimate for estimate in estimates if estimate.scope != "all_in"]


def superseded(profile: Profile) -> dict[str, str]:
    """Terms that the price of another term already holds, such as ``energy.hop``, with that other term."""
    return {
        inner: ".".join(map(str, place))
        for place, estimates in profile.estimate_lists()
        for estimate in _usable(estimates)
        for inner in estimate.supersedes
    }


def barrier_price(estimates: Sequence[TimeEstimate], tiles: int) -> Price | None:
    """Time of a barrier over ``tiles`` tiles, from points found at other sizes.

    A barrier takes longer the more tiles it joins, so a source bounds the time from below by its nearest smaller
    system and from above by its nearest larger one. Nominal is the upper bound of the strongest kind, and no less than
    what a stronger source found on smaller systems. Where no single source has points on both sides, bounds of
    different sources are combined and the kind is "derived". ``None`` when no source reaches ``tiles``.
    """
    ascending = sorted(estimates, key=lambda estimate: estimate.at)
    curves = [[e for e in ascending if e.source == key] for key in _sources(estimates)]
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
    whole = bool(nominal.includes)
    return Price(min(values), nominal.si, max(values), kind, _sources([*ceilings, nominal]), whole_step=whole)


def _strength(estimate: Estimate) -> int:
    """Rank of the evidence; 0 is the strongest."""
    return KINDS.index(estimate.kind)


def _sources(estimates: Sequence[Estimate]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(estimate.source for estimate in estimates))
