"""Single recordings, in any format: ``recording_frames`` is the one way from a file to an encoder's frames.

==========  ==========================================  ===========================  ==================
suffix      format                                      decoded by                   tells its sensor
==========  ==========================================  ===========================  ==================
.bin        40-bit events of N-MNIST                    tonic                        no (34x34 assumed)
.aedat      AEDAT 2.0 of DVS128, DAVIS240, DAVIS346     ``formats.aedat2``           yes
.aedat4     AEDAT 4.0                                   aedat                        yes
.raw        Prophesee EVT 2.0, EVT 3.0                  ``formats.prophesee``        mostly
.dat        Prophesee DAT                               ``formats.prophesee``        mostly
.npy        rows of x, y, t, p, or these fields         NumPy                        no
.csv        named columns x, y, t, p                    NumPy                        no
==========  ==========================================  ===========================  ==================
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.data.binning import events_to_frames
from training.data.events import EVENT_DTYPE, Events, SensorSize, check_events, parse_sensor
from training.data.formats import aedat2, aedat4, arrays, bin40, prophesee, table
from training.data.formats.bin40 import BYTES_PER_EVENT, decode_events, encode_events, write_recording

__all__ = [
    "BYTES_PER_EVENT", "EVENT_DTYPE", "NMNIST_SENSOR", "SUFFIXES", "Events", "Recording", "SensorSize", "check_events",
    "decode_events", "encode_events", "load_recording", "parse_sensor", "recording_frames", "write_recording",
]  # fmt: skip

NMNIST_SENSOR: SensorSize = (34, 34, 2)
MAX_BYTES = 256 * 2**20
"""A larger file is refused unread: its events, decoded, would take gigabytes."""

_READERS: dict[str, Callable[[Path], tuple[Events, SensorSize | None]]] = {
    ".bin": bin40.read,
    ".aedat": aedat2.read,
    ".aedat4": aedat4.read,
    ".raw": prophesee.read_raw,
    ".dat": prophesee.read_dat,
    ".npy": arrays.read,
    ".csv": table.read,
}
SUFFIXES = tuple(_READERS)
"""Suffixes of files that can be read."""


@dataclass(frozen=True)
class Recording:
    """Checked events and the sensor that they come from."""

    events: Events
    """Of dtype ``EVENT_DTYPE``, in order of time."""
    sensor: SensorSize
    name: str = "recording"
    """What messages call it."""

    def frames(self, time_steps: int, size: int) -> NDArray[np.uint8]:
        """Frames (T, 2, size, size) of zeros and ones; see ``events_to_frames``.

        Raises:
            RecordingError: the events span too little time.
        """
        return events_to_frames(self.events, self.sensor, time_steps, size, self.name)


def recording_frames(
    path: str | Path, time_steps: int, size: int, sensor_size: SensorSize | None = None
) -> NDArray[np.uint8]:
    """Frames (T, 2, size, size) of the recording ``path``; arguments and errors are those of ``load_recording``."""
    return load_recording(path, sensor_size).frames(time_steps, size)


def load_recording(path: str | Path, sensor_size: SensorSize | None = None, name: str | None = None) -> Recording:
    """Read and check the recording ``path``; its suffix names the format.

    Args:
        sensor_size: width, height, polarities of the sensor, for files that do not tell it; what a file tells goes
            first. A ``.bin`` of which neither tells is taken for N-MNIST.
        name: stands for the path in messages.

    Raises:
        RecordingError: the file cannot be read, is too large, truncated or empty, its sensor is unknown, or it fails
            ``check_events``.
    """
    path = Path(path)
    try:
        return Recording(*_read(path, sensor_size), name or str(path))
    except RecordingError as error:
        raise RecordingError(str(error).replace(str(path), name or str(path))) from None


def _read(path: Path, sensor_size: SensorSize | None) -> tuple[Events, SensorSize]:
    if path.suffix.lower() not in _READERS:
        raise RecordingError(f"{path}: suffix {path.suffix!r} is no format of recordings; use {', '.join(SUFFIXES)}")
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise RecordingError(f"{path}: not a file; give a recording ({', '.join(SUFFIXES)})")
        if size > MAX_BYTES:
            raise RecordingError(f"{path}: {size} bytes, at most {MAX_BYTES} are read; cut the recording into parts")
        events, told = _READERS[path.suffix.lower()](path)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}") from None
    sensor = told or sensor_size or (NMNIST_SENSOR if path.suffix.lower() == ".bin" else None)
    if sensor is None:
        raise RecordingError(f"{path}: it does not tell the size of its sensor; give its width and height")
    check_events(events, sensor, str(path))
    return events, sensor
