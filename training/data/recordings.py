"""Single recordings, in any format of ``FORMATS``: ``load_recording`` is the one way from a file to events."""

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError, in_one_line
from spikinghash.files import as_path
from training.data.binning import Crop, events_to_frames
from training.data.events import (
    EVENT_DTYPE,
    IN_TRAINING,
    Asked,
    Decoded,
    Events,
    SensorSize,
    are_right,
    check_events,
    check_sensor,
    order_events,
    parse_sensor,
)
from training.data.formats import aedat2, aedat4, arrays, bin40, event_stream, hdf5, matlab, prophesee, ros, table
from training.data.formats.bin40 import BYTES_PER_EVENT, decode_events, encode_events, write_recording

__all__ = [
    "BYTES_PER_EVENT", "EVENT_DTYPE", "NMNIST_SENSOR", "SUFFIXES", "Events", "Recording", "SensorSize", "check_events",
    "decode_events", "encode_events", "is_recording", "load_recording", "parse_sensor",
    "write_recording",
]  # fmt: skip

NMNIST_SENSOR: SensorSize = (34, 34, 2)
MAX_BYTES = 256 * 2**20
"""A larger file is refused unread: its events, decoded, would take gigabytes."""


@dataclass(frozen=True)
class Format:
    """A format of event files."""

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, Asked], Decoded]
    decoder: str
    """Whose code decodes it."""
    sensor: str
    """Whether a file tells the size of its sensor."""


FORMATS = (
    Format("40-bit events of N-MNIST", (".bin",), bin40.read, "this project", "no: 34x34 assumed"),
    Format("AEDAT 2.0 and 3.1 of DVS128, DAVIS240, DAVIS346", (".aedat",), aedat2.read, "this project", "mostly"),
    Format("AEDAT 4.0", (".aedat4",), aedat4.read, "aedat", "yes"),
    Format("Prophesee EVT 2.0, EVT 2.1, EVT 3.0", (".raw",), prophesee.read_raw, "this project", "mostly"),
    Format("Prophesee DAT", (".dat",), prophesee.read_dat, "this project", "mostly"),
    Format("an array of rows x, y, t, p, or with these fields", (".npy",), arrays.read, "NumPy", "no"),
    Format("an array for each of x, y, t, p", (".npz",), arrays.read_npz, "NumPy", "no"),
    Format("named columns, or lines of t, x, y, p", (".csv", ".txt"), table.read, "NumPy", "seldom"),
    Format("HDF5 of DSEC's and RPG's layout, or Prophesee's", (".h5", ".hdf5"), hdf5.read, "h5py", "seldom"),
    Format("Event Stream", (".es",), event_stream.read, "event_stream", "yes"),
    Format("MATLAB to version 7: aedat of AedatTools, columns", (".mat",), matlab.read, "SciPy", "mostly"),
    Format("bags of ROS 1 and 2: dvs_msgs, event_camera_msgs", (".bag", ".db3", ".mcap"), ros.read, "rosbags", "yes"),
)
_READERS = {suffix: one.read for one in FORMATS for suffix in one.suffixes}
SUFFIXES = tuple(_READERS)
"""Suffixes of files that can be read."""


def is_recording(path: Path) -> bool:
    """Whether a file in a folder is a recording: by its suffix; a .txt, often a note, if it starts with a digit.

    A file that is named itself is read whatever it starts with.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or not path.is_file():
        return False
    if suffix != ".txt":
        return True
    with path.open("rb") as file:
        return file.read(1).isdigit()


@dataclass(frozen=True)
class Recording:
    """Checked events and the sensor that they come from."""

    events: Events
    """Of dtype ``EVENT_DTYPE``, in order of time."""
    sensor: SensorSize
    name: str = "recording"
    """What messages call it."""
    notes: tuple[str, ...] = ()
    """What was left out, put in order or assumed, each a line."""
    window: tuple[int, int] | None = None
    """Start and end in microseconds since the first event of its file; ``None``: all of the file."""
    crop: Crop | None = None
    """Which square of the sensor becomes the frame; see ``training.data.binning``."""

    @property
    def span(self) -> int:
        """Microseconds from the first event to the last."""
        return int(self.events["t"][-1] - self.events["t"][0])

    def frames(self, time_steps: int, size: int) -> NDArray[np.uint8]:
        """Frames (T, 2, size, size) of zeros and ones; see ``events_to_frames``.

        Raises:
            RecordingError: the events span too little time.
        """
        return events_to_frames(self.events, self.sensor, time_steps, size, self.name, self.crop)


def load_recording(
    path: str | Path,
    sensor_size: SensorSize | None = None,
    name: str | None = None,
    *,
    stream: str | None = None,
    sort: bool = False,
) -> Recording:
    """Read and check the recording ``path``; its suffix names the format.

    Events that are a little out of order are put in order; the recording's ``notes`` tell it.

    Args:
        sensor_size: width, height, polarities of the sensor, for files that do not tell it; what a file tells goes
            first. A ``.bin`` of which neither tells is taken for N-MNIST.
        name: stands for the path in messages.
        stream: name or number of the stream of events to read, where a file has several.
        sort: put events in order however late they are.

    Raises:
        RecordingError: the file cannot be read, is too large, truncated or empty, its sensor is unknown or absurd, or
            it fails ``check_events``.
    """
    path = as_path(path)
    try:
        decoded = _read(path, Asked(sensor_size, stream))
        sensor = decoded.sensor or sensor_size or (NMNIST_SENSOR if path.suffix.lower() == ".bin" else None)
        if sensor is None:
            raise RecordingError(
                f"{path}: it does not tell the size of its sensor; give it: --sensor WIDTHxHEIGHT ({IN_TRAINING})"
            )
        check_sensor(sensor, str(path))
        events, notes = decoded.events, decoded.notes
        if not are_right(events, sensor):
            events, more = order_events(events, str(path), any_step=sort)
            check_events(events, sensor, str(path))
            notes += more
    except RecordingError as error:
        raise RecordingError(str(error).replace(str(path), name or str(path))) from None
    return Recording(events, sensor, name or str(path), notes)


def _read(path: Path, asked: Asked) -> Decoded:
    if path.suffix.lower() not in _READERS:
        raise RecordingError(f"{path}: suffix {path.suffix!r} is no format of recordings; use {', '.join(SUFFIXES)}")
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise RecordingError(f"{path}: not a file; give a recording ({', '.join(SUFFIXES)})")
        if found.st_size > MAX_BYTES:
            raise RecordingError(
                f"{path}: {found.st_size} bytes, at most {MAX_BYTES} are read; cut the recording into parts"
            )
        return _READERS[path.suffix.lower()](path, asked)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, OverflowError) as error:  # numbers that nothing can hold
        raise RecordingError(f"{path}: damaged: {in_one_line(error)}; copy or record it again") from None
