"""An index on a Milvus server, for more codes than one machine holds; the bytes of the codes are the same.

``BIN_FLAT`` is exact. ``BIN_IVF_FLAT`` looks into the ``probes`` of ``lists`` cells that are nearest to the query, so
that its recall has to be measured on one's own codes. Milvus returns at most 16,384 codes per search; larger answers
are put together from searches over parts of the range of ids.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.search.index import (
    Codes,
    Ids,
    Neighbours,
    check_bits,
    check_k,
    check_new,
    check_radius,
    checked_codes,
    checked_ids,
    ranked,
)
from deploy.search.milvus_connection import connect
from spikinghash.errors import SearchError
from spikinghash.files import atomic_path

MilvusKind = Literal["BIN_FLAT", "BIN_IVF_FLAT"]

_LIMIT = 16_384  # codes that one search returns at most
_BATCH = 10_000  # codes sent at once
_IDS = np.iinfo(np.int64)  # the least of them is refused: Milvus cannot read it in an expression


class MilvusSettings(BaseModel):
    """Where a collection is and how it is indexed; what ``MilvusIndex.save`` writes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    version: Literal[1] = 1
    uri: str
    """``http://HOST:19530``, or a file name that ends in .db for Milvus Lite."""
    collection: str
    bits: int
    kind: MilvusKind = "BIN_FLAT"
    lists: int = 1024
    """Cells of ``BIN_IVF_FLAT``; about 4 times the root of the number of codes."""
    probes: int = 32
    """Cells of ``BIN_IVF_FLAT`` that a search looks into."""


class MilvusIndex:
    """A collection of codes on a Milvus server; made if it is not there."""

    def __init__(self, settings: MilvusSettings) -> None:
        check_bits(settings.bits)
        self.settings, self.bits = settings, settings.bits
        self._name = settings.collection
        self._client = connect(settings.uri)
        with self._told():
            if self._client.has_collection(self._name):
                self._check_collection()
            else:
                self._create_collection()
            self._client.load_collection(self._name)

    def __len__(self) -> int:
        with self._told():
            rows = self._client.query(self._name, filter="", output_fields=["count(*)"])
        return int(rows[0]["count(*)"])

    def add(self, codes: Codes, ids: Ids) -> None:
        """As ``CodeIndex`` says, except that a lost connection may leave the first 10,000s of a larger batch."""
        codes, ids = checked_codes(codes, self.bits), checked_ids(ids, len(codes))
        check_new(ids, self.lacking(ids))
        with self._told():
            for start in range(0, len(codes), _BATCH):
                part = slice(start, start + _BATCH)
                pairs = zip(ids[part].tolist(), codes[part], strict=True)
                self._client.insert(self._name, [{"id": id, "code": code.tobytes()} for id, code in pairs])

    def lacking(self, ids: Ids) -> NDArray[np.bool_]:
        """As ``CodeIndex`` says."""
        found: list[int] = []
        with self._told():
            for start in range(0, len(ids), _BATCH):
                chosen = ids[start : start + _BATCH].tolist()
                rows = self._client.query(self._name, filter=f"id in {chosen}", output_fields=["id"])
                found += [row["id"] for row in rows]
        return ~np.isin(ids, np.array(found, np.int64))

    def search(self, queries: Codes, k: int) -> list[Neighbours]:
        """As ``CodeIndex`` says; ``BIN_IVF_FLAT`` may miss codes.

        Raises:
            SearchError: ``k`` is more than Milvus returns.
        """
        check_k(k)
        if k > _LIMIT:
            raise SearchError(f"k = {k}: Milvus returns at most {_LIMIT} neighbours: use fewer, or a radius")
        queries = checked_codes(queries, self.bits)
        if not len(queries):
            return []
        nearest = self._search(queries, min(k + 1, _LIMIT))
        return [self._cut(query, one, k) for query, one in zip(queries, nearest, strict=True)]

    def within(self, queries: Codes, radius: int) -> list[Neighbours]:
        """As ``CodeIndex`` says; ``BIN_IVF_FLAT`` may miss codes."""
        check_radius(radius)
        return [self._shell(query, 0, min(radius, self.bits)) for query in checked_codes(queries, self.bits)]

    def remove(self, ids: Ids) -> int:
        """As ``CodeIndex`` says."""
        ids = np.unique(ids)
        present = ids[~self.lacking(ids)]
        with self._told():
            for start in range(0, len(present), _BATCH):
                self._client.delete(self._name, ids=present[start : start + _BATCH].tolist())
        return len(present)

    def save(self, path: Path) -> None:
        """Write where the collection is; the codes are kept by the server."""
        with self._told():
            self._client.flush(self._name)
        with atomic_path(path) as temporary:
            temporary.write_text(self.settings.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Connect to the collection that ``save`` described."""
        try:
            settings = MilvusSettings.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise SearchError(f"{path}: not a readable Milvus index ({type(error).__name__}): build it again") from None
        return cls(settings)

    def drop(self) -> None:
        """Delete the collection from the server."""
        with self._told():
            self._client.drop_collection(self._name)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _cut(self, query: Codes, nearest: Neighbours, k: int) -> Neighbours:
        """The first k by (distance, id); ``nearest``, more than k where there are more, cuts ties anyhow."""
        if len(nearest) <= k and len(nearest) < _LIMIT:
            return nearest
        radius = int(nearest.distances[min(k, len(nearest)) - 1])
        if nearest.distances[-1] > radius:
            return Neighbours(nearest.distances[:k], nearest.ids[:k])
        ties = self._shell(query, radius, radius)
        nearer = nearest.distances < radius
        distances = np.concatenate([nearest.distances[nearer], ties.distances])
        return ranked(distances, np.concatenate([nearest.ids[nearer], ties.ids]), k)

    def _shell(self, query: Codes, inner: int, outer: int, low: int = _IDS.min + 1, high: int = _IDS.max) -> Neighbours:
        """All codes at a distance of ``inner`` to ``outer`` bits with ids from ``low`` to ``high``."""
        found = self._search(query[None], _LIMIT, (inner, outer), f"id >= {low} and id <= {high}")[0]
        if len(found) < _LIMIT:
            return found
        # As many as Milvus returns, perhaps not all. The median of their ids is a fair place to part the range.
        middle = int(np.sort(found.ids)[len(found) // 2 - 1])
        parts = self._shell(query, inner, outer, low, middle), self._shell(query, inner, outer, middle + 1, high)
        return ranked(np.concatenate([p.distances for p in parts]), np.concatenate([p.ids for p in parts]))

    def _search(
        self, queries: Codes, limit: int, shell: tuple[int, int] | None = None, ids: str = ""
    ) -> list[Neighbours]:
        parameters: dict[str, int] = {"nprobe": self.settings.probes} if self.settings.kind == "BIN_IVF_FLAT" else {}
        if shell is not None:
            parameters |= {"range_filter": shell[0], "radius": shell[1] + 1}  # Milvus: range_filter <= d < radius
        with self._told():
            answers = self._client.search(
                self._name,
                [query.tobytes() for query in queries],
                filter=ids,
                limit=limit,
                search_params={"metric_type": "HAMMING", "params": parameters},
            )
        return [_neighbours(hits) for hits in answers]

    def _create_collection(self) -> None:
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
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
        fields = {field["name"]: field for field in self._client.describe_collection(self._name)["fields"]}
        bits = fields.get("code", {}).get("params", {}).get("dim")
        if "id" not in fields or bits is None or int(bits) != self.bits:
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


def _neighbours(hits: Any) -> Neighbours:
    distances = np.array([hit["distance"] for hit in hits], np.int64)
    return ranked(distances, np.array([hit["id"] for hit in hits], np.int64))
