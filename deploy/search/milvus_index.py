"""An index on a Milvus server, for more codes than one machine compares; the bytes of the codes are the same.

The server holds every distinct code once, the ids that have it are kept here: the answers are those of the index in
memory. ``BIN_FLAT`` is exact. ``BIN_IVF_FLAT`` looks into the ``probes`` of ``lists`` cells that are nearest to the
query, so that its recall has to be measured on one's own codes. Milvus returns at most 16,384 codes per search; larger
answers are put together from searches over parts of the range of codes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.search.code_lists import CodeLists
from deploy.search.distinct_index import DistinctIndex, Near
from deploy.search.index import Codes, Ids, check_new
from deploy.search.milvus_connection import connect
from spikinghash.errors import SearchError, in_one_line
from spikinghash.files import atomic_path, read_file
from spikinghash.seal import parse_json
from spikinghash.validation import first_fault

MilvusKind = Literal["BIN_FLAT", "BIN_IVF_FLAT"]
Hit = tuple[int, str]
"""Distance and key of a code."""

LARGEST_LISTS = 2**16
"""As many as Milvus takes."""
_LIMIT = 16_384  # codes that one search returns at most
_BATCH = 10_000  # codes sent at once
_LISTS = ".npz"
"""Suffix of the file with the ids, beside that of the settings."""


class MilvusSettings(BaseModel):
    """Where a collection is and how it is indexed; what ``MilvusIndex.save`` writes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    version: Literal[2] = 2
    uri: str
    """``http://HOST:19530``, or a file name that ends in .db for Milvus Lite."""
    collection: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$")]
    bits: Annotated[int, Field(ge=8, le=2**16, multiple_of=8)]
    kind: MilvusKind = "BIN_FLAT"
    lists: Annotated[int, Field(ge=1, le=LARGEST_LISTS)] = 1024
    """Cells of ``BIN_IVF_FLAT``; about 4 times the root of the number of codes."""
    probes: Annotated[int, Field(ge=1, le=LARGEST_LISTS)] = 32
    """Cells of ``BIN_IVF_FLAT`` that a search looks into."""
    former: str | None = None
    """Collection of version 1, with a code for every id; dropped when this one is saved."""


class MilvusIndex(DistinctIndex):
    """A collection of distinct codes on a Milvus server; made if it is not there."""

    def __init__(self, settings: MilvusSettings, lists: CodeLists | None = None) -> None:
        super().__init__(CodeLists(settings.bits) if lists is None else lists)
        self.settings = settings
        self._bare: list[Codes] = []
        self._name = settings.collection
        self._client = connect(settings.uri)
        with self._told():
            if self._client.has_collection(self._name):
                self._check_collection()
            else:
                self._create_collection()
            self._client.load_collection(self._name)
        self._settle()
        if self._held() < len(self._lists.distinct):  # the server has lost some
            self._send(self._lists.distinct)

    def add(self, codes: Codes, ids: Ids) -> None:
        """As ``CodeIndex`` says; a lost connection may leave codes on the server that no id has."""
        added = CodeLists(self.bits)
        added.add(codes, ids)
        added.settle()
        check_new(ids, self.lacking(ids))
        self._settle()
        self._send(added.distinct[self._lists.places(added.distinct) < 0])
        self._lists.add(codes, ids)

    def remove(self, ids: Ids) -> int:
        """As ``CodeIndex`` says; codes that no id has any more leave the server when the index is saved."""
        removed, bare = self._lists.remove(ids)
        self._bare.append(bare)
        return removed

    def save(self, path: Path) -> None:
        """Write where the collection is, and beside it the ids; the codes are kept by the server.

        What is not needed any more leaves the server last: a code that is listed here is there, whenever this ends.
        """
        with self._told():
            self._client.flush(self._name)
        self._lists.save(path.with_suffix(_LISTS))
        settings, former = self.settings.model_copy(update={"former": None}), self.settings.former
        with atomic_path(path) as temporary:
            temporary.write_text(settings.model_dump_json(indent=1) + "\n", encoding="utf-8")
        with self._told():
            for codes in self._bare:
                self._forget(codes[self._lists.places(codes) < 0])
            if former is not None:
                self._client.drop_collection(former)
        self.settings, self._bare = settings, []

    @classmethod
    def load(cls, path: Path) -> Self:
        """Connect to the collection that ``save`` described; ids that are not beside it are to be added again."""
        try:
            settings = MilvusSettings.model_validate(_of_this_version(parse_json(read_file(path))))
        except (OSError, ValueError, KeyError) as error:
            why = first_fault(error) if isinstance(error, ValidationError) else in_one_line(error)
            raise SearchError(f"{path}: not a readable Milvus index: {why}: build it again") from None
        lists = path.with_suffix(_LISTS)
        return cls(settings, CodeLists.load(lists) if lists.exists() else None)

    def drop(self) -> None:
        """Delete the collection from the server."""
        with self._told():
            self._client.drop_collection(self._name)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _held(self) -> int:
        """Codes on the server."""
        with self._told():
            rows = self._client.query(self._name, filter="", output_fields=["count(*)"])
        return int(rows[0]["count(*)"])

    def _send(self, codes: Codes) -> None:
        with self._told():
            for start in range(0, len(codes), _BATCH):
                part = codes[start : start + _BATCH]
                self._client.upsert(self._name, [{"id": _key(code), "code": code.tobytes()} for code in part])

    def _forget(self, codes: Codes) -> None:
        for start in range(0, len(codes), _BATCH):
            self._client.delete(self._name, ids=[_key(code) for code in codes[start : start + _BATCH]])

    def _nearest_codes(self, queries: Codes, asked: int) -> list[tuple[Near, bool]]:
        asked = min(asked, _LIMIT)
        return [(self._near(hits), len(hits) < asked) for hits in self._search(queries, asked)]

    def _codes_within(self, query: Codes, radius: int) -> Near:
        return self._near(self._all_within(query, radius))

    def _near(self, hits: list[Hit]) -> Near:
        """By distance; codes that no id has are left out."""
        hits = sorted(hits)
        codes = np.frombuffer(bytes.fromhex("".join(key for _, key in hits)), np.uint8).reshape(-1, self.bits // 8)
        distances, places = np.array([distance for distance, _ in hits], np.int64), self._lists.places(codes)
        return distances[places >= 0], places[places >= 0]

    def _all_within(self, query: Codes, radius: int, low: str = "", high: str = "g") -> list[Hit]:
        """All codes of the server within ``radius`` whose keys lie from ``low`` to before ``high``."""
        (found,) = self._search(query[None], _LIMIT, radius, f'id >= "{low}" and id < "{high}"')
        if len(found) < _LIMIT:
            return found
        # As many as Milvus returns, perhaps not all. The median of their keys is a fair place to part the range.
        middle = sorted(key for _, key in found)[len(found) // 2]
        return self._all_within(query, radius, low, middle) + self._all_within(query, radius, middle, high)

    def _search(self, queries: Codes, limit: int, radius: int | None = None, keys: str = "") -> list[list[Hit]]:
        parameters: dict[str, int] = {"nprobe": self.settings.probes} if self.settings.kind == "BIN_IVF_FLAT" else {}
        if radius is not None:
            parameters |= {"range_filter": 0, "radius": radius + 1}  # Milvus: range_filter <= d < radius
        with self._told():
            answers = self._client.search(
                self._name,
                [query.tobytes() for query in queries],
                filter=keys,
                limit=limit,
                search_params={"metric_type": "HAMMING", "params": parameters},
            )
        return [[(int(hit["distance"]), str(hit["id"])) for hit in hits] for hits in answers]

    def _create_collection(self) -> None:
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=self.bits // 4)
        schema.add_field("code", DataType.BINARY_VECTOR, dim=self.bits)
        indexes = self._client.prepare_index_params()
        lists = {"nlist": self.settings.lists} if self.settings.kind == "BIN_IVF_FLAT" else {}
        indexes.add_index("code", index_type=self.settings.kind, metric_type="HAMMING", params=lists)
        # Strong: a search sees every code that was added before it.
        try:
            self._client.create_collection(self._name, schema=schema, index_params=indexes, consistency_level="Strong")
        except Exception:
            self._client.drop_collection(self._name)  # it would be left there without its index
            raise

    def _check_collection(self) -> None:
        from pymilvus import DataType

        fields = {field["name"]: field for field in self._client.describe_collection(self._name)["fields"]}
        bits = fields.get("code", {}).get("params", {}).get("dim")
        if fields.get("id", {}).get("type") != DataType.VARCHAR or bits is None or int(bits) != self.bits:
            raise SearchError(
                f"{self.settings.uri}: collection {self._name!r} holds other things than codes of {self.bits} bits "
                f"(bits: {bits}): use another name or delete it"
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        from pymilvus import MilvusException

        try:
            yield
        except MilvusException as error:
            message = " ".join(str(error.message).split())
            raise SearchError(f"{self.settings.uri}: collection {self._name!r}: Milvus: {message}") from None


def _key(code: Codes) -> str:
    """Under which a code is kept: its bytes in hex."""
    return code.tobytes().hex()


def _of_this_version(settings: Any) -> Any:
    """Settings of version 1 as they are now; the codes go to a collection of their own."""
    if not isinstance(settings, dict) or settings.get("version") != 1:
        return settings
    former = settings["collection"]
    return settings | {"version": 2, "collection": f"{former}_distinct", "former": former}
