"""What every live source is: an iterator over events as they come."""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from training.data.events import EVENT_DTYPE, FIELDS, Events, SensorSize, find_fields, pack_events

NOTHING: Events = np.empty(0, EVENT_DTYPE)
"""What a source gives when no event came for ``PATIENCE``, so that its reader can look at the clock."""
PATIENCE = 0.05
"""Seconds."""
PAUSE = 0.002
"""Seconds that packets are gathered, since handling each alone costs more than decoding it."""


def events_of(array: NDArray[Any], name: str) -> Events:
    """Events of a library's structured array, under any of the names that libraries give the fields.

    Raises:
        RecordingError: a value is no whole number or cannot be held; ``name`` is in the message.
    """
    names = find_fields(array.dtype.names or ())
    return pack_events({field: array[names[field]] for field in FIELDS}, name)


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
