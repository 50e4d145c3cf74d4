"""Retrieval figures for binary codes, exact in the presence of ties.

Hamming distances take few values, so most database items tie. Ranking ties in the order that a sort happens to leave
them makes a figure depend on the order of the database. Here a figure is its expected value over all orders of tied
items, each equally likely, in closed form: F. McSherry and M. Najork, "Computing information retrieval performance
measures efficiently in the presence of tied scores", ECIR 2008.

All figures are computed from ``DistanceCounts``: per query and distance, how many database items there are and how many
of them are relevant (of the query's class).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]
Labels = NDArray[np.int64]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class DistanceCounts:
    """Database items at each Hamming distance 0 to K from each query, shape (queries, K + 1)."""

    items: Integers
    relevant: Integers


@dataclass(frozen=True)
class RetrievalFigures:
    """The figures of one set of queries against one database."""

    mean_average_precision: float
    """Tie-aware expected average precision, mean over the queries that have a relevant item: the headline."""
    mean_average_precision_at: dict[int, float]
    """By k: mAP@k as the deep-hashing repositories define it; see ``average_precision_at``."""
    precision_within_2: float
    """Precision among the items within Hamming distance 2; a query that finds nothing counts 0."""
    empty_within_2: float
    """Share of the queries that find nothing within Hamming distance 2."""
    recall_curve: list[float]
    """Recall at each radius 0 to K."""
    precision_curve: list[float | None]
    """Precision at each radius 0 to K; ``None`` where nothing at all is retrieved."""
    chance: float
    """Mean average precision of codes that are all alike: that of items in random order."""
    by_class: dict[int, float]
    """Mean average precision of the queries of each class."""
    left_out: tuple[int, ...] = ()
    """Classes of queries that the database lacks; no figure counts these queries."""


def hamming_distances(queries: Codes, database: Codes) -> NDArray[np.int64]:
    """Hamming distances between packed codes of shapes (queries, K/8) and (items, K/8); shape (queries, items)."""
    distances = np.zeros((len(queries), len(database)), np.int64)
    for column in range(queries.shape[1]):
        distances += np.bitwise_count(queries[:, column, None] ^ database[:, column])
    return distances


def count_distances(
    distances: NDArray[np.integer], relevant: NDArray[np.bool_], bits: int, counted: NDArray[np.bool_] | None = None
) -> DistanceCounts:
    """Count the items at each distance.

    Args:
        distances: Hamming distances, 0 to ``bits``, shape (queries, items).
        relevant: which items are relevant to which query, same shape.
        bits: code length K.
        counted: items that are searched for each query, same shape; ``None``: all.
    """
    queries = len(distances)
    buckets = distances + np.arange(queries)[:, None] * (bits + 1)
    shape, length = (queries, bits + 1), queries * (bits + 1)
    searched = buckets.ravel() if counted is None else buckets[counted]
    items = np.bincount(searched, minlength=length).reshape(shape)
    found = relevant if counted is None else relevant & counted
    hits = np.bincount(buckets[found], minlength=length).reshape(shape)
    return DistanceCounts(items, hits)


def average_precision(counts: DistanceCounts) -> Floats:
    """Expected average precision of each query, shape (queries,); nan for a query without a relevant item.

    In a bucket of n items, r of them relevant, that follows N items, R of them relevant, an item at position i is
    relevant with probability r/n, and then has (i - 1)(r - 1)/(n - 1) relevant ones before it in the bucket on average.
    """
    total = counts.relevant.sum(axis=1)
    sums = _sum_of_precisions(counts.items, counts.relevant, *_ranked_before(counts)).sum(axis=1)
    return np.divide(sums, total, where=total > 0, out=np.full(len(total), np.nan))


def average_precision_at(counts: DistanceCounts, k: int) -> Floats:
    """Expected AP@k of each query in the deep-hashing repositories' convention (``CalcTopMap``), shape (queries,).

    The sum of the precisions at the hits among the first k items is divided by the number of these hits, not by the
    number of relevant items, and a query without a hit counts 0. So the figure does not fall when relevant items are
    missed, and is not comparable with ``average_precision``.

    Only in the bucket that holds the k-th item is the number of hits uncertain: it is hypergeometric, and the
    expectation is taken over it.
    """
    from scipy.stats import hypergeom  # slow to import, and exporting needs none

    k = min(k, int(counts.items[0].sum()))
    items_before, hits_before = _ranked_before(counts)
    sums_before = np.cumsum(_sum_of_precisions(counts.items, counts.relevant, items_before, hits_before), axis=1)
    cut = np.argmax(items_before + counts.items >= k, axis=1)[:, None]
    items, relevant, ahead, hits_ahead = (
        np.take_along_axis(array, cut, axis=1) for array in (counts.items, counts.relevant, items_before, hits_before)
    )
    earlier = np.where(cut > 0, np.take_along_axis(sums_before, np.maximum(cut - 1, 0), axis=1), 0.0)
    taken = k - ahead
    hits = np.arange(int(np.minimum(taken, relevant).max()) + 1)[None, :]
    sums = earlier + _sum_of_precisions(taken, hits, ahead, hits_ahead)
    chance = hypergeom.pmf(hits, items, relevant, taken)
    return np.asarray((chance * sums / np.maximum(hits_ahead + hits, 1)).sum(axis=1))


def precision_within(counts: DistanceCounts, radius: int) -> tuple[float, float]:
    """Mean precision within ``radius``, 0 for a query that finds nothing, and the share of such queries."""
    items, hits = (array[:, : radius + 1].sum(axis=1) for array in (counts.items, counts.relevant))
    return float((hits / np.maximum(items, 1)).mean()), float((items == 0).mean())


def precision_recall(counts: DistanceCounts) -> tuple[Floats, Floats]:
    """Recall and precision at each radius 0 to K, over the retrieved pairs of all queries together.

    Precision is nan where nothing is retrieved. Recall is nan where no item is relevant to any query.
    """
    items, hits = (array.sum(axis=0).cumsum().astype(np.float64) for array in (counts.items, counts.relevant))
    with np.errstate(invalid="ignore"):
        return hits / hits[-1], hits / items


def evaluate(
    query_codes: Codes,
    query_labels: Labels,
    database_codes: Codes,
    database_labels: Labels,
    ks: tuple[int, ...] = (100, 1000),
) -> RetrievalFigures:
    """All figures of a set of queries against a database; an item is relevant to the queries of its class.

    Queries of classes that the database lacks are left out of all figures.

    Args:
        query_codes: packed codes, shape (queries, K/8).
        query_labels: classes, shape (queries,).
        database_codes: packed codes, shape (items, K/8).
        database_labels: classes, shape (items,).
        ks: for which k to compute mAP@k.

    Raises:
        ValueError: a set is empty, or no query has a relevant item.
    """
    known = np.isin(query_labels, database_labels)
    left_out = tuple(np.unique(query_labels[~known]).tolist())
    if not known.any():
        raise ValueError(f"{len(query_labels)} queries, {len(database_labels)} items: no query has a relevant item")
    query_codes, query_labels = query_codes[known], query_labels[known]
    relevant = query_labels[:, None] == database_labels
    counts = count_distances(hamming_distances(query_codes, database_codes), relevant, 8 * query_codes.shape[1])
    precision, empty = precision_within(counts, 2)
    recalls, precisions = precision_recall(counts)
    precise = average_precision(counts)
    return RetrievalFigures(
        mean_average_precision=float(precise.mean()),
        mean_average_precision_at={k: float(average_precision_at(counts, k).mean()) for k in ks},
        precision_within_2=precision,
        empty_within_2=empty,
        recall_curve=recalls.tolist(),
        precision_curve=[None if np.isnan(value) else value for value in precisions.tolist()],
        chance=chance(counts),
        by_class=class_means(precise, query_labels),
        left_out=left_out,
    )


def chance(counts: DistanceCounts) -> float:
    """Mean average precision of the same items in random order, over the queries that have a relevant one."""
    together = DistanceCounts(*(value.sum(axis=1, keepdims=True) for value in (counts.items, counts.relevant)))
    return float(np.nanmean(average_precision(together)))


def class_means(values: Floats, labels: Labels) -> dict[int, float]:
    """Mean of ``values`` (queries,) over the queries of each class."""
    return {label: float(values[labels == label].mean()) for label in np.unique(labels).tolist()}


def _ranked_before(counts: DistanceCounts) -> tuple[Integers, Integers]:
    """Items, and relevant items, at smaller distances than each bucket's."""
    return counts.items.cumsum(axis=1) - counts.items, counts.relevant.cumsum(axis=1) - counts.relevant


def _sum_of_precisions(items: Integers, relevant: Integers, items_before: Integers, hits_before: Integers) -> Floats:
    """Expected sum of the precisions at the relevant items of a bucket in random order.

    With ``n, r, N, R`` for the arguments and ``h = 1/(N + 1) + ... + 1/(N + n)``, the sum over the positions i of
    ``r/n (R + 1 + (i - 1)(r - 1)/(n - 1)) / (N + i)`` is ``r/n ((R + 1) h + (r - 1)/(n - 1) (n - (N + 1) h))``.
    """
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, int((items_before + items).max()) + 1))])
    h = harmonic[items_before + items] - harmonic[items_before]
    slope = (relevant - 1) / np.maximum(items - 1, 1)
    sums = (hits_before + 1) * h + slope * (items - (items_before + 1) * h)
    return np.asarray(relevant / np.maximum(items, 1) * sums)
