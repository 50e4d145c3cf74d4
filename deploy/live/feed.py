"""A stream that is encoded in a thread, for any number of pages that look at it."""

import threading
from collections import deque
from itertools import islice
from types import TracebackType
from typing import Any, Self

from deploy.live.coded import Coded, coded, told
from deploy.live.coder import Coder
from deploy.live.pump import PENDING, Pump
from deploy.live.source import Source
from spikinghash.errors import SpikinghashError, in_one_line
from training.data.windows import Windows

KEPT = 100
"""The last windows, which a page that is opened late, or was cut off, still gets to see."""
_PATIENCE = 5.0
"""Seconds that a window which is being encoded may still take in the end."""


class Feed:
    """Windows of a source with their codes; encoded within ``with``, and read at any time."""

    def __init__(self, name: str, source: Source, windows: Windows, coder: Coder) -> None:
        """Prepare to read ``source``, which pages know as ``name``."""
        self.name, self.windows = name, windows
        self._source, self._coder = source, coder
        self._recent: deque[Coded] = deque(maxlen=KEPT)
        self._count = 0
        self._changing = threading.Lock()
        self._error: str | None = None
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def since(self, seen: int) -> dict[str, Any]:
        """What came after the first ``seen`` windows, fit for JSON.

        Returns:
            ``count``: windows encoded so far; ``windows``: the new ones, the last ``KEPT`` at most; ``dropped``: those
            that were not encoded; ``said``: what was left out; ``ended``: whether no more will come; ``error``: why, if
            the source failed.
        """
        ended = not self._thread.is_alive()  # first: what is read after it is complete
        with self._changing:
            count, recent = self._count, list(self._recent)
        new = islice(recent, max(0, len(recent) - count + seen) if seen <= count else 0, None)
        return {
            "count": count, "windows": [_described(each) for each in new], "dropped": self._pump.dropped,
            "said": told(self._pump, self._source), "ended": ended, "error": self._error,
        }  # fmt: skip

    def told(self) -> list[str]:
        """As ``deploy.live.coded.told``, and why the source failed, if it did."""
        failed = [] if self._error is None else [f"the stream has ended: {self._error}"]
        return told(self._pump, self._source) + failed

    def _run(self) -> None:
        try:
            for each in coded(iter(self._pump), self._coder):
                with self._changing:
                    self._recent.append(each)
                    self._count += 1
        except SpikinghashError as error:
            self._error = str(error)
        except Exception as error:
            self._error = f"it failed: {in_one_line(error)}"
            raise

    def __enter__(self) -> Self:
        self._source.__enter__()
        self._pump = Pump(self._source, self.windows, pending=PENDING, silence=0)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pump.__exit__(kind, error, trace)
        self._thread.join(_PATIENCE)
        self._source.__exit__(kind, error, trace)


def _described(each: Coded) -> dict[str, Any]:
    near = each.nearest
    nearest = None
    if near is not None:
        nearest = {"label": near.label, "distance": near.distance, "name": "/".join(near.path.split("/")[-2:])}
    return {
        "start": each.start, "end": each.end, "events": each.events, "code": each.code,
        "latency_ms": round(each.latency_ms, 3), "nearest": nearest,
    }  # fmt: skip
