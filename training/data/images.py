"""The data set of static images in one folder per class; ``stills`` says how an image becomes frames."""

from pathlib import Path

import numpy as np

from training.data.source import Rows, Source, class_folders
from training.data.stills import SUFFIXES, image_to_frames, read_image

_VERSION = 1  # raise it when the same images make other frames


def source(root: Path) -> Source:
    """The images below ``root``.

    Raises:
        RecordingError: there are none.
    """

    def rows(path: Path, time_steps: int, size: int) -> Rows:
        frames = image_to_frames(read_image(path, size), time_steps, str(path))
        return Rows(frames[None], np.zeros((1, 3), np.int64))

    def wanted(path: Path) -> bool:
        return path.suffix.lower() in SUFFIXES

    return class_folders(root, wanted, SUFFIXES, "images", rows, version=_VERSION)
