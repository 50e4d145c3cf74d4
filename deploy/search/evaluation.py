"""How well the codes of an index tell the classes apart, and how much of the exact answer the index returns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.search.index import CodeIndex, Codes, Ids
from spikinghash.errors import SearchError
from training.data.progress import track
from training.retrieval import DistanceCounts, average_precision, count_distances, hamming_distances, precision_within

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


@dataclass(frozen=True)
class Evaluation:
    """Retrieval figures of an index."""

    queries: int
    items: int
    mean_average_precision: float
    """Tie-aware expected average precision, mean over the queries that have a relevant item."""
    precision_within_2: float
    """Precision among the items within Hamming distance 2; a query that finds nothing counts 0."""
    empty_within_2: float
    """Share of the queries that find nothing within Hamming distance 2."""
    recall_at_10: float
    """Share of the 10 nearest that the index returns, on up to 200 queries: 1 where the index is exact."""


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
        chosen = slice(start, start + step)
        own = None if queries.own is None else queries.own[chosen]
        parts.append(_count(queries.codes[chosen], query_classes[chosen], codes, item_classes, own))
    if not any(part.relevant.any() for part in parts):
        raise SearchError(
            f"{len(queries.codes)} queries, {len(codes)} items: no query has an item of its class to find"
        )
    counts = DistanceCounts(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("items", "relevant"))
    )
    precision, empty = precision_within(counts, RADIUS)
    return Evaluation(
        queries=len(queries.codes),
        items=len(codes),
        mean_average_precision=float(np.nanmean(average_precision(counts))),
        precision_within_2=precision,
        empty_within_2=empty,
        recall_at_10=recall(index, codes, queries.codes[:_RECALL_QUERIES], RECALL_AT),
    )


def recall(index: CodeIndex, codes: Codes, queries: Codes, k: int) -> float:
    """Share of the ``k`` nearest of ``codes`` (N, K/8), which ``index`` holds, that it returns.

    Any item at the k-th distance or nearer counts: ties are no fault.
    """
    k = min(k, len(codes))
    kth = np.partition(hamming_distances(queries, codes), k - 1, axis=1)[:, k - 1]
    found = index.search(queries, k)
    return float(np.mean([(one.distances <= limit).sum() / k for one, limit in zip(found, kth, strict=True)]))


def _count(queries: Codes, classes: Ids, codes: Codes, item_classes: Ids, own: Ids | None) -> DistanceCounts:
    counts = count_distances(hamming_distances(queries, codes), classes[:, None] == item_classes, 8 * queries.shape[1])
    if own is None:
        return counts
    # A query is at distance 0 from itself and of its own class: take it out of both counts.
    itself = np.zeros_like(counts.items)
    itself[:, 0] = 1
    return DistanceCounts(counts.items - itself, counts.relevant - itself)
