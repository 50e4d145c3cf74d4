"""Every index of codes against brute force: same distances, same order of ties, also after removal and reload."""

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deploy.search.faiss_index import FlatIndex
from deploy.search.index import CodeIndex, Neighbours
from deploy.search.milvus_index import MilvusIndex, MilvusSettings
from spikinghash.errors import SearchError

NewIndex = Callable[[int], CodeIndex]
KINDS = ("flat", "milvus")


class BruteForce:
    """The oracle: a dictionary and a sort."""

    def __init__(self) -> None:
        self.codes: dict[int, bytes] = {}

    def add(self, codes: NDArray[np.uint8], ids: NDArray[np.int64]) -> None:
        self.codes |= {int(id): code.tobytes() for id, code in zip(ids, codes, strict=True)}

    def ranking(self, query: NDArray[np.uint8]) -> list[tuple[int, int]]:
        whole = int.from_bytes(query.tobytes())
        return sorted(((int.from_bytes(code) ^ whole).bit_count(), id) for id, code in self.codes.items())


@pytest.fixture(scope="session")
def milvus_lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of a running Milvus Lite."""
    pytest.importorskip("pymilvus")
    path = tmp_path_factory.mktemp("milvus") / "codes.db"
    yield path
    from milvus_lite.server_manager import server_manager_instance

    server_manager_instance.release_all()


@pytest.fixture(params=KINDS)
def new_index(request: pytest.FixtureRequest) -> Iterator[NewIndex]:
    """Makes empty indexes of one kind."""
    if request.param != "milvus":
        yield FlatIndex
        return
    path, names, made = request.getfixturevalue("milvus_lite"), count(), []

    def make(bits: int) -> MilvusIndex:
        made.append(MilvusIndex(MilvusSettings(uri=str(path), collection=f"codes_{next(names)}", bits=bits)))
        return made[-1]

    yield make
    for index in made:
        index.drop()
        index.close()


def random_codes(count: int, bits: int, seed: int = 0, flipped: float = 0.5) -> NDArray[np.uint8]:
    """Codes around one code: few flipped bits make many ties."""
    generator = np.random.default_rng(seed)
    return np.packbits(generator.random((count, bits)) < flipped, axis=1)


def pairs(found: Neighbours) -> list[tuple[int, int]]:
    return list(zip(found.distances.tolist(), found.ids.tolist(), strict=True))


def check(index: CodeIndex, oracle: BruteForce, queries: NDArray[np.uint8], k: int, radius: int) -> None:
    rankings = [oracle.ranking(query) for query in queries]
    assert len(index) == len(oracle.codes)
    assert [pairs(found) for found in index.search(queries, k)] == [ranking[:k] for ranking in rankings]
    within = [[pair for pair in ranking if pair[0] <= radius] for ranking in rankings]
    assert [pairs(found) for found in index.within(queries, radius)] == within


@given(data=st.data())
@settings(
    max_examples=10,
    phases=[Phase.generate],  # shrinking would go on for as long again after the time is up
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_an_index_answers_like_brute_force(new_index: NewIndex, tmp_path: Path, data: st.DataObject) -> None:
    bits = data.draw(st.sampled_from([8, 16, 32, 64]), "bits")
    size = data.draw(st.integers(0, 60), "codes")
    seed = data.draw(st.integers(0, 1000), "seed")
    flipped = data.draw(st.sampled_from([0.02, 0.2, 0.5]), "flipped")
    k, radius = data.draw(st.integers(1, 70), "k"), data.draw(st.integers(0, 70), "radius")
    codes, queries = random_codes(size, bits, seed, flipped), random_codes(4, bits, seed + 1, flipped)
    generator = np.random.default_rng(seed)
    ids = generator.choice(np.array([1 - 2**63, -5, *range(200), 2**60, 2**63 - 1]), size, replace=False)

    index, oracle = new_index(bits), BruteForce()
    half = size // 2
    for part in (slice(0, half), slice(half, size)):
        index.add(codes[part], ids[part])
        oracle.add(codes[part], ids[part])
    check(index, oracle, queries, k, radius)

    gone = np.array([*ids[: size // 3], 777], np.int64)
    assert index.remove(gone) == size // 3
    oracle.codes = {id: code for id, code in oracle.codes.items() if id not in gone}
    check(index, oracle, queries, k, radius)

    path = tmp_path / "saved"
    index.save(path)
    again = type(index).load(path)
    assert again.bits == bits
    check(again, oracle, queries, k, radius)
    again.add(queries[:1], np.array([999], np.int64))
    oracle.add(queries[:1], np.array([999], np.int64))
    check(again, oracle, queries, k, radius)


def test_1e5_random_codes_give_the_same_distances(new_index: NewIndex) -> None:
    codes, queries = random_codes(100_000, 32), random_codes(20, 32, seed=1)
    ids = np.random.default_rng(2).permutation(100_000)
    distances = np.bitwise_count(queries[:, None] ^ codes).sum(axis=2, dtype=np.int64)
    index = new_index(32)
    index.add(codes, ids)
    for query, found, near in zip(distances, index.search(queries, 100), index.within(queries, 6), strict=True):
        order = np.lexsort((ids, query))
        assert found.distances.tolist() == query[order[:100]].tolist()
        assert found.ids.tolist() == ids[order[:100]].tolist()
        assert near.ids.tolist() == ids[order[: (query <= 6).sum()]].tolist()


def test_more_equal_codes_than_one_milvus_search_returns(new_index: NewIndex) -> None:
    codes, ids = np.zeros((40_000, 4), np.uint8), np.random.default_rng(0).permutation(40_000) - 20_000
    codes[ids >= 15_000, 3] = 1
    index = new_index(32)
    index.add(codes, ids)
    assert index.search(codes[:1] * 0, 5)[0].ids.tolist() == list(range(-20_000, -19_995))
    within = index.within(codes[:1] * 0, 1)[0]
    assert within.ids.tolist() == list(range(-20_000, 20_000))
    assert within.distances.tolist() == [0] * 35_000 + [1] * 5_000


def test_a_refused_batch_changes_nothing(new_index: NewIndex) -> None:
    index, codes = new_index(16), random_codes(3, 16)
    index.add(codes, np.arange(3))
    for wrong, ids, message in (
        (codes, np.array([7, 2, 8]), "id 2 is in the index already"),
        (codes, np.array([7, 8, 7]), "id 7 is given 2 times"),
        (codes, np.array([7, 8, -(2**63)]), "id -9223372036854775808: Milvus"),
        (codes, np.arange(4), "3 codes need int64"),
        (codes, np.arange(3.0), "float64"),
        (random_codes(3, 32), np.arange(3, 6), "codes of 16 bits"),
        (codes.astype(np.int64), np.arange(3, 6), "int64"),
    ):
        with pytest.raises(SearchError, match=message):
            index.add(wrong, ids)
    assert len(index) == 3
    with pytest.raises(SearchError, match="k = 0"):
        index.search(codes, 0)
    with pytest.raises(SearchError, match="radius = -1"):
        index.within(codes, -1)
    with pytest.raises(SearchError, match="codes of 16 bits"):
        index.search(random_codes(1, 8), 1)


def test_no_query_has_no_answer(new_index: NewIndex) -> None:
    index = new_index(16)
    index.add(random_codes(3, 16), np.arange(3))
    assert index.search(random_codes(0, 16), 2) == index.within(random_codes(0, 16), 2) == []


@pytest.mark.parametrize("bits", [0, 7, -8])
def test_codes_are_whole_bytes(bits: int) -> None:
    with pytest.raises(SearchError, match="multiple of 8"):
        FlatIndex(bits)


@pytest.mark.parametrize("kind", [FlatIndex, MilvusIndex])
@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "flipped"])
def test_a_damaged_file_is_an_error_of_one_line(kind: type[CodeIndex], damage: str, tmp_path: Path) -> None:
    path, index = tmp_path / "codes", FlatIndex(32)
    index.add(random_codes(100, 32), np.arange(100))
    index.save(path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :]
    path.write_bytes({"empty": b"", "text": b"codes\n", "cut": whole[:middle], "flipped": flipped}.get(damage, b""))
    if damage == "missing":
        path.unlink()
    with pytest.raises(SearchError, match=r"codes: not a readable.*(--repair|build it again)") as caught:
        kind.load(path)
    assert "\n" not in str(caught.value)


def test_a_saved_index_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "codes.npz"
    np.savez(path, version=3, bits=8, codes=np.zeros((1, 1), np.uint8), ids=np.zeros(1, np.int64))
    with pytest.raises(SearchError, match="version 3, this program reads versions 1 and 2"):
        FlatIndex.load(path)


def test_a_saved_index_of_version_1_is_read(tmp_path: Path) -> None:
    codes, ids = random_codes(500, 16, flipped=0.1), np.random.default_rng(3).permutation(500) - 100
    np.savez(tmp_path / "codes.npz", version=np.int64(1), bits=np.int64(16), codes=codes, ids=ids)
    oracle = BruteForce()
    oracle.add(codes, ids)
    check(FlatIndex.load(tmp_path / "codes.npz"), oracle, random_codes(5, 16, 4), 40, 3)


@pytest.mark.parametrize("k", [1, 10, 63, 64, 65, 200, 256])
def test_no_tie_is_cut_among_many_distinct_codes(k: int) -> None:
    """Of 16-bit codes, more lie at the k-th distance than faiss is asked for."""
    codes = np.arange(2**16, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    ids = np.random.default_rng(0).permutation(2**16)
    index, oracle = FlatIndex(16), BruteForce()
    index.add(codes, ids)
    oracle.add(codes, ids)
    check(index, oracle, codes[[0, 513]], k, 2)


def test_milvus_refuses_what_it_cannot_do(milvus_lite: Path, tmp_path: Path) -> None:
    def open_index(**changes: object) -> MilvusIndex:
        return MilvusIndex(MilvusSettings(uri=str(milvus_lite), collection="own", bits=32).model_copy(update=changes))

    index = open_index()
    with pytest.raises(SearchError, match=r"collection 'own' holds other things than codes of 16 bits \(bits: 32\)"):
        open_index(bits=16)
    with pytest.raises(SearchError, match="Milvus: invalid index type") as caught:  # a server has it, Lite does not
        open_index(collection="cells", kind="BIN_IVF_FLAT")
    assert "\n" not in str(caught.value)
    index.drop()
    index.close()


def test_more_distinct_codes_than_one_milvus_search_returns(new_index: NewIndex) -> None:
    codes = np.arange(0, 2**16, 3, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    ids = np.random.default_rng(0).permutation(len(codes))
    index, oracle = new_index(16), BruteForce()
    index.add(codes, ids)
    oracle.add(codes, ids)
    check(index, oracle, codes[[7]], 20_000, 14)
    near = index.reached(codes[7], 14)
    assert sorted(pairs(near)) == pairs(index.within(codes[[7]], 14)[0])


def test_milvus_codes_that_no_id_has_and_codes_that_a_server_lost(milvus_lite: Path, tmp_path: Path) -> None:
    settings = MilvusSettings(uri=str(milvus_lite), collection="lost", bits=16)
    codes, ids = random_codes(300, 16, flipped=0.1), np.arange(300)
    index, oracle = MilvusIndex(settings), BruteForce()
    index.add(codes, ids)
    oracle.add(codes, ids)
    # As from a process that was killed before it wrote its ids; some of these codes are there already.
    index._send(np.unique(random_codes(3000, 16, 5, flipped=0.1), axis=0))
    check(index, oracle, codes[:3], 40, 2)
    check(index, oracle, codes[:3], 300, 16)
    index.save(tmp_path / "milvus.json")
    index._client.delete("lost", filter='id >= ""')
    assert index._held() == 0
    index.close()
    again = MilvusIndex.load(tmp_path / "milvus.json")
    check(again, oracle, codes[:3], 40, 2)
    again.drop()
    again.close()


def test_codes_that_no_id_has_any_more_leave_milvus_when_it_is_saved(milvus_lite: Path, tmp_path: Path) -> None:
    index = MilvusIndex(MilvusSettings(uri=str(milvus_lite), collection="bare", bits=8))
    index.add(np.array([[1], [2], [2], [3]], np.uint8), np.arange(4))
    assert index._held() == 3
    assert index.remove(np.array([0, 1, 3])) == 3
    index.add(np.array([[3]], np.uint8), np.array([9]))
    assert index._held() == 3  # were it to end now, what was saved before would find all that it lists
    index.save(tmp_path / "milvus.json")
    assert index._held() == 2
    assert pairs(index.search(np.array([[3]], np.uint8), 5)[0]) == [(0, 9), (1, 2)]
    index.drop()
    index.close()


def test_a_milvus_folder_of_version_1_is_read_and_its_collection_replaced(milvus_lite: Path, tmp_path: Path) -> None:
    from pymilvus import DataType, MilvusClient

    client, path = MilvusClient(str(milvus_lite)), tmp_path / "milvus.json"
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("code", DataType.BINARY_VECTOR, dim=16)
    client.create_collection("codes_old", schema=schema)
    former = {"version": 1, "uri": str(milvus_lite), "collection": "codes_old", "bits": 16, "kind": "BIN_FLAT"}
    path.write_text(json.dumps(former | {"lists": 1024, "probes": 32}))
    codes, ids, oracle = random_codes(50, 16, flipped=0.1), np.arange(50), BruteForce()
    oracle.add(codes, ids)
    for attempt in range(2):  # the first is killed before it saves
        index = MilvusIndex.load(path)
        assert index.lacking(ids).all()
        index.add(codes, ids)
        check(index, oracle, codes[:2], 9, 3)
        assert client.has_collection("codes_old")
        if attempt:
            index.save(path)
        index.close()
    assert not client.has_collection("codes_old")
    again = MilvusIndex.load(path)
    check(again, oracle, codes[:2], 9, 3)
    again.drop()
    again.close()
    client.create_collection("codes_old", schema=schema)
    with pytest.raises(SearchError, match="holds other things than codes of 16 bits"):
        MilvusIndex(MilvusSettings(uri=str(milvus_lite), collection="codes_old", bits=16))
    client.drop_collection("codes_old")
    client.close()


def test_a_server_that_does_not_answer_is_an_error_of_one_line() -> None:
    with pytest.raises(SearchError, match="no Milvus server answers") as caught:
        MilvusIndex(MilvusSettings(uri="http://127.0.0.1:9", collection="codes", bits=32))
    assert "\n" not in str(caught.value)
