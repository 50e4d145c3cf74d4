"""Event Stream (``.es``), read by the library ``event_stream`` of its authors. There y counts from the bottom."""

from pathlib import Path

import numpy as np

from spikinghash.errors import RecordingError, in_one_line
from spikinghash.extras import told_of_extras
from training.data.events import Asked, Decoded, pack_events

_KIND = "dvs"


def read(path: Path, _: Asked) -> Decoded:
    """Events of the file ``path``.

    Raises:
        MissingToolError: event_stream is not installed.
        RecordingError: the file is damaged, or holds no events of a DVS.
    """
    with told_of_extras():
        import event_stream
    try:
        decoder = event_stream.Decoder(str(path))
        if decoder.type != _KIND:
            raise RecordingError(f"{path}: a stream of type {decoder.type!r}; only {_KIND!r} is read")
        packets = [*decoder]
    except (RuntimeError, ValueError) as error:  # what the library makes of damaged files
        raise RecordingError(f"{path}: damaged, or no Event Stream: {in_one_line(error)}; copy it again") from None
    width, height = int(decoder.width), int(decoder.height)
    columns = {
        field: np.concatenate([packet[name] for packet in packets]) if packets else np.zeros(0, np.int64)
        for field, name in {"x": "x", "y": "y", "t": "t", "p": "on"}.items()
    }
    columns["y"] = height - 1 - columns["y"].astype(np.int64)
    return Decoded(pack_events(columns, str(path)), (width, height, 2))
