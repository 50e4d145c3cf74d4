"""Work shared out among as many threads as torch computes with."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from itertools import pairwise
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

_LEAST = 1 << 19
"""Values that a simple loop takes a quarter of a millisecond for; another thread wakes in a tenth."""

_thread = threading.local()


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``[work(item) for item in items]``, in threads of which each has one core and records no gradients.

    What ``work`` calls has to let go of the interpreter's lock: torch's operations do, and Numba's with ``nogil``.
    """
    if getattr(_thread, "works", False):
        with torch.no_grad():
            return [work(item) for item in items]
    workers = min(torch.get_num_threads(), len(items))
    if workers < 2:
        with _one_core():
            return [work(item) for item in items]
    waiting, results = iter(range(len(items))), dict[int, Result]()

    def take() -> None:
        for index in waiting:  # one iterator for all: no two threads get the same index
            results[index] = work(items[index])

    # The caller works too: to wake one more thread and let this one sleep costs more than many a kernel takes.
    others = [_pool(workers - 1).submit(take) for _ in range(workers - 1)]
    try:
        with _one_core():
            take()
    finally:
        deque(waiting, maxlen=0)  # after an error nobody begins more
        wait(others)
    for other in others:
        other.result()
    return [results[index] for index in range(len(items))]


def shares(count: int, values: int) -> list[tuple[int, int]]:
    """``count`` things of so many values each in equal parts: the first of each part and the one after its last.

    There are as many parts as torch has threads, but no smaller ones than make up for waking a thread.
    """
    parts = max(1, min(torch.get_num_threads(), count, count * values // _LEAST))
    return list(pairwise(count * part // parts for part in range(parts + 1)))


def one_blas_thread() -> AbstractContextManager[object]:
    """While this is open, a BLAS of NumPy or SciPy keeps to the thread that it is called in, Numba's ``np.dot`` too."""
    return _blas().limit(limits=1)


@cache
def _blas() -> ThreadpoolController:
    import scipy.linalg.cython_blas  # noqa: F401  # the controller sees what is loaded

    return ThreadpoolController().select(user_api="blas")


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, "cores", _keep_to_one_core)


def _keep_to_one_core() -> None:
    _thread.works = True  # work that is shared out within work would wait for threads that wait for it
    torch.get_num_threads()  # the first call in a thread sets the number to that of the process
    torch.set_num_threads(1)  # of this thread, as is the next one
    torch.set_grad_enabled(False)


@contextmanager
def _one_core() -> Iterator[None]:
    """The calling thread as one of those that share the work."""
    threads = torch.get_num_threads()
    with torch.no_grad():
        _keep_to_one_core()
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            _thread.works = False
