"""What every live source is: an iterator over events as they come."""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np

from training.data.events import EVENT_DTYPE, Events, SensorSize

NOTHING: Events = np.empty(0, EVENT_DTYPE)
"""What a source gives when no event came for ``PATIENCE``, so that its reader can look at the clock."""
PATIENCE = 0.05
"""Seconds."""
PAUSE = 0.002
"""Seconds that packets are gathered, since handling each alone costs more than decoding it."""


class Source(AbstractContextManager["Source"], Protocol):
    """Events as they come. Its counts are read by another thread than that which iterates."""

    waits: bool
    """Whether it can be held back, as a file; a camera cannot."""
    lost: Counter[str]
    """What was left out, by what it was."""

    @property
    def sensor(self) -> SensorSize | None:
        """Known once the first events have come."""

    def __iter__(self) -> Iterator[Events]:
        """Events in any order, ``NOTHING`` if there are none for a moment; it ends where the source does."""
