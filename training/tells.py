"""What a training tells before it starts and when it is done."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.config import Config
from training.data.facts import FULL, DataFacts
from training.data.frames import Dataset
from training.data.splits import Indices, Split
from training.retrieval import DistanceCounts, chance

SUGGESTED_START = "nmnist"
"""A network of real event recordings: with few recordings of one's own, a better beginning than random weights."""


def count_rows(dataset: Dataset, rows: Indices) -> str:
    """How many recordings, or windows of how many recordings, ``rows`` are."""
    files = len({dataset.files[row] for row in rows.tolist()})
    if len(set(dataset.files)) == len(dataset):
        return f"{len(rows):,} recording{'s' * (len(rows) != 1)}"
    return f"{len(rows):,} windows of {files:,} recording{'s' * (files != 1)}"


def before(config: Config, dataset: Dataset, sets: Split, facts: DataFacts) -> Iterator[str]:
    """Classes, what was skipped, the split, chance, and how full the frames are: a line each."""
    labels = dataset.labels
    for label in np.unique(labels).tolist():
        parts = {"train": sets.training, "validation": sets.validation, "test": sets.test}
        counts = ", ".join(f"{name} {np.count_nonzero(labels[part] == label):,}" for name, part in parts.items())
        name, own = dataset.name(label), np.flatnonzero(labels == label)
        yield f"class {name}: {count_rows(dataset, own)} ({counts})"
    yield from (f"skipped: {line}" for line in dataset.skipped)
    for name, part in (
        ("database", sets.database),
        ("validation queries", sets.validation),
        ("test queries", sets.test),
    ):
        yield f"{name}: {count_rows(dataset, part)}"
    if unasked := sorted(set(labels.tolist()) - set(labels[sets.test].tolist())):
        yield f"test queries: none of {', '.join(map(dataset.name, unasked))}, of which the test figure says nothing"
    shared = {dataset.files[row] for row in sets.validation.tolist()} & {dataset.files[row] for row in sets.database}
    if shared:
        yield (
            f"validation: the last windows of {len(shared)} recordings that are trained on, since their classes have "
            "no other: its figure flatters, that of the test does not"
        )
    yield f"chance: a mAP of {chance_of(labels, sets):.3f}"
    if facts.fill is not None:
        low, middle, high = facts.fill
        told = f"frames: {middle:.1%} of the pixels is on (1 % to 99 %: {low:.1%} to {high:.1%})"
        yield told + ("; that is much: try spikinghash windows" if middle > FULL else "")
    if config.train.start is None and config.data.name == "folder" and len(sets.training) < 2000:
        yield f'train.start is not set: few recordings learn better from a network: start = "{SUGGESTED_START}"'


def chance_of(labels: Indices, sets: Split) -> float:
    """Mean average precision of the test queries where the database is in random order; 0 without a relevant item."""
    counts = Counter(labels[sets.database].tolist())
    relevant = np.array([[counts[label]] for label in labels[sets.test].tolist() if counts[label]])
    return chance(DistanceCounts(np.full_like(relevant, len(sets.database)), relevant)) if len(relevant) else 0.0


def after(checkpoint: Path, folder: Path | None) -> Iterator[str]:
    """The next three commands."""
    encoder, place = checkpoint.with_name("encoder.onnx"), folder or "DIR"
    yield "next:"
    yield f"  spikinghash evaluate {checkpoint}"
    yield f"  spikinghash to-onnx {checkpoint} -o {encoder}"
    yield f"  spikinghash search build {place} --encoder {encoder} --index {checkpoint.with_name('idx')}"
