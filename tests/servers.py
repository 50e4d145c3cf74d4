"""The search server, for the tests of what it answers and shows."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.search.serve import SearchServer


@contextmanager
def running(server: SearchServer) -> Iterator[SearchServer]:
    """``server``, in a thread."""
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield server
    server.should_exit = True
    thread.join()
