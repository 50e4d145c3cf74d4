"""An opened index folder: recordings in, nearest recordings out."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.backends.encoders import Frames, load_hasher
from deploy.search.manifest import Manifest
from deploy.search.ranking import NEIGHBOURS, Find, Query, Ranking, rank
from deploy.search.store import encoder_path, open_index
from deploy.search.thumbnails import UNKNOWN, query_thumbnails
from spikinghash.errors import SearchError
from training.data.events import SensorSize
from training.data.facts import unlike
from training.data.reader import Reader, binned
from training.data.recordings import Recording


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
    reader: Reader = field(default_factory=Reader)
    """How its file is read."""
    difference: int | None = None
    """Of its thumbnail from the query's, 0 to 960; None if it has none."""
    window: tuple[int, int] | None = None
    """Start and end in microseconds since the file's first event; None: all of it."""


@dataclass(frozen=True)
class Answer:
    """A query and what was found, in the order of ``Find``."""

    name: str
    code: str
    """Lower-case hex."""
    recording: Recording
    """Its events and sensor: of the window that was asked for."""
    hits: list[Hit]
    choice: str = ""
    """One line: of how many candidates the hits are, ``10 of 64 at distance 0``."""
    find: Find = "class"
    """What was looked for."""
    frames: Frames | None = None
    """What the encoder saw, (T, 2, S, S)."""
    remarks: tuple[str, ...] = ()
    """Why the code may mean nothing."""


class Searcher:
    """An index with its encoder. May be used from several threads at once."""

    def __init__(
        self,
        folder: Path,
        threads: int = 0,
        *,
        sensor: SensorSize | None = None,
        stream: str | None = None,
        sort: bool = False,
    ) -> None:
        """Open the index ``folder``; a query is encoded on ``threads`` threads, 0 for all cores.

        Queries are read as the index's recordings were, with ``sensor``, ``stream`` and ``sort`` as asked for besides.

        Raises:
            SpikinghashError: it, or a part of it, cannot be used.
        """
        self.manifest = Manifest(folder)
        self.encoder = load_hasher(encoder_path(folder, self.manifest.facts), threads=threads)
        self.reader = self.manifest.facts.reader.asked(stream, sort, sensor)
        self.index = open_index(folder, self.manifest)
        self._thumbnails = self.manifest.thumbnails()
        self._bare = not self._thumbnails.any()

    def __len__(self) -> int:
        return len(self.index)

    def query(
        self,
        recording: Path,
        k: int | None = NEIGHBOURS,
        radius: int | None = None,
        name: str | None = None,
        find: Find = "class",
        at: float | None = None,
        sensor: SensorSize | None = None,
    ) -> Answer:
        """The ``k`` recordings nearest to the file ``recording``, or with ``radius`` the (first ``k``) within it.

        Args:
            k: recordings to find at most; None for all within ``radius``.
            radius: Hamming distance in bits, inclusive.
            name: what the answer and messages call the query.
            find: what decides on their order; see ``rank``.
            at: which window of a long recording to search for: the last that begins by so many seconds; by default the
                one in the middle.
            sensor: of a file that does not tell it; by default that of all queries.

        Raises:
            RecordingError: the recording cannot be used.
            SearchError: ``k`` or ``radius`` cannot be, or a recording is to be found and the index has no thumbnails.
        """
        return self._answers(recording, k, radius, name, (find,), at, sensor)[0]

    def both(
        self,
        recording: Path,
        k: int | None = NEIGHBOURS,
        radius: int | None = None,
        name: str | None = None,
        at: float | None = None,
    ) -> list[Answer]:
        """As ``query``: first for the class and then, where the index has thumbnails, for the recording."""
        return self._answers(recording, k, radius, name, ("class",) if self._bare else ("class", "recording"), at)

    def _answers(
        self,
        recording: Path,
        k: int | None,
        radius: int | None,
        name: str | None,
        modes: Sequence[Find],
        at: float | None,
        sensor: SensorSize | None = None,
    ) -> list[Answer]:
        encoder, reader = self.encoder, self.reader.asked(sensor=sensor)
        parts, stacked = binned(reader.read(recording, name), encoder.time_steps, encoder.size)
        starts = [(part.window or (0, 0))[0] / 1e6 for part in parts]
        chosen = len(parts) // 2 if at is None else max(0, sum(start <= at for start in starts) - 1)
        part, frames = parts[chosen], stacked[chosen]
        query = self.read_frames(frames)
        remarks = tuple(unlike(encoder.data, [part], frames[None]))
        if len(parts) > 1:
            remarks = (f"it has {len(parts)} windows; asked for is that from {starts[chosen]:g} s", *remarks)
        about = name or recording.name, query.code.tobytes().hex(), part
        found = [(find, self.rank(query, k, radius, find)) for find in modes]
        return [
            Answer(*about, self._hits(ranking), _choice(ranking, find), find, frames, remarks)
            for find, ranking in found
        ]

    def _hits(self, found: Ranking) -> list[Hit]:
        ids, reader, manifest = found.ids.tolist(), self.manifest.facts.reader, self.manifest
        columns = found.distances.tolist(), found.differences.tolist(), manifest.entries(ids), manifest.windows(ids)
        return [
            Hit(id, distance, label, path, reader, None if difference == UNKNOWN else difference, window)
            for id, distance, difference, (path, label), window in zip(ids, *columns, strict=True)
        ]

    def read(self, recording: Recording) -> Query:
        """Code and thumbnails of a recording, as it is.

        Raises:
            RecordingError: its events span too little time.
        """
        cropped = replace(recording, crop=self.reader.crop)
        return self.read_frames(cropped.frames(self.encoder.time_steps, self.encoder.size))

    def read_frames(self, frames: Frames) -> Query:
        """Code and thumbnails of frames (T, 2, S, S)."""
        return Query(self.encoder.encode(frames[None])[0], query_thumbnails(frames))

    def rank(self, query: Query, k: int | None, radius: int | None, find: Find) -> Ranking:
        """As ``deploy.search.ranking.rank``.

        Raises:
            SearchError: as ``query``.
        """
        if find == "recording" and self._bare:
            raise SearchError(
                f"{self.manifest.path.parent}: none of its {len(self)} recordings has a thumbnail, and only thumbnails "
                "tell recordings of one code apart: `build` on the same folder adds them, and encodes nothing anew"
            )
        return rank(self.index, self._thumbnails, query, find, k, radius)


def _choice(found: Ranking, find: Find) -> str:
    place = "at" if find == "class" else "within"
    bare = f", {found.bare} of them without a thumbnail: `build` on their folder adds it" if found.bare else ""
    return f"{found.chosen} of {found.candidates} {place} distance {found.radius}{bare}"
