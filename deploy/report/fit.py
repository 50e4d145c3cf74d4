"""Placement of the network on the cores of a platform, and the limits that it breaks."""

from typing import Any

from deploy.energy.mapping.limits import Check
from deploy.energy.mapping.placement import Fit, Placement


def fit_values(fit: Fit) -> dict[str, Any]:
    """Verdict, every limit with what is needed of it, and where the populations went."""
    return {
        "verdict": fit.verdict,
        "broken": "; ".join(dict.fromkeys(check.excess for check in fit.broken)),
        "busiest": _check(fit.tightest) | {"share": fit.tightest.share} if fit.tightest else None,
        "checks": [_check(check) for check in fit.checks],
        "placement": _placement(fit.placement) if fit.placement else None,
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "limit": check.limit,
        "needed": check.needed,
        "available": check.has,
        "fits": check.fits,
        "note": check.where,
    }


def _placement(placement: Placement) -> dict[str, Any]:
    return {
        "cores": placement.cores,
        "tiles": placement.tiles,
        "chips": placement.chips,
        "neurons_used": placement.neurons_used,
        "memory_used": placement.memory_used,
        "populations": [
            {"population": name, "neurons": int(row.sum()), "cores": placement.cores_of(name)}
            for name, row in zip(placement.populations, placement.held, strict=True)
        ],
    }
