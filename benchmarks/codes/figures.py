"""What codes find, and what they tell apart: of validation queries, and of test queries where they are asked."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.codes.plan import Job
from deploy.search.faiss_index import FlatIndex
from deploy.search.ranking import FINDS, Find, Query, rank
from deploy.search.thumbnails import Thumbnails, make_thumbnails, query_thumbnails
from training.code_figures import code_entropy, effective_dimensions, instance_recall
from training.codes import Codes
from training.data.frames import Dataset
from training.data.splits import Indices, Split
from training.data.views import frame_views
from training.retrieval import evaluate

KS = (1, 10)


@dataclass(frozen=True)
class Searched:
    """A data set that is searched, with thumbnails, and copies of its queries."""

    labels: NDArray[np.int64]
    database: Indices
    queries: dict[str, Indices]
    """Of validation and test."""
    thumbnails: Thumbnails
    copies: list[Thumbnails]
    """Of each query, validation and test in a row."""

    @classmethod
    def of(cls, dataset: Dataset, sets: Split) -> "Searched":
        """That of ``dataset``: its database and queries, all of which are the first rows."""
        rows = np.arange(len(sets.database) + len(sets.validation) + len(sets.test))
        queries = {"validation": sets.validation, "test": sets.test}
        seen = frame_views(dataset.frames[np.concatenate([*queries.values()])], np.random.default_rng(0))
        thumbnails = make_thumbnails(dataset.frames[rows])
        return cls(dataset.labels[rows], sets.database, queries, thumbnails, [*map(query_thumbnails, seen)])


def figures(job: Job, searched: Searched, codes: Codes, copies: Codes) -> dict[str, Any]:
    """Figures of the codes of all recordings (rows, K/8) and of the copies of queries; of test queries if ``chosen``.

    Entropy, distinct codes and effective dimensions are also those of all recordings, most of which were trained on.
    """
    asked = ("validation", "test") if job.chosen else ("validation",)
    starts = {"validation": 0, "test": len(searched.queries["validation"])}
    found: dict[str, Any] = {"all": _told(codes)}
    for name in asked:
        rows = searched.queries[name]
        own = slice(starts[name], starts[name] + len(rows))
        database = codes[searched.database], searched.labels[searched.database]
        ranked = evaluate(codes[rows], searched.labels[rows], *database, ks=())
        found[name] = {
            "map": ranked.mean_average_precision,
            **_told(codes[rows]),
            "codes": [float(instance_recall(codes, copies[own], rows, k).mean()) for k in KS],
        }
        if job.chosen:
            found[name] |= _with_thumbnails(searched, codes, copies[own], searched.copies[own], rows)
    return found


def _told(codes: Codes) -> dict[str, float]:
    return {
        "recordings": len(codes),
        "distinct": len(np.unique(codes, axis=0)),
        "entropy": code_entropy(codes),
        "effective_dimensions": effective_dimensions(codes),
    }


def _with_thumbnails(
    searched: Searched, codes: Codes, copies: Codes, thumbnails: list[Thumbnails], rows: Indices
) -> dict[str, list[float]]:
    """By what is looked for, the share of copies that find their originals ``rows`` first, and among the first ten."""
    index = FlatIndex(8 * codes.shape[1])
    index.add(codes, np.arange(len(codes)))
    queries = [Query(*each) for each in zip(copies, thumbnails, strict=True)]

    def shares(find: Find) -> list[float]:
        found = [rank(index, searched.thumbnails, query, find, k=max(KS)).ids for query in queries]
        return [float(np.mean([row in ids[:k] for row, ids in zip(rows, found, strict=True)])) for k in KS]

    return {find: shares(find) for find in FINDS}
