"""The page docs/sparsity.md, its picture, and the figures behind them as JSON."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.sparsity.jobs import Record
from spikinghash.files import atomic_path

TITLES = {"digits": "digits", "nmnist": "N-MNIST", "reversal": "reversal: order alone"}
Row = dict[str, Any]
SPIKING: dict[str, Any] = {"marker": "o", "color": "C0"}
OTHER: dict[str, Any] = {"marker": "s", "color": "C1"}
"""How the picture shows spiking networks, and others."""

SHARED = ("kind", "encoder", "activation_sparsity")
"""Of a record: what a row says once for all seeds. With them a report takes its retrieval figures from the rows."""

Cell = Callable[[Row], str]
COLUMNS: dict[str, Cell] = {
    "network": lambda row: str(row["name"]),
    "mAP, test": lambda row: spread(row.get("map", ()), 1, 4),
    "validation": lambda row: spread(row.get("validation", ()), 1, 4),
    "operations, natural (M)": lambda row: spread(row.get("natural", ()), 1e6, 2),
    "lowered, copied streams (M)": lambda row: spread(row.get("lowered", ()), 1e6, 2),
    "lowered, cheapest (M)": lambda row: spread(row.get("fewest", ()), 1e6, 2),
    "7 nm, weights once (µJ)": lambda row: joules(row, "cmos_7nm all steps", 1e-6),
    "7 nm, each operand (µJ)": lambda row: joules(row, "cmos_7nm per operation", 1e-6),
    "45 nm, weights once (µJ)": lambda row: joules(row, "cmos_45nm all steps", 1e-6),
    "45 nm, each operand (µJ)": lambda row: joules(row, "cmos_45nm per operation", 1e-6),
    "Loihi 1 (mJ)": lambda row: joules(row, "loihi1", 1e-3),
    "Darwin3 (µJ)": lambda row: joules(row, "darwin3", 1e-6),
    "stored weights": lambda row: spread(row.get("weights", ()), 1, 0),
    "certificate (bits)": lambda row: spread(row.get("certificate_bits", ()), 1, 0),
}
"""Of the table, by heading."""

HEAD = """# What codes cost

Written by `python -m benchmarks.sparsity` on {date}; {hardware}, one core per training.

Tie-aware mAP of integer networks, mean over the seeds (lowest to highest); no choice was made on test queries.
Operations are those of a test recording. Natural: every linear map once per spike and synapse, an attention as its two
products. Lowered: those of the deployed native graph, without what its biases and clocks cause. Of a twin, which sees
one frame: multiply-accumulates with weights that are not zero; "zeros skipped": of activations that are not, either.
Cheapest: of what NIR can say, residual streams as graded spikes, biases in the neurons, attention as a product
(`export.to_nir --streams shared --biases neurons --attention product`); of 40 test recordings, as energies are.

Energies are those of `deploy.report`: nominal prices, what is priced alone (static power of the accelerators, and what
Darwin3 does beside synaptic operations, are unpublished). "Weights once": all steps of a layer per weight fetch; "each
operand": a step at a time, nothing reused, a synaptic operation reading and writing a membrane potential. On Loihi 1
standing power counts while it computes. A pruned twin is billed as if its hardware found zero weights for nothing.

How the encoders were trained (`configs/digits-sparse.toml`, then `configs/digits-sparse-grids.toml`):

1. {epochs} epochs from the dense checkpoint, its batch normalisation unfolded, in {steps} time steps. A controller
   weighs a penalty on the operations so that they come down to {first:g} times the budget. The dense network teaches
   its code of each recording beside the label.
2. {grid_epochs} epochs on the grids of the integer network, within the budget; {pruned:.0%} of the weights of each map
   are pruned, the smallest first.

Rows of "half the epochs" had half as many in both parts. The twin of one frame learns for {twin} epochs, then on its
grids for {twin_grid}: no fewer than a sparse encoder, the dense one's included.

The set of `reversal` has classes that differ in order alone. Its network is a smaller one of 24 time steps, trained as
[temporal.md](temporal.md) says and then for 36 epochs within the first budget of digits; its row says what it spends.

![mAP over operations](sparsity.png)
"""


AGAINST_HEAD = """
## Beside its twins

Points of mAP that a spiking network has more than a twin, and its energy at 7 nm over the twin's; means of the seeds.

| data set | network | twin | mAP, points | weights once | each operand |
|---|---|---|---|---|---|"""
SCHEDULES = ("cmos_7nm all steps", "cmos_7nm per operation")

CORE_WATTS = 225 / 64
"""Largest thermal design power of an AMD EPYC 7702 over its cores, see the profile ``x86_cpu``."""

CORE_HEAD = """
## On a core of this machine

Measured, not modelled: least CPU time of a code over the rounds, 64 test recordings one by one on one thread, all
networks in turns in one process. Spiking networks run in `events`, their twin of one frame in ONNX Runtime, its wave
mixers as one convolution each (a QNN twin is no faster there than the int8 one: no kernel takes fewer bits). No energy
counter is read: joules are the time at a core's share of the largest thermal design power of an AMD EPYC 7702 (225 W,
64 cores)."""


def rows(records: Sequence[Record]) -> list[Row]:
    """One row per data set and network, with the values of all seeds."""
    grouped: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda each: each["seed"]):
        grouped[record["dataset"], record["name"]].append(record)
    return [_row(dataset, name, group) for (dataset, name), group in grouped.items()]


def _row(dataset: str, name: str, group: list[Record]) -> Row:
    shared = {key: group[0].get(key) for key in SHARED if key in group[0]}
    values = {key: [record.get(key) for record in group] for key in group[0] if key not in ("dataset", "name", *SHARED)}
    values["seeds"] = values.pop("seed")
    return {"dataset": dataset, "name": name, "bits": 32, **shared, **values}


def add_times(table: Sequence[Row], times: Sequence[Record]) -> None:
    """Give each row its CPU time; a twin that of its topology in the faster of its forms."""
    for row in table:
        here = {each["network"]: each["cpu_ms"] for each in times if each["dataset"] == row["dataset"]}
        own = [row["name"]] if row["spiking"][0] else [name for name in here if name.startswith("ANN twin")]
        if fitting := [here[name] for name in own if name in here]:
            row["cpu_ms"] = [min(fitting)]


def against_twins(table: Sequence[Row], least_seeds: int = 3) -> str:
    """Each spiking network of so many seeds beside each twin of its data set; nothing where there is no such pair."""
    lines = []
    for row in (each for each in table if each["spiking"][0] and len(each["seeds"]) >= least_seeds):
        for twin in table:
            if twin["dataset"] != row["dataset"] or twin["spiking"][0]:
                continue
            points = 100 * (statistics.mean(row["map"]) - statistics.mean(twin["map"]))
            ratios = (_mean_energy(row, name) / _mean_energy(twin, name) for name in SCHEDULES)
            cells = (TITLES[row["dataset"]], row["name"], twin["name"], f"{points:+.1f}", *(f"{x:.2f}" for x in ratios))
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([AGAINST_HEAD, *lines]) + "\n" if lines else ""


def _mean_energy(row: Row, name: str) -> float:
    return statistics.mean(each[name] for each in row["energy"])


def core_tables(times: Sequence[Record]) -> str:
    """CPU time of a code by data set and network, the fastest first; nothing where nothing was timed."""
    lines = [CORE_HEAD] if times else []
    for dataset in dict.fromkeys(record["dataset"] for record in times):
        lines += [f"\n| {TITLES[dataset]} | CPU time (ms) | at {CORE_WATTS:.1f} W (mJ) |", "|---|---|---|"]
        members = [record for record in times if record["dataset"] == dataset]
        for record in sorted(members, key=lambda each: each["cpu_ms"]):
            lines.append(f"| {record['network']} | {record['cpu_ms']:.2f} | {record['cpu_ms'] * CORE_WATTS:.2f} |")
    return "\n".join(lines) + "\n" if lines else ""


def spread(values: Sequence[float | None], unit: float, digits: int) -> str:
    """Mean of all seeds, and lowest to highest; nothing where nothing was measured."""
    known = [value / unit for value in values if value is not None]
    if not known:
        return ""
    mean = f"{statistics.mean(known):,.{digits}f}"
    if len(known) == 1 or min(known) == max(known):
        return mean
    return f"{mean} ({min(known):,.{digits}f} to {max(known):,.{digits}f})"


def joules(row: Row, name: str, unit: float) -> str:
    """Energies of all seeds on platform ``name``; nothing where none was billed."""
    return spread([(each or {}).get(name) for each in row.get("energy", ())], unit, 2)


def markdown(table: Sequence[Row], head: str) -> str:
    """The page, with one table per data set."""
    lines = [head]
    for dataset, title in TITLES.items():
        members = [row for row in table if row["dataset"] == dataset]
        if members:
            used = {name: cell for name, cell in COLUMNS.items() if any(cell(row) for row in members)}
            lines += [f"## {title}", "", "| " + " | ".join(used) + " |", "|---" * len(used) + "|"]
            lines += ["| " + " | ".join(cell(row) for cell in used.values()) + " |" for row in members]
            lines.append("")
    return "\n".join(lines)


def _energies(name: str, unit: float) -> Callable[[Row], list[float]]:
    return lambda row: [each[name] / unit for each in row.get("energy", ()) if each and name in each]


PANELS: dict[str, Callable[[Row], list[float]]] = {
    "operations per recording (M)": lambda row: [each / 1e6 for each in row["natural"]],
    "7 nm, weights once (µJ)": _energies("cmos_7nm all steps", 1e-6),
    "7 nm, each operand (µJ)": _energies("cmos_7nm per operation", 1e-6),
    "45 nm, weights once (µJ)": _energies("cmos_45nm all steps", 1e-6),
    "45 nm, each operand (µJ)": _energies("cmos_45nm per operation", 1e-6),
    "Loihi 1 (mJ)": _energies("loihi1", 1e-3),
    "Darwin3 (µJ)": _energies("darwin3", 1e-6),
    "CPU time on a core (ms)": lambda row: row.get("cpu_ms", []),
}
DRAWN = ("digits", "nmnist")
ACROSS = 4


def draw(table: Sequence[Row], path: Path) -> None:
    """MAP over operations, energies and time, two lines a data set; bars reach from the lowest to the highest seed."""
    shown = [dataset for dataset in DRAWN if any(row["dataset"] == dataset for row in table)]
    figure = Figure(figsize=(4.2 * ACROSS, 6.4 * len(shown)), layout="constrained")
    axes = iter(figure.subplots(len(PANELS) // ACROSS * len(shown), ACROSS).flat)
    for dataset in shown:
        members = [row for row in table if row["dataset"] == dataset]
        for label, values in PANELS.items():
            _panel(next(axes), [row for row in members if values(row)], values, f"{TITLES[dataset]}: {label}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=80)


def _panel(axes: Axes, members: Sequence[Row], values: Callable[[Row], list[float]], title: str) -> None:
    for row in members:
        x, y = statistics.mean(values(row)), statistics.mean(row["map"])
        error = [[y - min(row["map"])], [max(row["map"]) - y]]
        axes.errorbar(x, y, error, **(SPIKING if row["spiking"][0] else OTHER))
        name = row["name"].removeprefix("Spikinghash, ").removeprefix("budget ")
        axes.annotate(name, (x, y), textcoords="offset points", xytext=(4, 4), fontsize=7)
    axes.set_title(title, fontsize=9)
    axes.set(ylabel="mAP, test")
    axes.set_xlim(left=0)
