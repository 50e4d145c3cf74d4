"""Time per recording: how long the platform works, and how long after the last event the code is there."""

from dataclasses import dataclass

from deploy.energy.amounts import Amount
from hardware_profiles.terms import Kind


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
    steps: int | None = None
    """Time steps billed per recording, filling and draining included; ``None`` on platforms without steps."""
    note: str = ""
    """What a reader has to know beside the figure, such as a tick that the work does not fit into."""


def unstated(*what: str) -> str:
    """Why there is no figure: sources are silent."""
    return f"no source states {' and '.join(what)}"
