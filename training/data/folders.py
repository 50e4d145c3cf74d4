"""Own recordings in one folder per class: ``ROOT/CLASS/FILE``, in any format that ``recordings`` reads."""

from pathlib import Path

from training.data.events import SensorSize
from training.data.recordings import SUFFIXES, load_recording
from training.data.source import Recordings, Source, class_labels, file_key, files_in_classes, frames_of


def source(root: Path, sensor_size: SensorSize | None) -> Source:
    """The recordings below ``root``; ``sensor_size`` is for files that do not tell it.

    Raises:
        RecordingError: there are none.
    """
    paths = files_in_classes(root, SUFFIXES, "recordings")

    def open_recordings() -> Recordings:
        frames = frames_of(lambda index: load_recording(paths[index], sensor_size))
        ids = [path.relative_to(root).as_posix() for path in paths]
        return Recordings(class_labels([path.parent.name for path in paths]), ids, frames)

    return Source({"files": file_key(paths, root), "sensor": sensor_size}, open_recordings)
