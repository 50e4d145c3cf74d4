"""From event-camera recordings to binary hash codes on neuromorphic hardware.

    >>> import spikinghash
    >>> encoder = spikinghash.load("digits")
    >>> recording = spikinghash.read_events(spikinghash.example("7"))
    >>> encoder.encode(recording).shape  # packed: 32 bits
    (4,)

What is named here is imported when it is first used, so that nobody waits for what they do not need.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikinghash.api.encoders import Encoder as Encoder
    from spikinghash.api.encoders import load as load
    from spikinghash.api.making import export as export
    from spikinghash.api.making import report as report
    from spikinghash.api.making import train as train
    from spikinghash.api.recordings import read_events as read_events
    from spikinghash.api.recordings import to_frames as to_frames
    from spikinghash.api.search import Index as Index
    from spikinghash.api.search import hamming as hamming
    from spikinghash.errors import SpikinghashError as SpikinghashError
    from spikinghash.resources import example as example

_PLACES = {
    "Encoder": "api.encoders", "Index": "api.search", "SpikinghashError": "errors", "example": "resources",
    "export": "api.making", "hamming": "api.search", "load": "api.encoders", "read_events": "api.recordings",
    "report": "api.making", "to_frames": "api.recordings", "train": "api.making",
}  # fmt: skip
"""Where each name comes from."""

__version__ = "0.2.0"
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'spikinghash' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"spikinghash.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
