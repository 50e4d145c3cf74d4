"""What a change of network did: two reports side by side, platform by platform and layer by layer."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from deploy.energy.model import SPIKING
from deploy.energy.wording import band, si, span, two_figures
from deploy.report.data import FORMAT
from deploy.report.page import map_text
from deploy.report.rounding import rounded
from spikinghash.errors import GraphError

Values = dict[str, Any]

LAYERS = 8
"""Layers shown of each list, those that changed most."""


def read_report(path: Path) -> Values:
    """Read a ``report.json``.

    Raises:
        GraphError: it cannot be read, or is no report of this format.
    """
    try:
        data: Values = json.loads(path.read_text())
        version = data["format"]
        found = {"name": str(path), **{key: data[key] for key in ("network", "networks", "layers", "platforms")}}
    except OSError as error:
        raise GraphError(f"{path}: cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise GraphError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    except (KeyError, TypeError, UnicodeDecodeError):
        raise GraphError(f"{path}: is no report: give a report.json of deploy.report") from None
    if version != FORMAT:
        raise GraphError(f"{path}: is a report of format {version}, this is {FORMAT}: make it again with deploy.report")
    return found


def compare_reports(before: Values, after: Values) -> Values:
    """Lay both reports side by side, rounded to six digits.

    Ratios are after over before. Where both were made with the same profile, prices move together and the interval is
    that of the three corners; else it is the widest one.
    """
    sides = {"before": before, "after": after}
    platforms = {side: {item["id"]: item for item in data["platforms"]} for side, data in sides.items()}
    shared = [key for key in platforms["before"] if key in platforms["after"]]
    comparison: Values = rounded(
        {
            "before": _network(before),
            "after": _network(after),
            "layers": _layer_changes(before["layers"], after["layers"]),
            "platforms": [_platform(platforms["before"][key], platforms["after"][key]) for key in shared],
            "notes": list(_notes(platforms["before"], platforms["after"])),
        }
    )
    return comparison


def _network(data: Values) -> Values:
    spiking = next(item for item in data["networks"] if item["network"] == SPIKING)
    return {"report": data["name"], **data["network"], "maps": spiking["maps"]}


def _layer_changes(before: Sequence[Values], after: Sequence[Values]) -> list[Values]:
    """Synaptic operations and neurons of every layer on both sides, the largest change first."""
    old, new = ({row["layer"]: row for row in rows} for rows in (before, after))
    rows = [
        {
            "layer": name,
            "synops": [side[name]["synops"]["mean"] if name in side else 0.0 for side in (old, new)],
            "neurons": [side[name]["neurons"] if name in side else 0 for side in (old, new)],
        }
        for name in dict.fromkeys([*old, *new])
    ]
    return sorted(rows, key=lambda row: -abs(row["synops"][1] - row["synops"][0]))


def _platform(before: Values, after: Values) -> Values:
    same = before["profile_sha256"] == after["profile_sha256"]
    return {
        "id": before["id"],
        "name": before["name"],
        "same_profile": same,
        "energies": list(_energies(before, after, same)),
        "latency": _latency(before, after, same),
        "layers": _layer_energies(before, after),
        "refusals": [before["refusals"], after["refusals"]],
    }


def _energies(before: Values, after: Values, same: bool) -> Iterator[Values]:
    """The spiking network's bills on every basis that either side has."""
    old, new = ({row["basis"]: row for row in _spiking(side)} for side in (before, after))
    for basis in dict.fromkeys([*old, *new]):
        pair = old.get(basis), new.get(basis)
        known = [row for row in pair if row]
        yield {
            "basis": basis,
            "energy_j": [row["energy_j"] if row else None for row in pair],
            "complete": [row["complete"] if row else None for row in pair],
            "grade": [row["grade"] if row else None for row in pair],
            "ratio": ratio(known[0]["energy_j"], known[1]["energy_j"], same) if len(known) == 2 else None,
        }


def _spiking(platform: Values) -> list[Values]:
    return [row for row in platform["scenarios"] if row["network"] == SPIKING]


def _latency(before: Values, after: Values, same: bool) -> Values:
    pair = [side["latency"].get(SPIKING, {}).get("after_window_s") for side in (before, after)]
    return {"after_window_s": pair, "ratio": ratio(pair[0], pair[1], same) if all(pair) else None}


def ratio(before: Sequence[float], after: Sequence[float], same: bool) -> list[float] | None:
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
        return [min(corners), corners[1], max(corners)]
    return [after[0] / before[2], after[1] / before[1], after[2] / before[0]]


def _layer_energies(before: Values, after: Values) -> list[Values]:
    """Nominal energy of every layer in the first bill that both sides have, the largest change first."""
    old = {row["basis"]: row["layers"] for row in _spiking(before)}
    new = {row["basis"]: row["layers"] for row in _spiking(after)}
    basis = next((each for each in old if each in new), None)
    if basis is None:
        return []
    pairs = [
        {"layer": name, "energy_j": [sum(side.get(name, {}).values()) for side in (old[basis], new[basis])]}
        for name in dict.fromkeys([*old[basis], *new[basis]])
    ]
    return sorted(pairs, key=lambda row: -abs(row["energy_j"][1] - row["energy_j"][0]))


def _notes(before: Mapping[str, Values], after: Mapping[str, Values]) -> Iterator[str]:
    for name, one, other in (("first", before, after), ("second", after, before)):
        alone = [key for key in one if key not in other]
        if alone:
            yield f"only in the {name} report: {', '.join(alone)}"
    changed = [key for key in before if key in after and before[key]["profile_sha256"] != after[key]["profile_sha256"]]
    if changed:
        yield f"profile changed as well, ratios are the widest intervals: {', '.join(changed)}"


def comparison_tables(comparison: Values) -> Iterator[Table]:
    """Tables for the terminal: the networks, their energies and latencies, the layers that changed most."""
    yield _network_table(comparison)
    yield _energy_table(comparison)
    yield _layer_table(comparison)


def _network_table(comparison: Values) -> Table:
    before, after = comparison["before"], comparison["after"]
    table = Table("network", "before", "after", "ratio", title="Networks")
    table.add_row("report", before["report"], after["report"], "")
    table.add_row("mAP", map_text(before["maps"]), map_text(after["maps"]), "")
    for key in ("neurons", "synapses", "weights", "spikes", "synops"):
        old, new = before[key], after[key]
        table.add_row(key, two_figures(old), two_figures(new), two_figures(new / old) if old else "")
    return table


def _energy_table(comparison: Values) -> Table:
    table = Table("platform", "basis", "before", "after", "ratio", "interval", title="Energy and latency per code")
    for platform in comparison["platforms"]:
        for row in platform["energies"]:
            texts = [_bound(*side) for side in zip(row["energy_j"], row["complete"], strict=True)]
            table.add_row(platform["id"], row["basis"], *texts, *_ratio_texts(row["ratio"]))
        times = platform["latency"]["after_window_s"]
        if any(times):
            texts = [_with_band(each, "s") if each else "none" for each in times]
            table.add_row(platform["id"], "latency", *texts, *_ratio_texts(platform["latency"]["ratio"]))
        if not platform["energies"]:
            table.add_row(platform["id"], "no figure", *("; ".join(side[:1]) for side in platform["refusals"]), "", "")
        table.add_section()
    return table


def _bound(energy: Sequence[float] | None, complete: bool | None) -> str:
    return ("" if complete else "≥ ") + _with_band(energy, "J") if energy else "none"


def _with_band(corners: Sequence[float], unit: str) -> str:
    return f"{si(corners[1], unit)} ({band(corners, unit)})"


def _ratio_texts(interval: Sequence[float] | None) -> tuple[str, str]:
    return (two_figures(interval[1]), span(interval)) if interval else ("", "")


def _layer_table(comparison: Values) -> Table:
    title = f"Layers that changed most, by synaptic operations (at most {LAYERS})"
    table = Table("layer", "synaptic operations before", "after", "neurons before", "after", title=title)
    for row in [row for row in comparison["layers"] if row["synops"][0] != row["synops"][1]][:LAYERS]:
        synops, neurons = row["synops"], row["neurons"]
        table.add_row(row["layer"], *map(two_figures, synops), *(f"{each:,.0f}" for each in neurons))
    return table
