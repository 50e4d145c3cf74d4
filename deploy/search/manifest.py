"""What an index folder holds: every recording that is encoded, with its code and thumbnail, and by which encoder.

The manifest is an SQLite database, since its transactions are what the commands promise: a batch of codes is there
whole or not at all, whenever the process is killed, and a recording is there once. All other files of the folder can
be made anew from it.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from deploy.search import thumbnails
from deploy.search.files import RecordingFile
from deploy.search.index import Codes, Ids
from deploy.search.proof import row_seal, sum_of_codes
from deploy.search.thumbnails import Thumbnails
from spikinghash.errors import SearchError, in_one_line
from spikinghash.seal import sealed_json, verified_json
from spikinghash.validation import first_fault
from training.data.binning import Crop
from training.data.reader import Reader
from training.data.recordings import SensorSize
from training.data.windows import Windows

FILE = "manifest.sqlite"
VERSION = 2
_CUT = 3
"""The version of a manifest of windows: a recording has as many rows as windows."""
_WITHOUT_THUMBNAILS = 1
"""The version before, which is read as it is, and made one of this version where recordings are added."""

_SCHEMA = """
CREATE TABLE facts (value TEXT NOT NULL);
CREATE TABLE recordings (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, label TEXT NOT NULL,
    size INTEGER NOT NULL, modified INTEGER NOT NULL, code BLOB NOT NULL, thumbnail BLOB
);
CREATE TABLE retired (id INTEGER PRIMARY KEY);
"""
_SCHEMA_CUT = _SCHEMA.replace("UNIQUE,", ",").replace(
    "thumbnail BLOB\n", "thumbnail BLOB,\n    start INTEGER NOT NULL, stop INTEGER NOT NULL, UNIQUE (path, start)\n"
)
_PROOF = """
CREATE TABLE seals (id INTEGER PRIMARY KEY, seal BLOB NOT NULL);
CREATE TABLE total (codes INTEGER NOT NULL, thumbnails INTEGER NOT NULL);
"""
"""Seals of the recordings, the sum of all codes and that of all thumbnails.

Folders of former versions get them when they are written to.
"""
_ROW = "recordings.id, path, label, size, modified, code"
_ROW_CUT = "recordings.id, path, label, size, modified, start, stop, code"
_CHANGED = "FROM recordings WHERE path = ?1 AND (size, modified) != (?2, ?3)"
_ASKED_AT_ONCE = 500  # SQLite limits the number of parameters of a statement
_READ_AT_ONCE = 10_000
_MODULUS = 2**64
_REPAIR = "`deploy.search check --repair` tells and mends"
_UNWRITABLE = {
    sqlite3.SQLITE_FULL: "the disk is full: make room",
    sqlite3.SQLITE_READONLY: "it may not be written: make it writable",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: make its folder readable and writable",
    sqlite3.SQLITE_IOERR: "the disk fails or is full: make room",
    sqlite3.SQLITE_BUSY: "another process holds it: wait until it is done",
}
Row = tuple[Any, ...]
"""Values of ``_ROW``."""


class Facts(BaseModel):
    """What is true of all codes of an index."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    encoder: str
    """File name of the encoder's copy in the folder."""
    encoder_sha256: str
    bits: Annotated[int, Field(ge=8, le=2**16, multiple_of=8)]
    kind: Annotated[str, BeforeValidator(lambda kind: "flat" if kind == "multi-hash" else kind)]
    """One of ``deploy.search.store.KINDS``. Folders of the former kind ``multi-hash`` hold what flat ones hold."""
    milvus: str | None = None
    """Address of the Milvus server, or a file for Milvus Lite."""
    sensor: SensorSize | None = None
    """Sensor of recordings that do not tell theirs."""
    window_us: Annotated[int, Field(ge=1)] | None = None
    """Length of the windows that recordings are cut into; None: whole recordings."""
    hop_us: Annotated[int, Field(ge=1)] | None = None
    stream: str | None = None
    """Stream of events that is read, of recordings that have several."""
    sort: bool = False
    """Whether events are put in order however late they are."""
    crop: Crop | None = None
    """Which square of the sensor becomes the frame; absent in folders of before there was a choice."""
    thumbnails: int | None = None
    """Version of the thumbnails; None in a manifest of before there were any."""

    @property
    def windows(self) -> Windows | None:
        """How recordings are cut."""
        return Windows.of_us(self.window_us, self.hop_us)

    @property
    def reader(self) -> Reader:
        """How recordings are read, those that are asked for too."""
        return Reader(self.sensor, self.windows, self.stream, self.sort, self.crop)


class Manifest:
    """The open manifest of an index folder."""

    def __init__(self, folder: Path) -> None:
        """Open the manifest of ``folder``.

        Raises:
            SearchError: there is none, or it is damaged or of another version.
        """
        self.path = folder / FILE
        if not self.path.is_file():
            raise SearchError(f"{folder}: not an index: it has no {FILE}; make one with `build`")
        self._database = _opened(self.path)
        with self._told():
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (_WITHOUT_THUMBNAILS, VERSION, _CUT):
                raise SearchError(
                    f"{self.path}: version {version}, this program reads versions {_WITHOUT_THUMBNAILS} to {_CUT}: "
                    "build it again"
                )
            text = self._database.execute("SELECT value FROM facts").fetchone()
        try:
            self.facts = Facts.model_validate_json(verified_json(text[0] if text else ""))
        except (ValueError, TypeError) as error:
            why = first_fault(error) if isinstance(error, ValidationError) else error
            raise SearchError(f"{self.path}: damaged facts: {why}: build it again") from None
        if self.facts.thumbnails not in (None, thumbnails.VERSION):
            raise SearchError(
                f"{self.path}: thumbnails of version {self.facts.thumbnails}, this program makes and compares version "
                f"{thumbnails.VERSION}: build again in another folder"
            )

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether ``folder`` has a manifest; one whose making was killed is none."""
        if not (folder / FILE).is_file():
            return False
        with closing(_opened(folder / FILE)) as database:
            try:
                return bool(database.execute("PRAGMA user_version").fetchone()[0])
            except sqlite3.Error:
                return True  # opening it tells what is wrong

    @classmethod
    def create(cls, folder: Path, facts: Facts) -> Self:
        """Make the manifest of ``folder``, or open what another process has just made."""
        folder.mkdir(parents=True, exist_ok=True)
        database = _opened(folder / FILE)
        try:
            with database:  # a transaction
                database.execute("BEGIN IMMEDIATE")
                if database.execute("PRAGMA user_version").fetchone()[0] == 0:
                    schema = _SCHEMA if facts.windows is None else _SCHEMA_CUT
                    for statement in (schema + _PROOF).split(";"):
                        database.execute(statement)
                    database.execute("INSERT INTO total VALUES (0, 0)")
                    database.execute("INSERT INTO facts VALUES (?)", (_as_text(_of_this_version(facts)),))
                    database.execute(f"PRAGMA user_version = {VERSION if facts.windows is None else _CUT}")
        except sqlite3.Error as error:
            raise SearchError(f"{folder / FILE}: cannot be made: {in_one_line(error)}: give an empty folder") from None
        finally:
            database.close()
        return cls(folder)

    def __len__(self) -> int:
        with self._told():
            return int(self._database.execute("SELECT count(*) FROM recordings").fetchone()[0])

    def missing(self, sources: Sequence[RecordingFile]) -> list[RecordingFile]:
        """Those of ``sources`` that are not encoded yet, or whose files have changed since (size or time)."""
        return self._not_among(sources, "TRUE")

    def without_thumbnail(self, sources: Sequence[RecordingFile]) -> list[RecordingFile]:
        """Those of ``sources`` that have a code, made of the file as it is now, and no thumbnail."""
        encoded = set(sources).difference(self.missing(sources))
        bare = self._not_among(sources, "FALSE" if self.facts.thumbnails is None else "thumbnail IS NOT NULL")
        return [source for source in bare if source in encoded]

    def _not_among(self, sources: Sequence[RecordingFile], condition: str) -> list[RecordingFile]:
        """Those of ``sources`` that, as they are now, are not among the recordings for which ``condition`` holds."""
        known: dict[str, tuple[int, int]] = {}
        with self._told():
            for start in range(0, len(sources), _ASKED_AT_ONCE):
                paths = [str(source.path) for source in sources[start : start + _ASKED_AT_ONCE]]
                marks = ", ".join("?" * len(paths))
                rows = self._database.execute(
                    f"SELECT path, size, modified FROM recordings WHERE {condition} AND path IN ({marks})", paths
                )
                known.update((path, (size, modified)) for path, size, modified in rows)
        return [source for source in sources if known.get(str(source.path)) != (source.size, source.modified)]

    def hold_thumbnails(self) -> None:
        """Make a manifest of before there were thumbnails one that can hold them."""
        if self.facts.thumbnails is not None:
            return
        facts = _of_this_version(self.facts)
        with self._told(), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("ALTER TABLE recordings ADD COLUMN thumbnail BLOB")
            self._database.execute("UPDATE facts SET value = ?", (_as_text(facts),))
            self._database.execute(f"PRAGMA user_version = {VERSION}")
        self.facts = facts

    @property
    def _row(self) -> str:
        return _ROW if self.facts.windows is None else _ROW_CUT

    def add(
        self, encoded: Iterable[tuple[RecordingFile, bytes, bytes]], windows: Sequence[tuple[int, int]] | None = None
    ) -> None:
        """Add recordings with their packed codes and thumbnails in one transaction.

        In a manifest of windows each is a window of its file, with its start and end in ``windows``; all windows of a
        file are added at once.

        A recording that is there already stays as it is, unless its file has changed: then it gets the new code under
        a new id, and its old id is retired.
        """
        rows: list[tuple[Any, ...]] = [
            (str(source.path), source.size, source.modified, source.label, code, thumbnail)
            for source, code, thumbnail in encoded
        ]
        columns = "path, size, modified, label, code, thumbnail"
        if self.facts.windows is not None:
            columns += ", start, stop"
            rows = [(*row, *window) for row, window in zip(rows, windows or (), strict=True)]
        stamps = list(dict.fromkeys(row[:3] for row in rows))
        with self._told(), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            if not self._has_seals():
                self._seal_all()
            last = self._last_given()
            ask = f"SELECT id, code, thumbnail {_CHANGED}"
            gone = [row for stamp in stamps for row in self._database.execute(ask, stamp)]
            self._database.executemany(f"INSERT INTO retired SELECT id {_CHANGED}", stamps)
            self._database.executemany(f"DELETE {_CHANGED}", stamps)
            marks = ", ".join("?" * len(columns.split(",")))
            self._database.executemany(f"INSERT OR IGNORE INTO recordings ({columns}) VALUES ({marks})", rows)
            self._seal(last, gone)

    def add_thumbnails(
        self, made: Iterable[tuple[RecordingFile, bytes]], windows: Sequence[tuple[int, int]] | None = None
    ) -> None:
        """Give recordings that are there, or their ``windows``, their thumbnails, in one transaction."""
        rows: list[tuple[Any, ...]] = [(thumbnail, str(source.path)) for source, thumbnail in made]
        which = "path = ?"
        if self.facts.windows is not None:
            which = "path = ? AND start = ?"
            rows = [(*row, start) for row, (start, _) in zip(rows, windows or (), strict=True)]
        with self._told(), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            if not self._has_seals():
                self._seal_all()
            ask = f"SELECT id, thumbnail FROM recordings WHERE {which}"
            before = [row for _, *place in rows for row in self._database.execute(ask, place)]
            self._database.executemany(f"UPDATE recordings SET thumbnail = ? WHERE {which}", rows)
            after = [row for _, *place in rows for row in self._database.execute(ask, place)]
            self._count(0, self._sum_of_thumbnails(after) - self._sum_of_thumbnails(before))

    def retired(self) -> Ids:
        """Ids of codes that an index may still hold and the manifest no longer does."""
        with self._told():
            rows = self._database.execute("SELECT id FROM retired ORDER BY id").fetchall()
        return np.array([id for (id,) in rows], np.int64)

    def codes(self) -> tuple[Codes, Ids]:
        """Packed codes (N, K/8) and ids (N,) of all recordings, in order of ids.

        Raises:
            SearchError: a row is damaged.
        """
        with self._told():
            return self._packed([(row[0], row[-1]) for row in map(self._whole, self._rows("ORDER BY recordings.id"))])

    def total(self) -> int | None:
        """The ``sum_of_codes`` that was kept of all recordings; ``None`` in a folder of a former version."""
        with self._told():
            return self._totals()[0] if self._has_seals() else None

    def thumbnails(self) -> Thumbnails:
        """Thumbnails of all recordings, (largest id + 1, 32): row i is that of id i, zero where there is none.

        Raises:
            SearchError: a thumbnail is damaged.
        """
        total = 0
        with self._told():
            last = self._database.execute("SELECT max(id) FROM recordings").fetchone()[0]
            if last and last > self._last_given():
                raise SearchError(f"{self.path}: recording {last} is damaged: {_REPAIR}")
            found = np.zeros((1 + (last or 0), thumbnails.BYTES), np.uint8)
            if self.facts.thumbnails is None:
                return found
            rows = self._database.execute("SELECT id, thumbnail FROM recordings WHERE thumbnail IS NOT NULL")
            while part := rows.fetchmany(_READ_AT_ONCE):
                packed, ids = self._packed(part, thumbnails.BYTES)
                if not ((ids > 0) & (ids < len(found))).all():
                    raise SearchError(f"{self.path}: its largest id is not the largest: {_REPAIR}")
                found[ids] = packed
                total += sum_of_codes(packed, ids)
            if self._has_seals() and total % _MODULUS != self._totals()[1]:
                raise SearchError(f"{self.path}: thumbnails are damaged: {_REPAIR}")
        return found

    def damaged(self) -> list[int]:
        """Ids of recordings that are not as they were written, as far as they have seals, or have no whole code."""
        with self._told():
            return [row[0] for row, whole in self._rows("ORDER BY recordings.id") if not whole]

    def mend(self, damaged: Sequence[int]) -> None:
        """Forget the recordings ``damaged``, so that the next build encodes them anew, and seal all others.

        Where thumbnails are damaged all are forgotten, which the next build makes anew, too.
        """
        try:
            self.thumbnails()
            whole = True
        except SearchError:
            whole = False
        with self._told(), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("DELETE FROM recordings WHERE id = ?", [(id,) for id in damaged])
            self._database.executemany("INSERT OR IGNORE INTO retired VALUES (?)", [(id,) for id in damaged])
            if not whole:
                self._database.execute("UPDATE recordings SET thumbnail = NULL")
            self._seal_all()

    def faults(self) -> list[str]:
        """What SQLite finds wrong with the file itself."""
        with self._told():
            found = [str(line) for (line,) in self._database.execute("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within the context, all that is read is of one moment."""
        with self._told():
            self._database.execute("BEGIN")
        try:
            yield
        finally:
            self._database.rollback()

    def labels(self) -> list[str]:
        """Labels of all recordings, in order of ids."""
        with self._told():
            return [label for (label,) in self._database.execute("SELECT label FROM recordings ORDER BY id")]

    def files(self) -> list[str]:
        """Paths of all recordings, in order of ids; a file that is cut is there once for each window."""
        with self._told():
            return [path for (path,) in self._database.execute("SELECT path FROM recordings ORDER BY id")]

    def windows(self, ids: Iterable[int]) -> list[tuple[int, int] | None]:
        """Start and end of the recordings ``ids`` in microseconds since their files' first events; None: all of it."""
        if self.facts.windows is None:
            return [None for _ in ids]
        ask = "SELECT start, stop FROM recordings WHERE id = ?"
        with self._told():
            return [self._database.execute(ask, (int(id),)).fetchone() for id in ids]

    def entries(self, ids: Sequence[int]) -> list[tuple[Path, str]]:
        """Path and label of the recordings ``ids``, in their order."""
        with self._told():
            among = json.dumps(ids)
            rows = self._rows("WHERE recordings.id IN (SELECT value FROM json_each(?))", among)
            found = {id: (Path(path), label) for id, path, label, *_ in map(self._whole, rows)}
        if not found.keys() >= set(ids):
            raise SearchError(f"{self.path}: a recording that was found has a new code since: open the index again")
        return [found[id] for id in ids]

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _rows(self, which: str, *values: object) -> Iterator[tuple[Row, bool]]:
        """Rows of the recordings, and whether each is as it was sealed and has a whole code."""
        sealed, width = self._has_seals(), self.facts.bits // 8
        seal, join = ("seal", "LEFT JOIN seals USING (id)") if sealed else ("NULL", "")
        for *row, kept in self._database.execute(f"SELECT {self._row}, {seal} FROM recordings {join} {which}", values):
            yield tuple(row), _is_packed(row[-1], width) and (not sealed or kept == row_seal(row))

    def _whole(self, checked: tuple[Row, bool]) -> Row:
        row, whole = checked
        if not whole:
            raise SearchError(f"{self.path}: recording {row[0]} is damaged: {_REPAIR}")
        return row

    def _last_given(self) -> int:
        """The largest id that was ever given."""
        return int(self._database.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()[0])

    def _has_seals(self) -> bool:
        return bool(self._database.execute("SELECT 1 FROM sqlite_master WHERE name = 'seals'").fetchone())

    def _seal_all(self) -> None:
        """Seal everything anew, within a transaction."""
        for statement in (*(f"DROP TABLE IF EXISTS {table}" for table in ("seals", "total")), *_PROOF.split(";")):
            self._database.execute(statement)
        self._database.execute("INSERT INTO total VALUES (0, 0)")
        self._seal(-1, [])

    def _seal(self, last: int, gone: Sequence[Row]) -> None:
        """Seal the recordings behind the id ``last``, and drop the seals of those ``gone``: id, code, thumbnail."""
        thumbnail = "NULL" if self.facts.thumbnails is None else "thumbnail"
        rows = self._database.execute(
            f"SELECT {self._row}, {thumbnail} FROM recordings WHERE id > ?", (last,)
        ).fetchall()
        self._database.executemany("DELETE FROM seals WHERE id = ?", [row[:1] for row in gone])
        self._database.executemany("INSERT INTO seals VALUES (?, ?)", [(row[0], row_seal(row[:-1])) for row in rows])
        there = [(row[0], *row[-2:]) for row in rows]
        codes = [sum_of_codes(*self._packed([row[:2] for row in part])) for part in (there, gone)]
        pictures = [self._sum_of_thumbnails([(row[0], row[2]) for row in part]) for part in (there, gone)]
        self._count(codes[0] - codes[1], pictures[0] - pictures[1])

    def _sum_of_thumbnails(self, rows: Sequence[Row]) -> int:
        return sum_of_codes(*self._packed([row for row in rows if row[1] is not None], thumbnails.BYTES))

    def _count(self, codes: int, pictures: int) -> None:
        """Add to the sums of all codes and of all thumbnails."""
        wholes = [total + change for total, change in zip(self._totals(), (codes, pictures), strict=True)]
        signed = [(whole + _MODULUS // 2) % _MODULUS - _MODULUS // 2 for whole in wholes]  # as SQLite's integers are
        self._database.execute("UPDATE total SET codes = ?, thumbnails = ?", signed)

    def _totals(self) -> tuple[int, int]:
        row = self._database.execute("SELECT codes, thumbnails FROM total").fetchone()
        if not row or not all(isinstance(value, int) for value in row):
            raise SearchError(f"{self.path}: its sums are damaged: {_REPAIR}")
        return row[0] % _MODULUS, row[1] % _MODULUS

    def _packed(self, rows: Sequence[Row], width: int | None = None) -> tuple[Codes, Ids]:
        """Codes, or other values of ``width`` bytes, and ids."""
        width = width or self.facts.bits // 8
        if (wrong := next((id for id, value in rows if not _is_packed(value, width)), None)) is not None:
            raise SearchError(f"{self.path}: recording {wrong} is damaged: {_REPAIR}")
        packed = np.frombuffer(b"".join(value for _, value in rows), np.uint8).reshape(-1, width)
        return packed, np.array([id for id, _ in rows], np.int64)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if primary in _UNWRITABLE:
                remedy = f"{_UNWRITABLE[primary]}, then run the same again: it goes on where it was"
                raise SearchError(f"{self.path}: {remedy} ({in_one_line(error)})") from None
            raise SearchError(f"{self.path}: not a readable manifest: {in_one_line(error)}: build it again") from None
        except UnicodeDecodeError:  # of a text, or of SQLite's own message that cites one
            raise SearchError(f"{self.path}: not a readable manifest: a text is not UTF-8: build it again") from None


def _opened(path: Path) -> sqlite3.Connection:
    """The database ``path``, made if it is not there.

    Raises:
        SearchError: it may not be read, or the folder may not be written to.
    """
    try:
        # The web page asks from several threads; sqlite3 serialises them.
        return sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
    except sqlite3.Error as error:
        why = f"{in_one_line(error)}: see who may read and write it"
        raise SearchError(f"{path}: cannot be opened: {why}, or use another folder") from None


def _of_this_version(facts: Facts) -> Facts:
    return facts.model_copy(update={"thumbnails": thumbnails.VERSION})


def _as_text(facts: Facts) -> str:
    return sealed_json(facts.model_dump_json())


def _is_packed(value: object, width: int) -> bool:
    return isinstance(value, bytes) and len(value) == width
