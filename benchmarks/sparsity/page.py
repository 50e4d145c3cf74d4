"""The page docs/sparsity.md, its picture, and the figures behind them as JSON."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.results.plan import DatasetName
from benchmarks.sparsity.jobs import Record
from spikinghash.files import atomic_path

TITLES: dict[DatasetName, str] = {"digits": "digits", "nmnist": "N-MNIST"}
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

![mAP over operations](sparsity.png)
"""


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


PANELS: dict[str, Callable[[Row], list[float]]] = {
    "operations per recording (M)": lambda row: [each / 1e6 for each in row["natural"]],
    "energy at 7 nm, weights once (µJ)": lambda row: [
        each["cmos_7nm all steps"] * 1e6 for each in row.get("energy", ()) if each
    ],
}


def draw(table: Sequence[Row], path: Path) -> None:
    """MAP over operations and over energy, a row per data set; bars reach from the lowest to the highest seed."""
    shown = [dataset for dataset in TITLES if any(row["dataset"] == dataset for row in table)]
    figure = Figure(figsize=(5.2 * len(PANELS), 4 * len(shown)), layout="constrained")
    for line, dataset in zip(figure.subplots(len(shown), len(PANELS), squeeze=False), shown, strict=True):
        for axes, (label, values) in zip(line, PANELS.items(), strict=True):
            for row in (row for row in table if row["dataset"] == dataset and values(row)):
                x, y = statistics.mean(values(row)), statistics.mean(row["map"])
                error = [[y - min(row["map"])], [max(row["map"]) - y]]
                axes.errorbar(x, y, error, **(SPIKING if row["spiking"][0] else OTHER))
                axes.annotate(row["name"], (x, y), textcoords="offset points", xytext=(5, 5), fontsize=7)
            axes.set(xscale="log", title=TITLES[dataset], xlabel=label, ylabel="mAP, test")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
