"""An opened index folder: recordings in, nearest recordings out."""

from dataclasses import dataclass
from pathlib import Path

from deploy.backends.encoders import load_encoder
from deploy.search.manifest import Manifest
from deploy.search.store import encoder_path, open_index
from training.data.recordings import Recording, SensorSize, load_recording


@dataclass(frozen=True)
class Hit:
    """A recording that was found."""

    id: int
    distance: int
    """Hamming distance in bits."""
    label: str
    """Its class."""
    path: Path
    """Absolute, as it was when the recording was encoded."""
    sensor: SensorSize | None = None
    """Sensor to read it with, if the file does not tell its own."""


@dataclass(frozen=True)
class Answer:
    """A query and what was found, ordered by (distance, id)."""

    name: str
    code: str
    """Lower-case hex."""
    recording: Recording
    """Its events and sensor."""
    hits: list[Hit]


class Searcher:
    """An index with its encoder. May be used from several threads at once."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        """Open the index ``folder``; a query is encoded on ``threads`` threads, 0 for all cores.

        Raises:
            SpikinghashError: it, or a part of it, cannot be used.
        """
        self.manifest = Manifest(folder)
        self._encoder = load_encoder(encoder_path(folder, self.manifest.facts), threads=threads)
        self.index = open_index(folder, self.manifest)

    def __len__(self) -> int:
        return len(self.index)

    def query(self, recording: Path, k: int | None = 10, radius: int | None = None, name: str | None = None) -> Answer:
        """The ``k`` recordings nearest to the file ``recording``, or with ``radius`` the (first ``k``) within it.

        Args:
            k: recordings to find at most; None for all within ``radius``.
            radius: Hamming distance in bits, inclusive.
            name: what the answer and messages call the query.

        Raises:
            RecordingError: the recording cannot be used.
            SearchError: ``k`` or ``radius`` cannot be.
        """
        sensor = self.manifest.facts.sensor
        read = load_recording(recording, sensor, name)
        code = self._encoder.encode(read.frames(self._encoder.time_steps, self._encoder.size)[None])
        if radius is None:
            found = self.index.search(code, 10 if k is None else k)[0]
        else:
            found = self.index.within(code, radius)[0]
        ids, distances = found.ids[:k].tolist(), found.distances[:k].tolist()
        hits = [
            Hit(id, distance, label, path, sensor)
            for id, distance, (path, label) in zip(ids, distances, self.manifest.entries(ids), strict=True)
        ]
        return Answer(name or recording.name, code.tobytes().hex(), read, hits)
