"""The one door from a file to what an encoder takes: read, checked, cut into windows, binned."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import RecordingError
from spikinghash.files import as_path
from training.data.binning import Crop
from training.data.facts import DataFacts
from training.data.recordings import SUFFIXES, Recording, SensorSize, is_recording, load_recording
from training.data.stills import PICTURES, Still, load_still
from training.data.windows import Windows

INPUTS = (*SUFFIXES, *PICTURES)
"""Suffixes of all that ``Reader`` reads."""


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, by its suffix."""
    return path.suffix.lower() in PICTURES


def is_input(path: Path) -> bool:
    """Whether a file in a folder is a recording or a picture."""
    return is_recording(path) or (is_picture(path) and path.is_file())


@dataclass(frozen=True)
class Reader:
    """How files are read and cut."""

    sensor: SensorSize | None = None
    """Of files that do not tell it."""
    windows: Windows | None = None
    """``None``: a file is one recording."""
    stream: str | None = None
    """Name or number of the stream of events to read, where a file has several."""
    sort: bool = False
    """Put events in order however late they are."""
    crop: Crop | None = None
    """Which square of the sensor becomes the frame."""

    @classmethod
    def of(cls, facts: DataFacts | None, sensor: SensorSize | None = None, windows: Windows | None = None) -> "Reader":
        """As the recordings were read that a network was trained on; ``sensor`` and ``windows`` go first."""
        facts = facts or DataFacts()
        return cls(sensor or facts.sensor_size, windows or facts.windows, crop=facts.crop)

    def asked(
        self,
        stream: str | None = None,
        sort: bool = False,
        sensor: SensorSize | None = None,
        crop: Crop | None = None,
    ) -> "Reader":
        """As this one, with what is asked for besides."""
        stream = self.stream if stream is None else stream
        sensor, crop = sensor or self.sensor, crop or self.crop
        return replace(self, stream=stream, sort=self.sort or sort, sensor=sensor, crop=crop)

    def whole(self, path: str | Path, name: str | None = None) -> Recording:
        """The recording or picture ``path``, uncut; arguments and errors are those of ``load_recording``."""
        path = as_path(path)
        if is_picture(path):
            return load_still(path, name)
        return self._cropped(load_recording(path, self.sensor, name, stream=self.stream, sort=self.sort))

    def cut(self, recording: Recording) -> list[Recording]:
        """The windows of ``recording``, or itself, to be cropped as asked; a picture has none.

        Raises:
            RecordingError: it is shorter than a window.
        """
        if isinstance(recording, Still):
            return [recording]
        cropped = self._cropped(recording)
        return [cropped] if self.windows is None else self.windows.cut(cropped)

    def read(self, path: str | Path, name: str | None = None) -> list[Recording]:
        """The windows of the recording ``path``.

        Raises:
            RecordingError: it cannot be used.
        """
        return self.cut(self.whole(path, name))

    def _cropped(self, recording: Recording) -> Recording:
        return recording if recording.crop == self.crop else replace(recording, crop=self.crop)


def binned(parts: Sequence[Recording], time_steps: int, size: int) -> tuple[list[Recording], NDArray[np.uint8]]:
    """Frames (windows, T, 2, size, size) of the windows of one recording, and these windows.

    A window whose events are too few or too close in time is left out, unless no other is there.

    Raises:
        RecordingError: none can be used.
    """
    kept, frames, why = [], [], ""
    for part in parts:
        try:
            frames.append(part.frames(time_steps, size))
            kept.append(part)
        except RecordingError as error:
            why = str(error)
    if not kept:
        raise RecordingError(why if len(parts) == 1 else f"none of its {len(parts)} windows can be used: {why}")
    return kept, np.stack(frames)
