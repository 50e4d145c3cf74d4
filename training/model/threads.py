"""Work shared out among as many threads as torch computes with."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_thread = threading.local()


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``[work(item) for item in items]``, in threads of which each has one core and records no gradients.

    What ``work`` calls has to let go of the interpreter's lock: torch's operations do, and Numba's with ``nogil``.
    """
    workers = torch.get_num_threads()
    if workers == 1 or len(items) < 2 or getattr(_thread, "works", False):
        with torch.no_grad():
            return [work(item) for item in items]
    return list(_pool(workers).map(work, items))


def shares(count: int) -> list[tuple[int, int]]:
    """``count`` things in as many equal parts as torch has threads: the first of each and the one after its last."""
    workers = torch.get_num_threads()
    return list(pairwise(count * worker // workers for worker in range(workers + 1)))


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, "cores", _on_one_core)


def _on_one_core() -> None:
    _thread.works = True  # work that is shared out within work would wait for threads that wait for it
    torch.get_num_threads()  # the first call in a thread sets the number to that of the process
    torch.set_num_threads(1)  # of this thread, as is the next one
    torch.set_grad_enabled(False)
