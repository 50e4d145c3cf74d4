"""Whether an index finds a recording again: each of a sample by itself, and by a copy that is a little different."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deploy.search.ranking import Find, Query
from deploy.search.searcher import Searcher
from spikinghash.errors import SearchError, SpikinghashError
from spikinghash.progress import track
from training.code_figures import expected_recall
from training.data.recordings import Recording
from training.data.views import view
from training.data.windows import clip

KS = (1, 10)


@dataclass(frozen=True)
class InstanceFigures:
    """Shares of recordings, each as a query. A view is a copy as ``training.data.views`` makes it."""

    views: int
    """Recordings that were asked for, each by itself and by one view."""
    itself_first: float
    """The recording itself is its own first answer, in the order of classes."""
    codes_recall_at_1: float
    """A view finds its recording by the codes alone, ties in random order."""
    codes_recall_at_10: float
    class_recall_at_1: float
    """A view finds its recording in the order of classes."""
    class_recall_at_10: float
    recording_recall_at_1: float
    """A view finds its recording in the order of recordings."""
    recording_recall_at_10: float


def evaluate_views(searcher: Searcher, count: int) -> tuple[InstanceFigures, list[str]]:
    """Ask for ``count`` recordings of an index, drawn at random; also a line for each that cannot be read any more.

    Raises:
        SearchError: none can be read, or the index has no thumbnails.
    """
    ids = searcher.manifest.codes()[1]
    generator = np.random.default_rng(0)
    chosen = np.sort(generator.choice(ids, min(count, len(ids)), replace=False)).tolist()
    rows, errors, manifest = [], [], searcher.manifest
    drawn = zip(chosen, manifest.entries(chosen), manifest.windows(chosen), strict=True)
    for id, (path, _), window in track(drawn, "views", len(chosen)):
        try:
            recording = clip(searcher.reader.whole(path), window)
            seen = Recording(view(recording.events, recording.sensor, generator), recording.sensor, recording.name)
            queries = [searcher.read(each) for each in (recording, seen)]
        except SpikinghashError as error:
            errors.append(str(error))
            continue
        rows.append(_found(searcher, id, *queries))
    if not rows:
        raise SearchError(f"none of the {len(chosen)} recordings that were drawn can be read any more: {errors[0]}")
    return InstanceFigures(len(rows), *np.mean(rows, axis=0).tolist()), errors


def _found(searcher: Searcher, id: int, itself: Query, seen: Query) -> Sequence[float]:
    """The figures of one recording, in the order of ``InstanceFigures``."""

    def among_first(query: Query, k: int, find: Find) -> float:
        return float(id in searcher.rank(query, k, None, find).ids)

    near = searcher.index.reached(seen.code, searcher.index.bits)
    own = near.distances[near.ids == id][0]
    nearer, tied = np.array([(near.distances < own).sum()]), np.array([(near.distances == own).sum()])
    return [
        among_first(itself, 1, "class"),
        *(float(expected_recall(nearer, tied, k)[0]) for k in KS),
        *(among_first(seen, k, "class") for k in KS),
        *(among_first(seen, k, "recording") for k in KS),
    ]
