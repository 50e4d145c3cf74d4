"""A bill: what was counted, what each unit costs, and what that adds up to, with its band and its grade."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from deploy.energy.amounts import Amount, exact, mean, priced
from hardware_profiles.prices import SIGNIFICANT_SHARE, Band, Price, price, superseded, weakest
from hardware_profiles.schema import Profile
from hardware_profiles.terms import Kind

Part = Literal[
    "synaptic operations", "operations", "memory", "neuron updates", "spike traffic", "input", "reset", "standing power"
]
PARTS: tuple[Part, ...] = get_args(Part)
WHOLE_NETWORK = "whole network"
"""Layer of charges that no single layer causes."""
_PRICED_SECTIONS = ("energy", "power")


@dataclass(frozen=True)
class Charge:
    """Something that costs energy. ``term`` is its place in the profile, such as ``energy.synop``."""

    part: Part
    layer: str
    term: str
    count: Amount | None
    """Events, words or chip-seconds per recording; ``None`` where they cannot be told."""
    scales: bool = False
    """Whether the count is proportional to the spikes that arrive."""
    kind: Kind | None = None
    """Evidence behind a count that is modelled itself, such as a time; ``None`` for what was counted."""


@dataclass(frozen=True)
class Line:
    """A charge with its price; ``energy`` is ``None`` when either is unknown."""

    charge: Charge
    price: Price | None

    @cached_property
    def energy(self) -> Amount | None:
        """(3, samples) joules."""
        if self.price is None or self.charge.count is None:
            return None
        return priced(self.charge.count, self.price.corners)


@dataclass(frozen=True)
class Bill:
    """All lines of one network on one platform."""

    lines: tuple[Line, ...]
    covered: Mapping[str, str] = field(default_factory=dict)
    """Terms that are not charged because the price of another one already holds them, with that other term."""

    @cached_property
    def unpriced(self) -> tuple[str, ...]:
        """Terms that are needed but have no published price: with any, ``total`` is a lower bound and no total."""
        return tuple(dict.fromkeys(line.charge.term for line in self.lines if line.energy is None))

    @property
    def complete(self) -> bool:
        """Whether every needed term is priced."""
        return not self.unpriced

    @cached_property
    def total(self) -> Band:
        """Mean energy per recording of all priced lines, in joules."""
        return mean(self.energy(lambda line: True))

    @cached_property
    def spread(self) -> tuple[float, float]:
        """5th and 95th percentile of the nominal energy over the recordings."""
        low, high = np.percentile(self.energy(lambda line: True)[1], (5, 95))
        return float(low), float(high)

    @cached_property
    def grade(self) -> Kind:
        """The weakest kind of evidence among the terms that carry more than 5 % of the nominal total."""
        least = SIGNIFICANT_SHARE * self.total.nominal
        kinds = [kind for term in self.prices if self.of_term(term).nominal > least for kind in self._kinds(term)]
        return weakest(kinds or ["assumed"])

    def _kinds(self, term: str) -> list[Kind]:
        """Evidence behind the price of a term and behind its counts."""
        return [self.prices[term].kind, *(c.kind for c in self._charges(term) if c.kind is not None)]

    def _charges(self, term: str) -> list[Charge]:
        return [line.charge for line in self.lines if line.charge.term == term]

    @cached_property
    def prices(self) -> dict[str, Price]:
        """The price of every priced term."""
        return {line.charge.term: line.price for line in self.lines if line.price is not None}

    def energy(self, chosen: Callable[[Line], bool]) -> Amount:
        """(3, samples) joules of the priced lines for which ``chosen`` holds."""
        energies = [line.energy for line in self.lines if line.energy is not None and chosen(line)]
        return np.sum(np.broadcast_arrays(*energies), axis=0) if energies else exact(0.0)

    def of_term(self, term: str) -> Band:
        """Energy of one term."""
        return mean(self.energy(lambda line: line.charge.term == term))

    def of_part(self, part: str, layer: str | None = None) -> Band:
        """Energy of one part, of one layer or of all."""
        return mean(self.energy(lambda line: line.charge.part == part and layer in (None, line.charge.layer)))

    def count_of_term(self, term: str) -> Band | None:
        """Events, words or chip-seconds of one term; ``None`` where they cannot be told."""
        counts = [charge.count for charge in self._charges(term)]
        known = [count for count in counts if count is not None]
        return mean(np.sum(np.broadcast_arrays(*known), axis=0)) if len(known) == len(counts) and known else None


def make_bill(profile: Profile, charges: Sequence[Charge]) -> Bill:
    """Price the charges. Charges that counted nothing need no price and are dropped, as are those that are covered."""
    needed = [charge for charge in charges if charge.count is None or charge.count.any()]
    terms = {charge.term for charge in needed}
    covered = {inner: outer for inner, outer in superseded(profile).items() if {inner, outer} <= terms}
    lines = (Line(charge, price_of(profile, charge.term)) for charge in needed if charge.term not in covered)
    return Bill(tuple(lines), covered)


def price_of(profile: Profile, term: str) -> Price | None:
    """The price of ``energy.TERM``, ``power.TERM`` or ``memory.LEVEL``; ``None`` when nobody published one."""
    section, _, name = term.partition(".")
    if section == "memory":
        return price(profile.memory[name].access)
    return price(getattr(profile, section).get(name, ())) if section in _PRICED_SECTIONS else None
