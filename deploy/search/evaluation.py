"""How well the codes of an index tell the classes apart, and how much of the exact answer the index returns."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.search.index import CodeIndex, Codes, Ids
from spikinghash.errors import SearchError
from spikinghash.progress import track
from training.retrieval import (
    DistanceCounts,
    average_precision,
    chance,
    count_distances,
    hamming_distances,
    precision_within,
)

RADIUS = 2
RECALL_AT = 10
_RECALL_QUERIES = 200
_PAIRS = 1 << 24  # distances held at once, 8 bytes each


@dataclass(frozen=True)
class Queries:
    """Codes to search for, with their classes."""

    codes: Codes
    labels: list[str]
    own: NDArray[np.int64] | None = None
    """Leave-one-out: where each query itself stands among the items, shape (queries,)."""
    files: NDArray[np.int64] | None = None
    """With ``own``: the file of each item, (items,). All windows of a query's file are left out of its ranking."""


@dataclass(frozen=True)
class Evaluation:
    """Retrieval figures of an index. Queries that have no item of their class to find are left out of all of them."""

    queries: int
    items: int
    mean_average_precision: float
    """Tie-aware expected average precision, mean over the queries."""
    chance: float
    """The same of codes that are all alike: of items in random order."""
    precision_within_2: float
    """Precision among the items within Hamming distance 2; a query that finds nothing counts 0."""
    empty_within_2: float
    """Share of the queries that find nothing within Hamming distance 2."""
    recall_at_10: float
    """Share of the 10 nearest that the index returns, on up to 200 queries: 1 where the index is exact."""
    by_class: dict[str, dict[str, float]]
    """Of each class: ``queries``, ``items``, and the ``mean_average_precision`` of the queries."""
    left_out: dict[str, int]
    """Classes of queries that have no item to find, and how many queries these are."""


def evaluate_index(index: CodeIndex, codes: Codes, labels: list[str], queries: Queries) -> Evaluation:
    """Figures of ``queries`` against the items ``codes`` (N, K/8) with ``labels``, which ``index`` holds.

    Raises:
        SearchError: no query has an item of its class.
    """
    names = {label: number for number, label in enumerate(sorted({*labels, *queries.labels}))}
    item_classes, query_classes = (
        np.array([names[label] for label in some], np.int64) for some in (labels, queries.labels)
    )
    step = max(1, _PAIRS // max(1, len(codes)))
    parts = []
    for start in track(range(0, len(queries.codes), step), "evaluate", -(-len(queries.codes) // step)):
        chosen = np.arange(start, min(start + step, len(queries.codes)))
        parts.append(_count(queries, chosen, query_classes, codes, item_classes))
    counts = DistanceCounts(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("items", "relevant"))
    )
    known: NDArray[np.bool_] = counts.relevant.sum(axis=1) > 0
    if not known.any():
        raise SearchError(
            f"{len(queries.codes)} queries, {len(codes)} items: no query has an item of its class to find"
        )
    counts = DistanceCounts(counts.items[known], counts.relevant[known])
    precise = average_precision(counts)
    precision, empty = precision_within(counts, RADIUS)
    asked = [label for label, kept in zip(queries.labels, known.tolist(), strict=True) if kept]
    return Evaluation(
        queries=len(asked),
        items=len(codes),
        mean_average_precision=float(precise.mean()),
        chance=chance(counts),
        precision_within_2=precision,
        empty_within_2=empty,
        recall_at_10=recall(index, codes, queries.codes[known][:_RECALL_QUERIES], RECALL_AT),
        by_class=_by_class(precise, asked, labels),
        left_out=dict(Counter(label for label, kept in zip(queries.labels, known.tolist(), strict=True) if not kept)),
    )


def _by_class(precise: NDArray[np.float64], asked: list[str], items: list[str]) -> dict[str, dict[str, float]]:
    stored, names = Counter(items), np.array(asked)
    return {
        name: {
            "queries": int((names == name).sum()),
            "items": stored[name],
            "mean_average_precision": float(precise[names == name].mean()),
        }
        for name in sorted(set(asked))
    }


def recall(index: CodeIndex, codes: Codes, queries: Codes, k: int) -> float:
    """Share of the ``k`` nearest of ``codes`` (N, K/8), which ``index`` holds, that it returns.

    Any item at the k-th distance or nearer counts: ties are no fault.
    """
    k = min(k, len(codes))
    kth = np.partition(hamming_distances(queries, codes), k - 1, axis=1)[:, k - 1]
    found = index.search(queries, k)
    return float(np.mean([(one.distances <= limit).sum() / k for one, limit in zip(found, kth, strict=True)]))


def _count(queries: Queries, chosen: Ids, classes: Ids, codes: Codes, item_classes: Ids) -> DistanceCounts:
    """Items by distance from each of the ``chosen`` queries, without itself and the other windows of its file."""
    asked = queries.codes[chosen]
    distances, relevant = hamming_distances(asked, codes), classes[chosen][:, None] == item_classes
    counted = None
    if queries.own is not None:
        files = np.arange(len(codes)) if queries.files is None else queries.files
        counted = files[queries.own[chosen]][:, None] != files
    return count_distances(distances, relevant, 8 * asked.shape[1], counted)
