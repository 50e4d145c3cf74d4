"""What was measured on the machine at hand, of the encoder of a report and of its twins, as figures of a platform.

Measured figures are compared with measured ones alone. Energy is that of a counter, or the time by the power that a
platform's profile states with a band; where there is neither, it is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.energy.ann_network import AnnNetwork
from deploy.energy.assessment import SPIKING, Refusal
from deploy.energy.bill import WHOLE_NETWORK
from deploy.energy.wording import si
from deploy.report.hosts.results import SPIKING_KIND, Hosts, Machine, Run, faster_first
from deploy.report.model import Measured, MeasuredNetwork, MeasuredRun, Priced
from deploy.report.results import Weights
from hardware_profiles.loader import LoadedProfile
from hardware_profiles.prices import Price, price, weakest
from hardware_profiles.schema import Profile
from hardware_profiles.terms import Kind
from spikinghash.errors import GraphError

BY_COUNTER = "measured, idle power while computing included"
BY_POWER = "measured time, published power"
AGAIN = "measure with python -m deploy.hosts ENCODER, or give --measure"
RUNS_AS = {"qnn": "ann_twin_1", "int8_twin": "ann_twin_1"}
"""Conventional networks by what ONNX Runtime makes of them: no kernel has fewer bits than eight, none skips zeros."""


@dataclass(frozen=True)
class Measurement:
    """What was measured of one encoder and of its twins."""

    hosts: Hosts
    runs: tuple[Run, ...]
    """On the processor, a recording at a time."""
    labels: dict[str, tuple[str, ...]]
    """Networks by the kind of run that stands for them, the spiking one first."""

    def of(self, kind: str) -> list[Run]:
        """Runs of a kind, the one first that counts."""
        return faster_first([run for run in self.runs if run.kind == kind])

    @property
    def counting(self) -> dict[str, Run]:
        """The run that counts, by the label of its network."""
        return {label: runs[0] for kind, labels in self.labels.items() if (runs := self.of(kind)) for label in labels}


def fitted(
    hosts: Hosts, source: str, weights: Weights | None, networks: Sequence[AnnNetwork], machine: Machine
) -> Measurement:
    """What ``hosts`` (read from ``source``) holds of an encoder and of ``networks``.

    Raises:
        GraphError: it was measured on another machine than ``machine``, of another encoder, or beside other twins.
    """
    if (hosts.machine.cpu, hosts.machine.architecture) != (machine.cpu, machine.architecture):
        raise GraphError(f"{source}: measured on {hosts.machine.text}; this is {machine.text}: {AGAIN} here")
    if weights is None or not weights.sha256:
        raise GraphError(f"{source}: measured of one encoder: give a file that names its checkpoint, not counts alone")
    alone = [run for run in hosts.runs if (run.device, run.batch) == ("cpu", 1)]
    mine = [run for run in alone if run.checkpoint_sha256 == weights.sha256]
    if not any((run.kind, run.form) == (SPIKING_KIND, weights.numbers) for run in mine):
        spiking = [run for run in alone if run.kind == SPIKING_KIND]
        known = ", ".join(dict.fromkeys(f"{run.encoder} ({run.checkpoint_sha256[:12]}, {run.form})" for run in spiking))
        raise GraphError(
            f"{source}: measured of {known or 'no encoder, one recording at a time'}, not of checkpoint "
            f"{weights.sha256[:12]} in {weights.numbers} numbers: {AGAIN}"
        )
    for network in networks:
        _require_equal(network, [run for run in mine if run.kind == network.kind], source)
    labels: dict[str, tuple[str, ...]] = {SPIKING_KIND: (SPIKING,)}
    for network in networks:
        kind = RUNS_AS.get(network.kind, network.kind)
        labels[kind] = (*labels.get(kind, ()), network.label)
    return Measurement(hosts, tuple(mine), labels)


def _require_equal(network: AnnNetwork, runs: Sequence[Run], source: str) -> None:
    for run in runs:
        if (run.macs, run.weights) != (network.macs, network.weights):
            raise GraphError(
                f"{source}: its {network.label} has {run.macs} multiply-accumulates and {run.weights} weights, that of "
                f"this report {network.macs} and {network.weights}: {AGAIN}"
            )


def times(measurement: Measurement, profiles: Sequence[LoadedProfile]) -> Measured:
    """All networks side by side, and the platforms among ``profiles`` that they stand for."""
    hosts, own = measurement.hosts, measurement.of(SPIKING_KIND)[0]
    rows = [
        MeasuredNetwork(
            networks=labels,
            runs=tuple(map(_row, runs)),
            ratio=(own.cpu.least / runs[0].cpu.least, own.cpu.median / runs[0].cpu.median),
        )
        for kind, labels in measurement.labels.items()
        if (runs := measurement.of(kind))
    ]
    return Measured(
        machine=hosts.machine.text,
        date=hosts.date,
        versions=", ".join(f"{name} {version}" for name, version in sorted(hosts.machine.versions.items())),
        recordings=f"{own.recordings} recordings ({hosts.recordings})",
        energy=_energy_text(own),
        platforms=tuple(each.profile.meta.id for each in profiles if stands_for(hosts.machine, each.profile)),
        networks=tuple(rows),
    )


def _row(run: Run) -> MeasuredRun:
    return MeasuredRun(
        runtime=run.text,
        cpu_s=(run.cpu.least, run.cpu.median),
        wall_s=run.wall.median,
        joules=run.energy.joules_per_code,
        joules_above_idle=run.energy.dynamic_joules_per_code,
    )


def _energy_text(run: Run) -> str:
    energy = run.energy
    if energy.joules_per_code is None:
        return energy.reason or "no energy counter"
    return f"joules of {energy.covers}, {energy.kind} by {energy.source}; {si(energy.idle_watts or 0, 'W')} when idle"


def stands_for(machine: Machine, profile: Profile) -> bool:
    """Whether what was measured on ``machine`` are figures of a platform."""
    return profile.meta.platform == "processor" and profile.meta.architecture == machine.architecture


@dataclass(frozen=True)
class OnPlatform:
    """Measured figures in the place of modelled ones."""

    bills: tuple[Priced, ...]
    refusals: tuple[Refusal, ...]


def on_platform(measurement: Measurement, profile: Profile) -> OnPlatform | None:
    """Bills of all measured networks; ``None`` where they are not those of the platform."""
    if not stands_for(measurement.hosts.machine, profile):
        return None
    power = price(profile.power.get("busy", ()))
    found: list[Priced] = []
    refusals: list[Refusal] = []
    for label, run in measurement.counting.items():
        bills = _of_counter(label, run) or _of_power(label, run, power)
        found += bills
        if not bills:
            why = f"time alone is measured on this machine, energy is refused: {_energy_text(run)}; {_no_power(power)}"
            refusals.append(Refusal(label, why))
    return OnPlatform(tuple(found), tuple(refusals))


def _of_counter(label: str, run: Run) -> list[Priced]:
    """Energy that was metered; what the idle machine would have drawn is told apart where it is not all, in noise."""
    whole, above, kind = run.energy.joules_per_code, run.energy.dynamic_joules_per_code or 0.0, run.energy.kind
    if kind is None or not whole:
        return []
    above = min(max(above, 0.0), whole)
    parts = {"operations": [above] * 3, "standing power": [whole - above] * 3}
    return [_bill(label, BY_COUNTER, parts, kind)]


def _of_power(label: str, run: Run, power: Price | None) -> list[Priced]:
    if power is None or _no_power(power):
        return []
    joules = [run.cpu.median * watts for watts in power.corners]
    return [_bill(label, BY_POWER, {"operations": joules}, weakest(["measured", power.kind]))]


def _no_power(power: Price | None) -> str:
    """Why a platform's power gives no energy; empty where it does."""
    if power is None:
        return "the profile states no power while computing"
    if power.bound or power.low == power.high:
        return f"the profile states no band of power, but {'at most ' if power.bound else ''}{power.high:g} W"
    return ""


def _bill(label: str, basis: str, parts: dict[str, list[float]], grade: Kind) -> Priced:
    low, nominal, high = map(sum, zip(*parts.values(), strict=True))
    return Priced(
        network=label,
        basis=basis,
        complete=True,
        energy_j=(low, nominal, high),
        recordings_p5_p95_j=(nominal, nominal),
        grade=grade,
        unpriced=(),
        covered={},
        terms=(),
        parts={part: (joules[0], joules[1], joules[2]) for part, joules in parts.items()},
        layers={WHOLE_NETWORK: {part: joules[1] for part, joules in parts.items()}},
        measured=True,
    )
