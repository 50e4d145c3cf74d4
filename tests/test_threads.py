"""Work in threads: all of it done, in order, without side effects on the caller."""

import threading

import pytest
import torch

from training.model.threads import in_threads


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_without_gradients_from_threads_of_one_core(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    weight = torch.ones(2, requires_grad=True)
    barrier = threading.Barrier(threads, timeout=30)

    def work(item: int) -> tuple[float, bool, int]:
        if item < threads:
            barrier.wait()  # only with so many threads at once does this end
        result = weight * item
        return float(result.sum()), result.requires_grad, torch.get_num_threads()

    try:
        results = in_threads(work, range(20))
        assert torch.get_num_threads() == threads
        assert (weight * 1).requires_grad
    finally:
        torch.set_num_threads(before)
    assert results == [(2.0 * item, False, 1) for item in range(20)]


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda item: 1 // item, [1, 0, 1])
