"""Placement of the network on the cores of a platform, and the limits that it breaks."""

from typing import Any

from deploy.energy.placement import Fit, Placement


def fit_values(fit: Fit) -> dict[str, Any]:
    """Verdict, every limit with what is needed of it, and where the populations went."""
    checks = [
        {"limit": c.limit, "needed": c.needed, "available": c.available, "fits": c.fits, "note": c.note}
        for c in fit.checks
    ]
    return {
        "verdict": fit.verdict,
        "broken": fit.broken,
        "busiest": _busiest(checks),
        "checks": checks,
        "placement": _placement(fit.placement) if fit.placement else None,
    }


def _busiest(checks: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The limit of which the largest share is needed, with that share."""
    known = [check for check in checks if check["needed"] is not None and check["available"]]
    if not known:
        return None
    check = max(known, key=lambda each: each["needed"] / each["available"])
    return {**check, "share": check["needed"] / check["available"]}


def _placement(placement: Placement) -> dict[str, Any]:
    return {
        "cores": placement.cores,
        "tiles": placement.tiles,
        "chips": placement.chips,
        "neurons_used": placement.neurons_used,
        "memory_used": placement.memory_used,
        "populations": [
            {"population": layer.name, "neurons": layer.neurons, "cores": placement.cores_of(index)}
            for index, layer in enumerate(placement.layers)
        ],
    }
