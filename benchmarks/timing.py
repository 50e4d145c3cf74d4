"""Timing of calls that compete: they take turns, so that what else the machine does falls on all alike."""

import resource
import statistics
import time
from collections.abc import Callable, Sequence


def seconds_of_children() -> float:
    """CPU seconds of the processes that this one has started and that have ended: other programs do not count."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


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
