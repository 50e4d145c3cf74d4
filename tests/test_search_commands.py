"""The commands of deploy.search: what they print and refuse, and that a killed build loses and doubles nothing."""

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from search_cases import small_encoder as small_encoder
from search_cases import write_bad_files, write_random_folder, write_random_recording

from deploy.backends.events.encoder import EventsEncoder
from deploy.search.__main__ import main
from deploy.search.index import Codes
from deploy.search.manifest import VERSION
from deploy.search.store import writing
from tests.commands import Call, Done
from training.data.digits import write_recordings as write_digits
from training.retrieval import evaluate

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def search(call: Call) -> Call:
    """Runs ``deploy.search``."""
    return partial(call, main)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve recordings in three classes."""
    write_random_folder(tmp_path / "recordings", classes=3, each=4)
    return tmp_path / "recordings"


@pytest.fixture
def index(search: Call, folder: Path, small_encoder: Path, tmp_path: Path) -> Path:
    """An index of ``folder``."""
    done = search("build", folder, "--encoder", small_encoder, "--index", tmp_path / "idx", "--workers", 1)
    assert done == (0, f"{tmp_path / 'idx'}: 12 added, 0 there before, 12 codes in all\n", "")
    return tmp_path / "idx"


def refused(done: Done, *messages: str) -> None:
    """One line of error, exit code 2, nothing printed."""
    code, out, err = done
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for message in messages:
        assert message in err


def rows(index: Path) -> list[tuple[int, str, str, bytes]]:
    database = sqlite3.connect(index / "manifest.sqlite")
    try:
        return database.execute("SELECT id, path, label, code FROM recordings ORDER BY id").fetchall()
    finally:
        database.close()


def ranking(index: Path, code: Codes) -> list[tuple[int, int]]:
    return sorted(
        (int(np.bitwise_count(np.frombuffer(other, np.uint8) ^ code).sum()), id) for id, _, _, other in rows(index)
    )


def in_order(hits: list[dict[str, int]], *keys: str) -> list[tuple[int, int]]:
    """Distance and id of ``hits``, which are sorted by ``keys``."""
    assert hits == sorted(hits, key=lambda hit: [hit[key] for key in keys])
    return sorted((hit["distance"], hit["id"]) for hit in hits)


@pytest.mark.parametrize("kind", ["flat", "milvus-flat"])
def test_build_query_and_add(
    kind: str, search: Call, folder: Path, small_encoder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    index = tmp_path / "idx"
    options = ["--kind", kind]
    if kind == "milvus-flat":
        pytest.importorskip("pymilvus")
        options += ["--milvus", str(tmp_path / "codes.db")]
        request.addfinalizer(_end_milvus_lite)
    build = ("build", folder, "--encoder", small_encoder, "--index", index, "--workers", 1, *options)
    done = search(*build)
    assert done[0] == 0, done[2]
    assert [(Path(path).name, label) for _, path, label, _ in rows(index)] == [
        (f"{number:03d}.bin", f"c{label}") for label in range(3) for number in range(4)
    ]
    assert search(*build)[1] == f"{index}: 0 added, 12 there before, 12 codes in all\n"

    new = write_random_recording(tmp_path / "other" / "new.bin", seed=7)
    assert search("add", new, "--label", "mine", "--index", index, "--workers", 1)[0] == 0
    code, out, err = search("query", new, "-k", 13, "--json", "--index", index)
    assert (code, err) == (0, "")
    answer = json.loads(out)
    packed = np.frombuffer(bytes.fromhex(answer["code"]), np.uint8)
    assert answer["query"] == "new.bin"
    assert in_order(answer["hits"], "distance", "difference", "id") == ranking(index, packed)
    assert answer["hits"][0] == {"id": 13, "distance": 0, "difference": 0, "label": "mine", "path": str(new)}

    within = json.loads(search("query", new, "--radius", 2, "--json", "--index", index)[1])["hits"]
    near = [pair for pair in ranking(index, packed) if pair[0] <= 2]
    assert in_order(within, "distance", "difference", "id") == near
    like = json.loads(search("query", new, "--radius", 2, "--find", "recording", "--json", "--index", index)[1])
    assert in_order(like["hits"], "difference", "distance", "id") == near
    assert like["choice"] == f"{len(near)} of {len(near)} within distance 2"
    text = search("query", new, "-k", 1, "--index", index)[1].splitlines()
    ties = sum(distance == 0 for distance, _ in near)
    assert text[:2] == [f"{answer['code']}  new.bin", f"1 of {ties} at distance 0"]
    assert text[3].split() == ["0", "0", "13", "mine", str(new)]


def _end_milvus_lite() -> None:
    from milvus_lite.server_manager import server_manager_instance

    server_manager_instance.release_all()


def test_bad_files_are_reported_skipped_and_counted(
    search: Call, folder: Path, small_encoder: Path, tmp_path: Path
) -> None:
    bad = write_bad_files(folder / "bad")
    build = ("build", folder, "--encoder", small_encoder, "--index", tmp_path / "idx", "--workers", 1)
    for added in (12, 0):  # a second build meets them again
        code, out, err = search(*build)
        assert (code, out) == (3, f"{tmp_path / 'idx'}: {added} added, {12 - added} there before, 12 codes in all\n")
        lines = err.splitlines()
        assert lines[-1] == "5 skipped"
        assert len(lines) == 6
        for line, (name, message) in zip(lines, sorted(bad.items()), strict=False):
            assert line.startswith(f"skipped: {folder / 'bad' / name}: ")
            assert message in line
    for name, message in bad.items():
        refused(search("query", folder / "bad" / name, "--index", tmp_path / "idx"), name, message)


def test_eval_leaves_each_item_out_of_its_own_ranking(search: Call, index: Path) -> None:
    codes = np.stack([np.frombuffer(code, np.uint8) for *_, code in rows(index)])
    labels = np.array([int(label[1:]) for _, _, label, _ in rows(index)])
    single = []
    for number in range(len(codes)):
        others = np.arange(len(codes)) != number
        single.append(
            evaluate(codes[number : number + 1], labels[number : number + 1], codes[others], labels[others], ())
        )
    code, out, _ = search("eval", "--json", "--index", index)
    figures = json.loads(out)
    assert (code, figures["queries"], figures["items"], figures["recall_at_10"]) == (0, 12, 12, 1.0)
    for ours, theirs in (
        ("mean_average_precision", "mean_average_precision"),
        ("precision_within_2", "precision_within_2"),
        ("empty_within_2", "empty_within_2"),
    ):
        assert figures[ours] == pytest.approx(np.mean([getattr(one, theirs) for one in single]))
    assert json.loads(search("eval", "--json", "--sample", 5, "--index", index)[1])["queries"] == 5


def test_eval_with_a_folder_of_queries(search: Call, index: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries"
    write_random_folder(queries, classes=2, each=3)  # the same recordings as in the index
    write_bad_files(queries / "c1")
    codes = np.stack([np.frombuffer(code, np.uint8) for *_, code in rows(index)])
    labels = np.array([int(label[1:]) for _, _, label, _ in rows(index)])
    chosen = [0, 1, 2, 4, 5, 6]
    wanted = evaluate(codes[chosen], labels[chosen], codes, labels, ())
    code, out, err = search("eval", "--queries", queries, "--json", "--workers", 1, "--index", index)
    assert (code, err.splitlines()[-1]) == (3, "5 skipped")
    assert json.loads(out)["mean_average_precision"] == pytest.approx(wanted.mean_average_precision)
    shutil.rmtree(queries / "c0")
    for path in queries.glob("c1/0*.bin"):
        path.unlink()
    assert "none of its 5 recordings can be used" in search("eval", "--queries", queries, "--index", index)[2]


def test_eval_asks_for_recordings_by_views_of_them(search: Call, index: Path, folder: Path) -> None:
    asked = ("eval", "--views", 8, "--json", "--index", index)
    code, out, _ = search(*asked)
    figures = json.loads(out)
    assert (code, figures["views"], figures["itself_first"]) == (0, 8, 1.0)
    for order in ("codes", "class", "recording"):
        assert 0 <= figures[f"{order}_recall_at_1"] <= figures[f"{order}_recall_at_10"] <= 1
    (folder / "c0" / "001.bin").unlink()
    code, out, err = search(*asked[:2], 100, *asked[3:])
    assert (code, json.loads(out)["views"], err.splitlines()[-1]) == (3, 11, "1 skipped")
    assert "001.bin: cannot be read" in err
    assert "itself_first            1\n" in search("eval", "--views", 3, "--index", index)[1]
    _make_version_1(index)
    refused(search(*asked), "none of its 12 recordings has a thumbnail")


def test_what_an_index_refuses(search: Call, index: Path, folder: Path, small_encoder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    model = onnx.load(small_encoder)
    model.doc_string = "another encoder"
    del model.metadata_props[0]  # the seal of the model as it was
    onnx.save(model, other)
    build = ("build", folder, "--index", index, "--encoder")
    refused(search(*build, other), "holds codes of the encoder", "give another --index")
    milvus = ("--kind", "milvus-flat", "--milvus", tmp_path / "codes.db")
    refused(search(*build, small_encoder, *milvus), "is an index of kind flat")
    refused(search(*build, small_encoder, "--kind", "milvus-flat"), "--milvus ADDRESS goes with")
    refused(search(*build, small_encoder, "--sensor", "128x128"), "made with --sensor None")
    refused(search(*build, small_encoder, "--sensor", "128"), "WIDTHxHEIGHT")
    refused(search(*build, tmp_path / "none.onnx"), "none.onnx")
    refused(search("build", tmp_path / "nowhere", "--encoder", small_encoder, "--index", index), "no such file")
    (tmp_path / "empty").mkdir()
    refused(search("build", tmp_path / "empty", "--encoder", small_encoder, "--index", index), "0 recordings found")
    refused(search("build", folder, "--encoder", small_encoder, "--index", small_encoder), "--index is a folder")
    refused(search("query", folder / "none.bin", "--index", index), "none.bin", "No such file")
    refused(search("query", folder / "c0" / "000.bin", "--index", tmp_path), "not an index")
    with writing(index):
        refused(search("add", folder, "--index", index), "another process is writing")
    assert len(rows(index)) == 12


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _another_version(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 2}")
    database.close()


def _facts(text: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with sqlite3.connect(path) as database:
            database.execute("UPDATE facts SET value = ?", (text,))
        database.close()

    return change


def _other_thumbnails(path: Path) -> None:
    with sqlite3.connect(path) as database:
        _change_facts(database, thumbnails=2)
    database.close()


def _change_facts(database: sqlite3.Connection, **changes: object) -> None:
    """As a former version would have written them: without a seal."""
    facts = json.loads(database.execute("SELECT value FROM facts").fetchone()[0])
    facts = {key: value for key, value in (facts | changes).items() if key != "sha256" and value is not None}
    database.execute("UPDATE facts SET value = ?", (json.dumps(facts),))


def _short_thumbnail(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE recordings SET thumbnail = x'0102' WHERE id = 5")
    database.close()


def _short_code(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE recordings SET code = x'0102' WHERE id = 5")
    database.close()
    (path.parent / "codes.npz").unlink()


def _fewer(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM recordings WHERE id > 9")
    database.close()


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("manifest.sqlite", lambda path: path.write_bytes(b"not a database " * 100), "file is not a database"),
        ("manifest.sqlite", lambda path: path.write_bytes(b""), "version 0, this program reads"),
        ("manifest.sqlite", lambda path: path.unlink(), "not an index"),
        ("manifest.sqlite", _cut, "manifest.sqlite: "),
        ("manifest.sqlite", _another_version, "version 4, this program reads versions 1 to 3"),
        ("manifest.sqlite", _other_thumbnails, "thumbnails of version 2, this program makes and compares version 1"),
        ("manifest.sqlite", _short_thumbnail, "recording 5 is damaged"),
        ("manifest.sqlite", _facts('{"bits": "many"}'), "damaged"),
        ("manifest.sqlite", _short_code, "recording 5 is damaged: `deploy.search check --repair`"),
        ("manifest.sqlite", _fewer, "some of them not among the 9 of the manifest"),
        ("codes.npz", _cut, "codes.npz: not a readable index"),
        ("codes.npz", lambda path: path.write_bytes(b""), "codes.npz: not a readable index"),
        ("encoder.onnx", _cut, "not the encoder that made the codes"),
        ("encoder.onnx", lambda path: path.unlink(), "the index's encoder is missing"),
    ],
)
def test_a_damaged_folder_is_an_error_of_one_line(
    file: str, damage: Callable[[Path], None], message: str, search: Call, index: Path, folder: Path
) -> None:
    damage(index / file)
    refused(search("query", folder / "c0" / "000.bin", "--index", index), message)


def _flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])


def _changed(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with sqlite3.connect(path) as database:
            database.execute(statement)
        database.close()

    return change


@pytest.mark.parametrize(
    ("file", "damage", "fault", "lost"),
    [
        ("manifest.sqlite", _changed("UPDATE recordings SET label = 'x' WHERE id = 3"), "recording 3 is damaged", 1),
        ("manifest.sqlite", _changed("UPDATE recordings SET code = x'00' WHERE id > 10"), "recording 11 is damaged", 2),
        ("manifest.sqlite", _changed("UPDATE total SET codes = codes + 1"), "their codes differ", 0),
        ("manifest.sqlite", _changed("UPDATE recordings SET thumbnail = zeroblob(32)"), "thumbnails are damaged", 0),
        ("manifest.sqlite", _changed("DROP TABLE seals"), "nothing in it is sealed", 0),
        ("codes.npz", _flip, "not a readable index", 0),
    ],
)
def test_a_damaged_index_is_checked_and_mended(
    file: str, damage: Callable[[Path], None], fault: str, lost: int,
    search: Call, index: Path, folder: Path, small_encoder: Path,
) -> None:  # fmt: skip
    before = rows(index)
    assert search("check", index) == (0, f"{index}: whole, 12 codes\n", "")
    damage(index / file)
    code, out, err = search("check", index)
    assert code == 2
    assert fault in out
    assert err.endswith("faults: --repair mends what can be mended\n")
    code, out, err = search("check", index, "--repair")
    assert (code, err) == (0, "")
    assert f"{index}: made whole, {12 - lost} codes" in out
    assert search("check", index) == (0, f"{index}: whole, {12 - lost} codes\n", "")
    done = search("build", folder, "--encoder", small_encoder, "--index", index, "--workers", 1)
    assert f"{lost} added, " in done.out
    assert search("check", index) == (0, f"{index}: whole, 12 codes\n", "")
    assert {row[1:] for row in rows(index)} == {row[1:] for row in before}
    assert all(thumbnail and any(thumbnail) for _, thumbnail in _thumbnails(index))


def test_an_index_without_its_encoder_is_beyond_repair(search: Call, index: Path) -> None:
    _flip(index / "encoder.onnx")
    assert "not the encoder that made the codes" in search("check", index).out
    code, _, err = search("check", index, "--repair")
    assert code == 2
    assert "not the encoder that made the codes" in err


def test_what_is_made_from_the_manifest_is_made_anew(search: Call, index: Path, folder: Path) -> None:
    asked = ("query", folder / "c0" / "000.bin", "--json", "--index", index)
    before = search(*asked)
    (index / "codes.npz").unlink()
    assert search(*asked) == before


def _make_version_1(index: Path) -> None:
    """Make the manifest what it was before there were thumbnails."""
    with sqlite3.connect(index / "manifest.sqlite") as database:
        database.execute("ALTER TABLE recordings DROP COLUMN thumbnail")
        _change_facts(database, thumbnails=None)
        for table in ("seals", "total"):
            database.execute(f"DROP TABLE {table}")
        database.execute("PRAGMA user_version = 1")
    database.close()


def _thumbnails(index: Path) -> list[tuple[int, bytes | None]]:
    database = sqlite3.connect(index / "manifest.sqlite")
    try:
        return database.execute("SELECT id, thumbnail FROM recordings ORDER BY id").fetchall()
    finally:
        database.close()


def test_an_index_of_before_there_were_thumbnails_gets_them_and_keeps_its_codes(
    search: Call, index: Path, folder: Path, small_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("query", folder / "c1" / "000.bin", "-k", 12, "--json", "--index", index)
    like = (*asked, "--find", "recording")
    drawn, codes, wanted, found = _thumbnails(index), rows(index), search(*asked), search(*like)
    assert found[0] == 0
    _make_version_1(index)
    bare = json.loads(search(*asked)[1])
    assert all(hit["difference"] is None for hit in bare["hits"])
    assert [(hit["distance"], hit["id"]) for hit in bare["hits"]] == sorted(
        (hit["distance"], hit["id"]) for hit in json.loads(wanted[1])["hits"]
    )
    assert "of them without a thumbnail: `build` on their folder adds it" in bare["choice"]
    refused(search(*like), f"{index}: none of its 12 recordings has a thumbnail", "`build` on the same folder adds")

    monkeypatch.setattr(EventsEncoder, "encode", None)  # nothing is encoded anew
    build = ("build", folder, "--encoder", small_encoder, "--index", index, "--workers", 1)
    told = "0 added, 12 there before (12 without a thumbnail, which they have now), 12 codes in all\n"
    assert search(*build) == (0, f"{index}: {told}", "")
    assert search(*build)[1] == f"{index}: 0 added, 12 there before, 12 codes in all\n"
    monkeypatch.undo()
    assert (_thumbnails(index), rows(index)) == (drawn, codes)
    assert (search(*asked), search(*like)) == (wanted, found)


def test_what_has_no_thumbnail_stands_last(search: Call, index: Path, folder: Path, small_encoder: Path) -> None:
    _make_version_1(index)
    spoilt = folder / "c1" / "001.bin"
    stamp, size = spoilt.stat().st_mtime_ns, spoilt.stat().st_size
    spoilt.write_bytes(bytes([99]) * size)
    os.utime(spoilt, ns=(stamp, stamp))
    code, out, err = search("build", folder, "--encoder", small_encoder, "--index", index, "--workers", 1)
    assert (code, err.splitlines()[-1]) == (3, "1 skipped")
    assert out == f"{index}: 0 added, 12 there before (11 without a thumbnail, which they have now), 12 codes in all\n"
    asked = ("query", folder / "c1" / "000.bin", "--find", "recording", "--radius", 8, "-k", 12, "--json")
    answer = json.loads(search(*asked, "--index", index)[1])
    assert answer["choice"].startswith("12 of 12 within distance 8, 1 of them without a thumbnail")
    assert [hit["path"] for hit in answer["hits"] if hit["difference"] is None] == [str(spoilt)]
    assert answer["hits"][-1]["path"] == str(spoilt)


def test_a_folder_of_the_former_kind_multi_hash_is_a_flat_one(
    search: Call, index: Path, folder: Path, small_encoder: Path
) -> None:
    asked = ("query", folder / "c0" / "000.bin", "--json", "--index", index)
    before = search(*asked)
    database = sqlite3.connect(index / "manifest.sqlite")
    _change_facts(database, kind="multi-hash")
    database.commit()
    database.close()
    assert search(*asked) == before
    build = ("build", folder, "--encoder", small_encoder, "--index", index, "--workers", 1)
    assert search(*build)[1] == f"{index}: 0 added, 12 there before, 12 codes in all\n"


def test_a_recording_that_changes_is_encoded_again(
    search: Call, folder: Path, small_encoder: Path, tmp_path: Path
) -> None:
    index = tmp_path / "idx"
    build = ("build", folder, "--encoder", small_encoder, "--index", index, "--workers", 1)
    assert search(*build)[0] == 0
    before = rows(index)
    changed, spoilt, touched = (folder / "c1" / f"{number:03d}.bin" for number in range(3))
    write_random_recording(changed, seed=77, events=900)
    spoilt.write_bytes(b"")
    os.utime(touched, ns=(0, before[0][0]))
    code, out, err = search(*build)
    told = f"{index}: 0 added, 2 encoded again since their files changed, 9 there before, 12 codes in all\n"
    assert (code, out) == (3, told)
    assert err.startswith(f"skipped: {spoilt}: ")

    after = rows(index)
    assert after[:-2] == [row for row in before if row[1] not in (str(changed), str(touched))]
    assert [(id, path) for id, path, *_ in after[-2:]] == [(13, str(changed)), (14, str(touched))]
    hits = json.loads(search("query", changed, "-k", 20, "--json", "--index", index)[1])["hits"]
    packed = np.frombuffer(after[-2][3], np.uint8)
    assert in_order(hits, "distance", "difference", "id") == ranking(index, packed)
    assert hits[0] == {"id": 13, "distance": 0, "difference": 0, "label": "c1", "path": str(changed)}
    spoilt.unlink()
    assert search(*build)[1] == f"{index}: 0 added, 11 there before, 12 codes in all\n"


BUILDER = """
import os, sys
from pathlib import Path
from deploy.search.building import add_sources
from deploy.search.files import find_sources
from deploy.search.store import open_or_create, writing

folder, encoder = map(Path, sys.argv[1:])
for line in sys.stdin:
    index = Path(line.strip())
    child = os.fork()
    if child == 0:
        with writing(index):
            manifest = open_or_create(index, encoder, 8, "flat", None, None)
            add_sources(index, manifest, list(find_sources(folder)), chunk=3)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Builder:
    """A process that has imported all and forks a build per request, so that each moment of a build can be hit."""

    def __init__(self, folder: Path, encoder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", BUILDER, str(folder), str(encoder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
        )  # fmt: skip

    def build(self, index: Path, kill_at: int | None = None, pause: float = 0) -> bool:
        """Build; whether it came to its end.

        Args:
            kill_at: the process is killed ``pause`` seconds after so many recordings are in the manifest.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{index}\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        if kill_at is not None:
            while len(_rows_if_any(index)) < kill_at and Path(f"/proc/{child}/exe").exists():
                time.sleep(0.0005)
            time.sleep(pause)
            with contextlib.suppress(ProcessLookupError):  # it has ended before
                os.kill(child, signal.SIGKILL)
        return int(self._process.stdout.readline()) == 0

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def builder(folder: Path, small_encoder: Path) -> Iterator[Builder]:
    """Builds indexes of ``folder``."""
    made = Builder(folder, small_encoder)
    yield made
    made.close()


def test_a_build_that_is_killed_at_any_moment_loses_and_doubles_nothing(
    builder: Builder, folder: Path, tmp_path: Path
) -> None:
    write_bad_files(folder / "bad")
    write_random_folder(folder / "more", classes=2, each=60)
    assert builder.build(tmp_path / "whole")
    wanted, chance = rows(tmp_path / "whole"), random.Random(0)
    assert len(wanted) == 132
    reached: list[int] = []  # recordings in the manifest after each kill
    for attempt in range(40):
        index, known = tmp_path / f"killed-{attempt}", 0
        for last in (60, 120) if attempt % 4 else (0, 120):  # before there is a manifest, early and late
            if builder.build(index, kill_at=chance.randint(known, max(known, last)), pause=chance.uniform(0, 0.01)):
                break
            found = _rows_if_any(index)
            assert found == wanted[: len(found)]  # a prefix: nothing doubled, nothing out of turn
            assert len(found) >= known  # nothing lost
            known = len(found)
            reached.append(known)
        assert builder.build(index)
        assert rows(index) == wanted
        assert sorted(np.load(index / "codes.npz")["ids"].tolist()) == [id for id, *_ in wanted]
        names = {path.name for path in index.iterdir()}
        assert names == {"codes.npz", "encoder.onnx", "lock", "manifest.sqlite"}
        if len(reached) >= 16:
            break
    assert len(reached) >= 16
    assert min(reached) == 0
    assert len(set(reached)) >= 4


def _rows_if_any(index: Path) -> list[tuple[int, str, str, bytes]]:
    try:
        return rows(index)
    except sqlite3.OperationalError:  # killed before there was a manifest
        return []


def test_a_killed_build_leaves_no_worker_behind(small_encoder: Path, search: Call, tmp_path: Path) -> None:
    folder, index = tmp_path / "many", tmp_path / "idx"
    write_random_folder(folder, classes=1, each=300)
    build = ("build", folder, "--encoder", small_encoder, "--index", index, "--workers")
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.search", *map(str, build), "2"], cwd=ROOT, start_new_session=True
    )
    try:
        while process.poll() is None and not (index.exists() and _rows_if_any(index)):
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 60
    while _alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(process.pid)
    assert search(*build, 1)[0] == 0
    assert [path for _, path, *_ in rows(index)] == sorted(map(str, folder.rglob("*.bin")))


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_real_recordings_and_digits(search: Call, nmnist_folder: Path, tmp_path: Path) -> None:
    folder, asked = tmp_path / "recordings", []
    for digit in "0123456789":
        (folder / digit).mkdir(parents=True)
        *kept, held_out = sorted((nmnist_folder / "NMNIST" / "Train" / digit).glob("*.bin"))[:8]
        asked.append(held_out)
        for path in kept:
            (folder / digit / path.name).symlink_to(path)
    write_digits(folder, range(0, 5000, 100))
    encoder, index = ROOT / "checkpoints" / "digits.pt", tmp_path / "idx"
    code, out, err = search("build", folder, "--encoder", encoder, "--index", index, "--workers", 1)
    assert (code, out, err) == (0, f"{index}: 120 added, 0 there before, 120 codes in all\n", "")

    known = sorted((folder / "2").iterdir())[0]
    hits = json.loads(search("query", known, "--json", "--index", index)[1])["hits"]
    assert len(hits) == 10
    assert str(known) in [hit["path"] for hit in hits if hit["distance"] == 0]
    nearest = [json.loads(search("query", path, "-k", 1, "--json", "--index", index)[1])["hits"][0] for path in asked]
    right = sum(hit["label"] == path.parent.name for path, hit in zip(asked, nearest, strict=True))
    figures = json.loads(search("eval", "--json", "--index", index)[1])
    assert right >= 8  # measured: 10
    assert figures["mean_average_precision"] > 0.8  # measured: 0.90; chance is 0.1
    found = json.loads(search("eval", "--views", 40, "--json", "--index", index)[1])
    assert found["itself_first"] == 1
    assert found["codes_recall_at_1"] < 0.5
    assert found["recording_recall_at_1"] >= 0.9
