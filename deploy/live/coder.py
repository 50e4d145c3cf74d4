"""Events of a window to a code, and to the recording of an index whose code is nearest."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploy.backends.encoders import Encoder, load_hasher
from deploy.search.searcher import Searcher
from deploy.search.store import sha256_of
from spikinghash.errors import RecordingError, SpikinghashError
from training.data.events import Events, SensorSize
from training.data.facts import DataFacts
from training.data.reader import Reader
from training.data.recordings import Recording


@dataclass(frozen=True)
class Nearest:
    """A recording of an index."""

    label: str
    distance: int
    """Hamming distance in bits."""
    path: str

    def __str__(self) -> str:
        return f"{self.label}  {self.distance}  {self.path}"


class Coder:
    """An encoder, and an index that was made with it. May be used from several threads at once."""

    def __init__(self, encoder: Encoder, searcher: Searcher | None = None) -> None:
        """Encode with ``encoder``, which is that of ``searcher`` where one is given."""
        self._encoder, self._searcher = encoder, searcher
        self._encoder.encode(np.zeros((1, self.time_steps, 2, encoder.size, encoder.size), np.uint8))  # loads kernels

    @property
    def reader(self) -> Reader:
        """How the recordings of the index were read, or those of the training."""
        return Reader.of(self.data) if self._searcher is None else self._searcher.reader

    @property
    def data(self) -> DataFacts | None:
        """What the encoder was trained on."""
        return self._encoder.data

    @property
    def time_steps(self) -> int:
        """Frames of a window, T."""
        return self._encoder.time_steps

    def encode(self, events: Events, sensor: SensorSize) -> tuple[str, Nearest | None] | None:
        """The code in hex, and the nearest recording; ``None`` if frames cannot be made of the events.

        Args:
            events: in order of time, on the sensor.
        """
        recording = Recording(events, sensor, crop=self.reader.crop)
        try:
            if self._searcher is None:
                frames = recording.frames(self._encoder.time_steps, self._encoder.size)
                return self._encoder.encode(frames[None])[0].tobytes().hex(), None
            query = self._searcher.read(recording)
        except RecordingError:  # too few events, or too close in time: all else was checked on arrival
            return None
        found = self._searcher.rank(query, 1, None, "class")
        entries = self._searcher.manifest.entries(found.ids.tolist())
        pairs = zip(entries, found.distances.tolist(), strict=True)
        nearest = [Nearest(label, distance, str(path)) for (path, label), distance in pairs]
        return query.code.tobytes().hex(), next(iter(nearest), None)


def load_coder(encoder: Path | None, index: Path | None, threads: int) -> Coder:
    """The encoder, by default that of ``index``, for ``threads`` threads.

    Raises:
        SpikinghashError: one of them cannot be used, or the index was made with another encoder.
    """
    if index is None:
        if encoder is None:
            raise SpikinghashError("no encoder: give --encoder FILE, or --index, which has one")
        return Coder(load_hasher(encoder, threads=threads))
    searcher = Searcher(index, threads=threads)
    facts = searcher.manifest.facts
    if encoder is not None and (digest := sha256_of(encoder)) != facts.encoder_sha256:
        raise SpikinghashError(
            f"{index}: holds codes of the encoder {facts.encoder_sha256[:12]}, but {encoder} is {digest[:12]}: "
            "leave --encoder out, or give another --index"
        )
    return Coder(searcher.encoder, searcher)
