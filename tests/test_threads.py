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


def test_work_within_work_is_done_in_the_same_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # also within the threads
    names = in_threads(lambda _: set(in_threads(lambda _: threading.current_thread().name, range(3))), range(8))
    assert all(len(inner) == 1 for inner in names)
    assert len(set.union(*names)) <= 2


def test_threads_keep_to_one_core_when_the_process_gets_more() -> None:
    before = torch.get_num_threads()
    try:
        for threads in (3, 4, 3):
            torch.set_num_threads(threads)
            found = in_threads(
                lambda _: (torch.ones(200, 200) @ torch.ones(200, 200), torch.get_num_threads())[1], range(9)
            )
            assert found == [1] * 9
    finally:
        torch.set_num_threads(before)
