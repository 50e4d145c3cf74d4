"""Time per recording: how long the platform works, and how long after the last event the code is there."""

from dataclasses import dataclass

import numpy as np

from deploy.energy.amounts import Amount
from deploy.energy.layout import Layout
from export.synaptic.counts import NetworkCounts
from hardware_profiles.terms import Kind, TimeTerm


@dataclass(frozen=True)
class Latency:
    """Seconds per recording. ``busy`` and ``response`` are ``None`` when ``refused`` says why."""

    busy: Amount | None = None
    """All steps of the window and of the drain, back to back."""
    response: Amount | None = None
    """From the end of the window to the code."""
    kind: Kind | None = None
    untimed: tuple[str, ...] = ()
    """What has no published time: the latency is then a lower bound."""
    refused: str = ""
    note: str = ""
    """What a reader has to know beside the figure, such as a tick that the work does not fit into."""


def core_loads(counts: NetworkCounts, where: Layout) -> dict[TimeTerm, Amount]:
    """Events per term, (3, samples, cores): a population's updates and spikes are spread over its cores by neurons."""
    layers, placement = where.layers, where.placement
    active = np.stack([layer.active_updates for layer in layers])
    updates = np.array([[float(layer.neurons * layer.steps)] for layer in layers])
    events: dict[TimeTerm, Amount] = {
        "neuron_update_active": active,
        "neuron_update_inactive": updates - active,
        "spike_out": np.stack([layer.spikes for layer in layers]),
    }
    spread = {
        term: np.broadcast_to(each.T @ placement.shares, (3, counts.samples, placement.cores))
        for term, each in events.items()
    }
    return {"synop": where.core_synops, **spread, "packet": where.core_packets}


def unstated(*what: str) -> str:
    """Why there is no figure: sources are silent."""
    return f"no source states {' and '.join(what)}"
