"""Timing of calls that compete: they take turns, so that what else the machine does falls on all alike."""

import statistics
import time
from collections.abc import Callable, Sequence


def medians(calls: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median wall time of each of ``calls`` in seconds, after one warm-up."""
    for call in calls:
        call()
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, taken in zip(calls, times, strict=True):
            begin = time.perf_counter()
            call()
            taken.append(time.perf_counter() - begin)
    return [statistics.median(taken) for taken in times]
