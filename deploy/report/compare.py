"""What a change of network did: two reports side by side, platform by platform and layer by layer."""

from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table

from deploy.energy.assessment import SPIKING
from deploy.energy.wording import band, si, span, two_figures
from deploy.report.answers import map_text
from deploy.report.model import Corners, Figure, Platform, Priced, Record, Report
from hardware_profiles.terms import Kind

LAYERS = 8
"""Layers shown of each list, those that changed most."""
_AMOUNTS = ("neurons", "synapses", "weights", "spikes", "synops")


class Side(Record):
    """One of both reports."""

    report: str
    map: str
    """Retrieval figures, in words."""
    amounts: dict[str, Figure]


class LayerChange(Record):
    """A layer before and after."""

    layer: str
    synops: tuple[Figure, Figure]
    neurons: tuple[int, int]


class LayerEnergy(Record):
    """Nominal energy of a layer before and after."""

    layer: str
    energy_j: tuple[Figure, Figure]


class EnergyChange(Record):
    """The spiking network's bill on one basis before and after; ``None`` where a side has none."""

    basis: str
    energy_j: tuple[Corners | None, Corners | None]
    complete: tuple[bool, bool]
    grade: tuple[Kind | None, Kind | None]
    ratio: Corners | None


class TimeChange(Record):
    """Time from the end of the window to the code, before and after."""

    after_window_s: tuple[Corners | None, Corners | None]
    ratio: Corners | None


class PlatformChange(Record):
    """A platform that both reports have."""

    id: str
    name: str
    same_profile: bool
    energies: tuple[EnergyChange, ...]
    time: TimeChange
    layers: tuple[LayerEnergy, ...]
    refusals: tuple[str, str]
    """The first of each side; empty where there is none."""


class Change(Record):
    """Two reports side by side. Ratios are after over before."""

    before: Side
    after: Side
    layers: tuple[LayerChange, ...]
    platforms: tuple[PlatformChange, ...]
    notes: tuple[str, ...]


def compare_reports(before: Report, after: Report, names: tuple[str, str]) -> Change:
    """Lay both reports, called ``names``, side by side.

    Where both were made with the same profile, prices move together and the interval of a ratio is that of the three
    corners; else it is the widest one.
    """
    old, new = ({item.id: item for item in side.platforms} for side in (before, after))
    return Change(
        before=_side(before, names[0]),
        after=_side(after, names[1]),
        layers=tuple(_layer_changes(before, after)),
        platforms=tuple(_platform(old[key], new[key]) for key in old if key in new),
        notes=tuple(_notes(old, new)),
    )


def _side(report: Report, name: str) -> Side:
    amounts = {key: float(getattr(report.spiking, key)) for key in _AMOUNTS}
    return Side(report=name, map=map_text(report.spiking), amounts=amounts)


def _layer_changes(before: Report, after: Report) -> list[LayerChange]:
    """Synaptic operations and neurons of every layer on both sides, the largest change first."""
    layers = [report.spiking.layers for report in (before, after)]
    neurons = [{row.layer: row.neurons for row in side} for side in layers]
    changes = _changes(*({row.layer: row.synops.mean for row in side} for side in layers))
    return [
        LayerChange(layer=name, synops=synops, neurons=tuple(side.get(name, 0) for side in neurons))
        for name, synops in changes
    ]


def _changes(before: Mapping[str, float], after: Mapping[str, float]) -> list[tuple[str, tuple[float, float]]]:
    """Both values of everything that one of the sides has, the largest change first."""
    pairs = {name: (before.get(name, 0.0), after.get(name, 0.0)) for name in [*before, *after]}
    return sorted(pairs.items(), key=lambda item: -abs(item[1][1] - item[1][0]))


def _platform(before: Platform, after: Platform) -> PlatformChange:
    same = before.profile_sha256 == after.profile_sha256
    old, new = ({bill.basis: bill for bill in side.bills if bill.network == SPIKING} for side in (before, after))
    return PlatformChange(
        id=before.id,
        name=before.name,
        same_profile=same,
        energies=tuple(_energy(basis, old.get(basis), new.get(basis), same) for basis in dict.fromkeys([*old, *new])),
        time=_time(before, after, same),
        layers=tuple(_layer_energies(old, new)),
        refusals=tuple(str(side.refusal or "") for side in (before, after)),
    )


def _energy(basis: str, old: Priced | None, new: Priced | None, same: bool) -> EnergyChange:
    return EnergyChange(
        basis=basis,
        energy_j=(old and old.energy_j, new and new.energy_j),
        complete=(bool(old and old.complete), bool(new and new.complete)),
        grade=(old and old.grade, new and new.grade),
        ratio=ratio(old.energy_j, new.energy_j, same) if old and new else None,
    )


def _time(before: Platform, after: Platform, same: bool) -> TimeChange:
    times = [None if side.measured else side.times.get(SPIKING) for side in (before, after)]  # times are modelled
    old, new = (time and time.after_window_s for time in times)
    return TimeChange(after_window_s=(old, new), ratio=ratio(old, new, same) if old and new else None)


def ratio(before: Sequence[float], after: Sequence[float], same: bool) -> tuple[float, float, float] | None:
    """After over before: (smallest, nominal, largest); ``None`` where a value before is 0.

    Args:
        before: (low, nominal, high).
        after: likewise.
        same: whether the prices on both sides are the same and so move together.
    """
    if not all(before):
        return None
    if same:
        corners = [new / old for old, new in zip(before, after, strict=True)]
        return min(corners), corners[1], max(corners)
    return after[0] / before[2], after[1] / before[1], after[2] / before[0]


def _layer_energies(old: Mapping[str, Priced], new: Mapping[str, Priced]) -> list[LayerEnergy]:
    """Nominal energy of every layer in the first bill that both sides have, the largest change first."""
    basis = next((each for each in old if each in new), None)
    if basis is None:
        return []
    sides = ({name: sum(parts.values()) for name, parts in side[basis].layers.items()} for side in (old, new))
    return [LayerEnergy(layer=name, energy_j=energies) for name, energies in _changes(*sides)]


def _notes(before: Mapping[str, Platform], after: Mapping[str, Platform]) -> Iterator[str]:
    for name, one, other in (("first", before, after), ("second", after, before)):
        alone = [key for key in one if key not in other]
        if alone:
            yield f"only in the {name} report: {', '.join(alone)}"
    changed = [key for key in before if key in after and before[key].profile_sha256 != after[key].profile_sha256]
    if changed:
        yield f"profile changed as well, ratios are the widest intervals: {', '.join(changed)}"


def comparison_tables(change: Change) -> Iterator[Table]:
    """Tables for the terminal: the networks, their energies and latencies, the layers that changed most."""
    yield _network_table(change.before, change.after)
    yield _energy_table(change.platforms)
    yield _layer_table(change.layers)


def _network_table(before: Side, after: Side) -> Table:
    table = Table("network", "before", "after", "ratio", title="Networks")
    table.add_row("report", before.report, after.report, "")
    table.add_row("retrieval", before.map, after.map, "")
    for key, old in before.amounts.items():
        new = after.amounts[key]
        table.add_row(key, two_figures(old), two_figures(new), two_figures(new / old) if old else "")
    return table


def _energy_table(platforms: Sequence[PlatformChange]) -> Table:
    table = Table("platform", "basis", "before", "after", "ratio", "interval", title="Energy and latency per code")
    for platform in platforms:
        for row in platform.energies:
            texts = [_bound(*side) for side in zip(row.energy_j, row.complete, strict=True)]
            table.add_row(platform.id, row.basis, *texts, *_ratio_texts(row.ratio))
        times = platform.time.after_window_s
        if any(times):
            texts = [_with_band(each, "s") if each else "none" for each in times]
            table.add_row(platform.id, "latency", *texts, *_ratio_texts(platform.time.ratio))
        if not platform.energies:
            table.add_row(platform.id, "no figure", *platform.refusals, "", "")
        table.add_section()
    return table


def _bound(energy: Sequence[float] | None, complete: bool) -> str:
    if energy is None:
        return "none"
    return _with_band(energy, "J") if complete else f"≥ {si(energy[0], 'J')}"


def _with_band(corners: Sequence[float], unit: str) -> str:
    return f"{si(corners[1], unit)} ({band(corners, unit)})"


def _ratio_texts(interval: Sequence[float] | None) -> tuple[str, str]:
    return (two_figures(interval[1]), span(interval)) if interval else ("", "")


def _layer_table(layers: Sequence[LayerChange]) -> Table:
    title = f"Layers that changed most, by synaptic operations (at most {LAYERS})"
    table = Table("layer", "synaptic operations before", "after", "neurons before", "after", title=title)
    for row in [row for row in layers if row.synops[0] != row.synops[1]][:LAYERS]:
        table.add_row(row.layer, *map(two_figures, row.synops), *(f"{each:,.0f}" for each in row.neurons))
    return table
