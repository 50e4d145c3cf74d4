"""Retrieval figures against brute force: every order of ties, or many random ones."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.retrieval import (
    DistanceCounts,
    average_precision,
    average_precision_at,
    count_distances,
    evaluate,
    hamming_distances,
    precision_recall,
    precision_within,
)

ranking = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6)
"""Items of one query: Hamming distance and relevance."""


def counts_of(items: list[tuple[int, bool]], bits: int = 3) -> DistanceCounts:
    distances, relevant = (np.array([column]) for column in zip(*items, strict=True))
    return count_distances(distances, relevant.astype(bool), bits)


def textbook_average_precision(hits: list[bool]) -> float:
    precisions = [sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit]
    return sum(precisions) / len(precisions) if precisions else 0.0


def every_order(items: list[tuple[int, bool]]) -> list[list[bool]]:
    """Relevance in rank order, for each order of the items that sorts them by distance (ties included)."""
    orders = itertools.permutations(items)
    return [[hit for _, hit in order] for order in orders if all(a[0] <= b[0] for a, b in itertools.pairwise(order))]


@given(ranking)
def test_average_precision_is_the_mean_over_every_order_of_ties(items: list[tuple[int, bool]]) -> None:
    expected = np.mean([textbook_average_precision(hits) for hits in every_order(items)])
    found = average_precision(counts_of(items))[0]
    if any(hit for _, hit in items):
        assert found == pytest.approx(expected, abs=1e-12)
    else:
        assert np.isnan(found)


@given(ranking, st.integers(1, 8))
def test_average_precision_at_k_is_the_mean_over_every_order_of_ties(items: list[tuple[int, bool]], k: int) -> None:
    expected = np.mean([textbook_average_precision(hits[:k]) for hits in every_order(items)])
    assert average_precision_at(counts_of(items), k)[0] == pytest.approx(expected, abs=1e-12)


@pytest.fixture(scope="module")
def large() -> tuple[np.ndarray, np.ndarray]:
    """Distances and relevance of 3 queries over 300 items; relevant items are nearer."""
    generator = np.random.default_rng(1)
    relevant = generator.random((3, 300)) < 0.3
    return generator.binomial(16, np.where(relevant, 0.45, 0.5)), relevant


@pytest.mark.parametrize("k", [10, 77, 300])
def test_figures_agree_with_random_tie_breaking(large: tuple[np.ndarray, np.ndarray], k: int) -> None:
    distances, relevant = large
    counts, generator, tries = count_distances(distances, relevant, 16), np.random.default_rng(2), 1000
    sampled = np.empty((tries, 3))
    for attempt in range(tries):
        order = np.lexsort((generator.random(distances.shape), distances))[:, :k]
        hits = np.take_along_axis(relevant, order, axis=1)
        precision = hits.cumsum(axis=1) / np.arange(1, k + 1)
        sampled[attempt] = (precision * hits).sum(axis=1) / np.maximum(hits.sum(axis=1), 1)
    error = sampled.std(axis=0) / np.sqrt(tries)
    assert np.all(error > 0)
    assert np.all(np.abs(sampled.mean(axis=0) - average_precision_at(counts, k)) < 5 * error)
    if k == distances.shape[1]:
        np.testing.assert_allclose(average_precision_at(counts, k), average_precision(counts))


def test_the_order_of_the_database_does_not_matter() -> None:
    """Sorting by distance alone would rank a database sorted by class far better than a reversed one."""
    codes, labels = np.zeros((100, 1), np.uint8), np.repeat([0, 1], 50)
    figures = [evaluate(codes[:1], labels[:1], codes, ordered, ks=(10,)) for ordered in (labels, labels[::-1])]
    assert figures[0] == figures[1]
    assert figures[0].mean_average_precision == pytest.approx(0.5, abs=0.03)


def test_hamming_distances_count_differing_bits() -> None:
    generator = np.random.default_rng(0)
    queries, database = (
        generator.integers(256, size=(5, 4)).astype(np.uint8),
        generator.integers(256, size=(7, 4)).astype(np.uint8),
    )
    bits = [np.unpackbits(codes, axis=1) for codes in (queries, database)]
    expected = [[int(sum(a != b)) for b in bits[1]] for a in bits[0]]
    assert hamming_distances(queries, database).tolist() == expected


def test_precision_within_a_radius_counts_empty_results_as_zero() -> None:
    relevant = np.array([[True, False, True], [True, True, True]])
    counts = count_distances(np.array([[0, 2, 3], [5, 4, 3]]), relevant, 8)
    assert precision_within(counts, 2) == (0.25, 0.5)


def test_precision_recall_curve_is_that_of_the_pairs_within_each_radius(large: tuple[np.ndarray, np.ndarray]) -> None:
    distances, relevant = large
    recalls, precisions = precision_recall(count_distances(distances, relevant, 16))
    for radius in range(17):
        found = distances <= radius
        hits = (found & relevant).sum()
        assert recalls[radius] == hits / relevant.sum()
        assert precisions[radius] == hits / found.sum() if found.any() else np.isnan(precisions[radius])


def test_perfect_codes_give_perfect_figures() -> None:
    labels = np.arange(40) % 4
    codes = np.array([[0x00], [0xFF], [0x0F], [0xF0]], np.uint8)[labels]
    figures = evaluate(codes[:8], labels[:8], codes[8:], labels[8:], ks=(8,))
    assert figures.mean_average_precision == pytest.approx(1)
    assert figures.mean_average_precision_at[8] == pytest.approx(1)
    assert (figures.precision_within_2, figures.empty_within_2) == (1.0, 0.0)
    assert figures.precision_curve[0] == 1.0
    assert figures.recall_curve[0] == 1.0


def test_queries_without_a_relevant_item_are_left_out() -> None:
    codes = np.array([[0], [1]], np.uint8)
    with_stranger = evaluate(codes, np.array([0, 7]), codes, np.array([0, 1]), ks=())
    assert (
        with_stranger.mean_average_precision
        == evaluate(codes[:1], np.array([0]), codes, np.array([0, 1]), ks=()).mean_average_precision
    )
    with pytest.raises(ValueError, match="no query has a relevant item"):
        evaluate(codes, np.array([7, 7]), codes, np.array([0, 1]))


def test_the_set_of_the_digits_takes_a_fraction_of_a_second() -> None:
    generator = np.random.default_rng(0)
    codes = generator.integers(256, size=(4500, 4)).astype(np.uint8)
    labels = generator.integers(10, size=4500)
    start = time.perf_counter()
    evaluate(codes[:500], labels[:500], codes[500:], labels[500:])
    assert time.perf_counter() - start < 2  # 0.2 s on one idle core
