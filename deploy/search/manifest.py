"""What an index folder holds: every recording that is encoded, with its code and thumbnail, and by which encoder.

The manifest is an SQLite database, since its transactions are what the commands promise: a batch of codes is there
whole or not at all, whenever the process is killed, and a recording is there once. All other files of the folder can
be made anew from it.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from deploy.search import thumbnails
from deploy.search.files import RecordingFile
from deploy.search.index import Codes, Ids
from deploy.search.thumbnails import Thumbnails
from spikinghash.errors import SearchError
from training.data.recordings import SensorSize

FILE = "manifest.sqlite"
VERSION = 2
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
_CHANGED = "FROM recordings WHERE path = ?1 AND (size, modified) != (?2, ?3)"
_ASKED_AT_ONCE = 500  # SQLite limits the number of parameters of a statement
_READ_AT_ONCE = 10_000


class Facts(BaseModel):
    """What is true of all codes of an index."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    encoder: str
    """File name of the encoder's copy in the folder."""
    encoder_sha256: str
    bits: int
    kind: Annotated[str, BeforeValidator(lambda kind: "flat" if kind == "multi-hash" else kind)]
    """One of ``deploy.search.store.KINDS``. Folders of the former kind ``multi-hash`` hold what flat ones hold."""
    milvus: str | None = None
    """Address of the Milvus server, or a file for Milvus Lite."""
    sensor: SensorSize | None = None
    """Sensor of recordings that do not tell theirs."""
    thumbnails: int | None = None
    """Version of the thumbnails; None in a manifest of before there were any."""


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
        # The web page asks from several threads; sqlite3 serialises them.
        self._database = sqlite3.connect(self.path, timeout=60, check_same_thread=False, isolation_level=None)
        with self._told():
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (_WITHOUT_THUMBNAILS, VERSION):
                raise SearchError(
                    f"{self.path}: version {version}, this program reads versions {_WITHOUT_THUMBNAILS} and {VERSION}: "
                    "build it again"
                )
            text = self._database.execute("SELECT value FROM facts").fetchone()
        try:
            self.facts = Facts.model_validate_json(text[0] if text else "")
        except ValidationError as error:
            raise SearchError(f"{self.path}: damaged: {error.error_count()} wrong facts: build it again") from None
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
        with closing(sqlite3.connect(folder / FILE, timeout=60)) as database:
            try:
                return bool(database.execute("PRAGMA user_version").fetchone()[0])
            except sqlite3.Error:
                return True  # opening it tells what is wrong

    @classmethod
    def create(cls, folder: Path, facts: Facts) -> Self:
        """Make the manifest of ``folder``, or open what another process has just made."""
        folder.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(folder / FILE, timeout=60, isolation_level=None)
        try:
            with database:  # a transaction
                database.execute("BEGIN IMMEDIATE")
                if database.execute("PRAGMA user_version").fetchone()[0] == 0:
                    for statement in _SCHEMA.split(";"):
                        database.execute(statement)
                    database.execute("INSERT INTO facts VALUES (?)", (_of_this_version(facts).model_dump_json(),))
                    database.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.Error as error:
            raise SearchError(f"{folder / FILE}: cannot be made: {error}: give an empty folder") from None
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
            self._database.execute("UPDATE facts SET value = ?", (facts.model_dump_json(),))
            self._database.execute(f"PRAGMA user_version = {VERSION}")
        self.facts = facts

    def add(self, encoded: Iterable[tuple[RecordingFile, bytes, bytes]]) -> None:
        """Add recordings with their packed codes and thumbnails in one transaction.

        A recording that is there already stays as it is, unless its file has changed: then it gets the new code under a
        new id, and its old id is retired.
        """
        rows = [
            (str(source.path), source.size, source.modified, source.label, code, thumbnail)
            for source, code, thumbnail in encoded
        ]
        stamps = [row[:3] for row in rows]
        with self._told(), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(f"INSERT INTO retired SELECT id {_CHANGED}", stamps)
            self._database.executemany(f"DELETE {_CHANGED}", stamps)
            self._database.executemany(
                "INSERT OR IGNORE INTO recordings (path, size, modified, label, code, thumbnail) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )

    def add_thumbnails(self, made: Iterable[tuple[RecordingFile, bytes]]) -> None:
        """Give recordings that are there their thumbnails, in one transaction."""
        rows = [(thumbnail, str(source.path)) for source, thumbnail in made]
        with self._told(), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("UPDATE recordings SET thumbnail = ? WHERE path = ?", rows)

    def retired(self) -> Ids:
        """Ids of codes that an index may still hold and the manifest no longer does."""
        with self._told():
            rows = self._database.execute("SELECT id FROM retired ORDER BY id").fetchall()
        return np.array([id for (id,) in rows], np.int64)

    def codes(self) -> tuple[Codes, Ids]:
        """Packed codes (N, K/8) and ids (N,) of all recordings, in order of ids.

        Raises:
            SearchError: a code has the wrong length.
        """
        width = self.facts.bits // 8
        with self._told():
            rows = self._database.execute("SELECT id, code FROM recordings ORDER BY id").fetchall()
        wrong = next((id for id, code in rows if len(code) != width), None)
        if wrong is not None:
            raise SearchError(f"{self.path}: damaged: code {wrong} has not {width} bytes: build it again")
        codes = np.frombuffer(b"".join(code for _, code in rows), np.uint8).reshape(-1, width)
        return codes, np.array([id for id, _ in rows], np.int64)

    def thumbnails(self) -> Thumbnails:
        """Thumbnails of all recordings, (largest id + 1, 32): row i is that of id i, zero where there is none.

        Raises:
            SearchError: a thumbnail has the wrong length.
        """
        with self._told():
            last = self._database.execute("SELECT max(id) FROM recordings").fetchone()[0]
            found = np.zeros((1 + (last or 0), thumbnails.BYTES), np.uint8)
            if self.facts.thumbnails is None:
                return found
            rows = self._database.execute("SELECT id, thumbnail FROM recordings WHERE thumbnail IS NOT NULL")
            while part := rows.fetchmany(_READ_AT_ONCE):
                ids, packed = zip(*part, strict=True)
                if {len(one) for one in packed} != {thumbnails.BYTES}:
                    raise SearchError(
                        f"{self.path}: damaged: a thumbnail has not {thumbnails.BYTES} bytes: build it again"
                    )
                found[list(ids)] = np.frombuffer(b"".join(packed), np.uint8).reshape(-1, thumbnails.BYTES)
        return found

    def labels(self) -> list[str]:
        """Labels of all recordings, in order of ids."""
        with self._told():
            return [label for (label,) in self._database.execute("SELECT label FROM recordings ORDER BY id")]

    def entries(self, ids: Iterable[int]) -> list[tuple[Path, str]]:
        """Path and label of the recordings ``ids``, in their order."""
        statement = "SELECT path, label FROM recordings WHERE id = ?"
        with self._told():
            rows = [self._database.execute(statement, (int(id),)).fetchone() for id in ids]
        if None in rows:
            raise SearchError(f"{self.path}: a recording that was found has a new code since: open the index again")
        return [(Path(path), label) for path, label in rows]

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise SearchError(f"{self.path}: not a readable manifest: {error}: build it again") from None


def _of_this_version(facts: Facts) -> Facts:
    return facts.model_copy(update={"thumbnails": thumbnails.VERSION})
