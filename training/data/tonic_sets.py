"""DVS128 Gesture, CIFAR10-DVS and N-Caltech101, read by tonic's classes from a folder in tonic's layout.

Nothing is downloaded: the classes are told that their files are there, and it is an error if there are none.

- ``DVSGesture`` (Amir et al., CVPR 2017): 128x128 pixels, 11 gestures, an official test set (users 24 to 29).
- ``CIFAR10DVS`` (Li et al., Frontiers in Neuroscience 11:309, 2017): 128x128 pixels, 10 classes.
- ``NCALTECH101`` (Orchard et al., Frontiers in Neuroscience 9:437, 2015): 101 classes and the background; every
  recording has its own size, at most 240x180, and is shifted to the upper left corner by tonic.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.lib.recfunctions  # tonic's DVSGesture uses it without importing it
import tonic.datasets

from spikinghash.errors import RecordingError, in_one_line
from training.data.events import FIELDS, SensorSize, check_events, pack_events
from training.data.formats.aedat4 import check_header
from training.data.reader import Reader
from training.data.recordings import Recording
from training.data.source import Recordings, Source, class_labels, file_key, rows_of


@dataclass(frozen=True)
class _TonicSet:
    """One of tonic's data sets."""

    kind: type[Any]
    layout: str
    """Where the files are, below the folder that is named after the class."""
    pattern: str
    parts: tuple[dict[str, bool], ...] = ({},)
    """Arguments that open each part of the set; where there are two, the second is the official test set."""
    check: Callable[[Path], object] | None = None
    """What is looked at before tonic opens a file."""


SETS = {
    "dvsgesture": _TonicSet(
        tonic.datasets.DVSGesture,
        "ibmGestureTrain/userNN_LIGHT/CLASS.npy and ibmGestureTest/userNN_LIGHT/CLASS.npy",
        "ibmGesture*/user*/*.npy",
        ({"train": True}, {"train": False}),
    ),
    "cifar10dvs": _TonicSet(tonic.datasets.CIFAR10DVS, "CLASS/FILE.aedat4", "*/*.aedat4", check=check_header),
    "ncaltech101": _TonicSet(tonic.datasets.NCALTECH101, "Caltech101/CLASS/FILE.bin", "Caltech101/*/*.bin"),
}


def source(name: str, root: Path, reader: Reader) -> Source:
    """The data set ``name`` below ``root`` (the folder that tonic calls ``save_to``).

    Raises:
        RecordingError: it is not there.
    """
    layout = SETS[name]
    folder = root.expanduser() / layout.kind.__name__
    paths = sorted(folder.glob(layout.pattern))
    if not paths:
        raise RecordingError(
            f"{folder}: 0 recordings of {name} found; they are expected as {layout.layout}, as "
            f"tonic.datasets.{layout.kind.__name__}({str(root)!r}) downloads and unpacks them"
        )
    classes = getattr(layout.kind, "classes", sorted({path.parent.name for path in paths}))
    opened = functools.partial(_open, layout, root.expanduser(), reader)
    return Source({"files": file_key(paths, folder)}, opened, tuple(map(str, classes)))


def _open(layout: _TonicSet, root: Path, reader: Reader) -> Recordings:
    """All parts, each sorted by path: tonic lists files in the order of the file system."""
    parts = [_present(layout.kind)(save_to=str(root), **arguments) for arguments in layout.parts]
    found = sorted(
        (number, Path(path), index) for number, part in enumerate(parts) for index, path in enumerate(part.data)
    )
    base = root / layout.kind.__name__
    targets = [parts[number].targets[index] for number, _, index in found]
    labels = class_labels(targets) if isinstance(targets[0], str) else np.array(targets, np.int64)

    def read(index: int) -> Recording:
        number, path, position = found[index]
        return _read(parts[number], position, path, layout.check)

    ids = [path.relative_to(base).with_suffix("").as_posix() for _, path, _ in found]
    test = np.array([number == 1 for number, _, _ in found])
    official = test if test.any() and not test.all() else None
    return Recordings(labels, ids, rows_of(read, reader), official)


def _present(kind: type[Any]) -> type[Any]:
    """``kind`` without its look for all files of the whole set, after which it would download them."""
    return type(kind.__name__, (kind,), {"_check_exists": lambda self: True})


def _read(part: Any, position: int, path: Path, check: Callable[[Path], object] | None) -> Recording:
    if check is not None:
        check(path)
    try:
        events, _ = part[position]
    except BaseException as error:  # tonic raises all kinds, its AEDAT decoder panics
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        text = in_one_line(error)
        raise RecordingError(f"{path}: damaged: tonic says {text!r}; download the file again") from None
    packed = pack_events({field: events[field] for field in FIELDS}, str(path))
    corner = (int(packed[axis].max(initial=0)) + 1 for axis in "xy")
    sensor: SensorSize = part.sensor_size or (*corner, 2)
    check_events(packed, sensor, str(path))
    return Recording(packed, sensor, str(path))
