"""Single recordings, in any format: reading and checking them.

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
from pathlib import Path

from spikinghash.errors import RecordingError
from training.data.events import EVENT_DTYPE, Events, Recording, SensorSize, check_events, parse_sensor
from training.data.formats import aedat2, aedat4, arrays, bin40, prophesee, table
from training.data.formats.bin40 import BYTES_PER_EVENT, decode_events, encode_events, write_recording

__all__ = [
    "BYTES_PER_EVENT", "EVENT_DTYPE", "NMNIST_SENSOR", "SUFFIXES", "Events", "Recording", "SensorSize", "check_events",
    "decode_events", "encode_events", "load_recording", "parse_sensor", "read_recording", "write_recording",
]  # fmt: skip

NMNIST_SENSOR: SensorSize = (34, 34, 2)

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


def load_recording(path: str | Path, sensor_size: SensorSize | None = None) -> Recording:
    """Read and check the recording ``path``; its suffix names the format.

    Args:
        path: the file.
        sensor_size: width, height, polarities of the sensor, for files that do not tell it; what a file tells goes
            first. A ``.bin`` of which neither tells is taken for N-MNIST.

    Raises:
        RecordingError: the file cannot be read, is truncated or empty, its sensor is unknown, or it fails
            ``check_events``.
    """
    path = Path(path)
    if path.suffix.lower() not in _READERS:
        raise RecordingError(f"{path}: suffix {path.suffix!r} is no format of recordings; use {', '.join(SUFFIXES)}")
    try:
        events, told = _READERS[path.suffix.lower()](path)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}") from None
    sensor = told or sensor_size or (NMNIST_SENSOR if path.suffix.lower() == ".bin" else None)
    if sensor is None:
        raise RecordingError(f"{path}: it does not tell the size of its sensor; give its width and height")
    check_events(events, sensor, str(path))
    return Recording(events, sensor)


def read_recording(path: str | Path, sensor_size: SensorSize | None = None) -> Events:
    """The events of ``load_recording``, for callers that know the sensor."""
    return load_recording(path, sensor_size).events
