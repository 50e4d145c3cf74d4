"""The watchdog of Lava's processes: what it shares with Lava's own thread."""

import multiprocessing
import threading

from deploy.backends.lava.watchdog import Mailbox


def test_a_message_is_had_by_every_thread_that_looks_for_it() -> None:
    """Of a plain pipe the second reader would wait for ever."""
    ours, theirs = multiprocessing.Pipe()
    mailbox = Mailbox(ours)
    assert not mailbox.poll()
    theirs.send(("error", "trace"))
    found: list[object] = []
    start = threading.Barrier(4)

    def look() -> None:
        start.wait()
        while not mailbox.poll():
            pass
        found.append(mailbox.recv())

    threads = [threading.Thread(target=look, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [("error", "trace")] * 4
    mailbox.close()
    theirs.close()
    assert mailbox.poll()
    assert mailbox.recv() == ("error", "trace")
