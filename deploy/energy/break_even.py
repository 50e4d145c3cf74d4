"""How many spikes per synapse make a spiking network as dear as its ANN twin."""

from dataclasses import dataclass

from deploy.energy.amounts import mean
from deploy.energy.bill import Bill
from hardware_profiles.prices import Band, price
from hardware_profiles.schema import Profile


@dataclass(frozen=True)
class BreakEven:
    """Spikes per synapse and recording, beside what was measured. At each corner of the prices separately."""

    against: str
    """The ANN."""
    basis: str
    """Of both bills."""
    measured: float
    """Synaptic operations per synapse and recording, as traced."""
    at: tuple[float | None, float | None, float | None]
    """(low, nominal, high) corner; ``None`` where the spiking network costs more even without a spike."""
    ratio: Band
    """Energy of the spiking network over that of the ANN: smallest, nominal and largest corner."""


def break_even(spiking: Bill, ann: Bill, measured: float, against: str, basis: str) -> BreakEven | None:
    """Solve ``fixed + s * scaling / measured = E_ann`` for s, with everything that does not follow the spikes fixed.

    ``None`` when the bills do not cover the same terms, one being priced for what the other leaves open, or when no
    spike was traced.
    """
    if set(spiking.unpriced) != set(ann.unpriced) or not measured:
        return None
    scaling = mean(spiking.energy(lambda line: line.charge.scales)).corners
    fixed = mean(spiking.energy(lambda line: not line.charge.scales)).corners
    corners = zip(fixed, scaling, ann.total.corners, strict=True)
    at = [_solve(still, moving, target, measured) for still, moving, target in corners]
    ratios = [own / other for own, other in zip(spiking.total.corners, ann.total.corners, strict=True)]
    return BreakEven(against, basis, measured, (at[0], at[1], at[2]), Band(min(ratios), ratios[1], max(ratios)))


def operations_only(profile: Profile, density: float = 1.0) -> Band | None:
    """Spikes per synapse and recording at which additions cost as much as MACs, with everything else left out.

    ``k (1 - gamma)`` of Yan et al. 2024 (arXiv:2409.08290): k the price of a MAC over that of an addition, both with
    integers, ``density`` the share 1 - gamma of MACs whose activation is not zero. An upper bound of any break-even
    that counts memory too. ``None`` where one of the prices is missing.
    """
    mac, add = (price(profile.energy.get(term, ())) for term in ("mac_int8", "ac_int32"))
    if mac is None or add is None:
        return None
    return Band(density * mac.low / add.high, density * mac.nominal / add.nominal, density * mac.high / add.low)


def _solve(fixed: float, scaling: float, target: float, measured: float) -> float | None:
    if fixed >= target or not scaling:
        return None
    return measured * (target - fixed) / scaling
