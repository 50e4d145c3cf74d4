"""Bulk encoding: the codes of one process, of several and of Ray are those of the encoder, and bad files stay alone."""

import gc
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from search_cases import small_encoder as small_encoder
from search_cases import write_bad_files, write_random_folder

from deploy.backends.encoders import load_encoder
from deploy.backends.run import encode_recordings, read_frames
from deploy.search import bulk, ray_engine
from deploy.search.bulk import Outcome, encode_files
from deploy.search.ray_engine import encode_with_ray
from deploy.search.thumbnails import make_thumbnails
from spikinghash.errors import BackendError, GraphError, MissingToolError
from training.data.reader import Reader
from training.data.recordings import Recording


def flat(chunks: Sequence[list[Outcome]]) -> list[Outcome]:
    return [outcome for chunk in chunks for outcome in chunk]


def expected(paths: list[Path], encoder: Path) -> list[bytes]:
    return [code.tobytes() for code in encode_recordings(load_encoder(encoder), paths)]


class Counted(list[Sequence[Path]]):
    """Counts how far it was read."""

    read = 0

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        self.read = max(self.read, index + 1)
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [1, 2])
def test_codes_come_in_order_and_bad_files_stay_alone(workers: int, small_encoder: Path, tmp_path: Path) -> None:
    good = write_random_folder(tmp_path / "good", classes=2, each=20)
    bad = write_bad_files(tmp_path / "bad")
    paths = sorted([*good, *(tmp_path / "bad" / name for name in bad)], key=lambda path: path.name)
    outcomes = flat(list(encode_files(paths, small_encoder, workers, chunk=3)))
    assert [outcome.path for outcome in outcomes] == paths
    codes = {outcome.path: outcome.code for outcome in outcomes if not outcome.error}
    assert [codes[path] for path in good] == expected(good, small_encoder)
    assert len(codes) == len(good)
    errors = {outcome.path.name: outcome.error for outcome in outcomes if outcome.error}
    assert errors.keys() == bad.keys()
    for name, message in bad.items():
        assert message in errors[name]
        assert errors[name].startswith(str(tmp_path / "bad" / name))
        assert "\n" not in errors[name]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [1, 2])
def test_thumbnails_come_with_codes_and_alone(workers: int, small_encoder: Path, tmp_path: Path) -> None:
    paths = write_random_folder(tmp_path, classes=1, each=9)
    wanted = [one.tobytes() for one in make_thumbnails(read_frames(paths, load_encoder(small_encoder)))]
    assert len(set(wanted)) == 9
    both = flat(list(encode_files(paths, small_encoder, workers, chunk=3)))
    alone = flat(list(encode_files(paths, small_encoder, workers, chunk=3, thumbnails_only=True)))
    assert [outcome.thumbnail for outcome in both] == [outcome.thumbnail for outcome in alone] == wanted
    assert not any(outcome.code for outcome in alone)


def test_a_chunk_of_bad_files_only(small_encoder: Path, tmp_path: Path) -> None:
    bad = write_bad_files(tmp_path)
    outcomes = flat(list(encode_files([tmp_path / name for name in bad], small_encoder, 1)))
    assert all(outcome.error and not outcome.code for outcome in outcomes)
    assert list(encode_files([], small_encoder, 2)) == []


def test_workers_wait_for_a_slow_reader_and_one_that_dies_is_an_error(small_encoder: Path, tmp_path: Path) -> None:
    paths = write_random_folder(tmp_path, classes=1, each=60)
    chunks = Counted([path] for path in paths)
    with bulk._started(2, small_encoder, None) as connections:
        answers = bulk._in_order(connections, chunks)
        codes, ahead = [], []
        for taken in range(40):
            codes += [outcome.code for outcome in next(answers)]
            ahead.append(chunks.read - taken)
        assert codes == expected(paths[:40], small_encoder)
        assert max(ahead) <= 2 * bulk._AHEAD < 40
        os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
        with pytest.raises(BackendError, match=r"a worker process died while it encoded .*bin") as caught:
            list(answers)
        assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()


def test_a_worker_tells_that_its_encoder_cannot_be_loaded(tmp_path: Path) -> None:
    encoder = tmp_path / "broken.onnx"
    encoder.write_bytes(b"onnx")
    here, there = multiprocessing.Pipe()
    handler = signal.getsignal(signal.SIGINT)
    try:
        bulk._work(there, encoder, None)
    finally:
        signal.signal(signal.SIGINT, handler)
    with pytest.raises(GraphError, match="not a readable ONNX model"):
        bulk._answer(here, [tmp_path / "a.bin"])


def test_a_reader_that_breaks_costs_one_file(
    small_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_random_folder(tmp_path, classes=1, each=3)
    read = Reader.read

    def breaks(reader: Reader, path: Path) -> list[Recording]:
        if path == paths[1]:
            raise IndexError("index 7\nis out of bounds")
        return read(reader, path)

    monkeypatch.setattr(Reader, "read", breaks)
    outcomes = flat(list(encode_files(paths, small_encoder, 1)))
    assert [outcome.error for outcome in outcomes] == [
        "", f"{paths[1]}: cannot be read: IndexError: index 7 is out of bounds", "",
    ]  # fmt: skip


@pytest.fixture
def ray() -> Iterator[ModuleType]:
    """Ray as the engine imports it."""
    try:
        yield ray_engine._import_ray()
    except MissingToolError as error:
        pytest.skip(str(error))
    gc.collect()  # Ray does not await its processes: Python warns when their objects go, here and not in a later test


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_the_same_codes_and_leaves_parquet(ray: ModuleType, small_encoder: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    good = write_random_folder(tmp_path / "good", classes=1, each=10)
    bad = write_bad_files(tmp_path / "bad")
    paths = [*good, *(tmp_path / "bad" / name for name in bad)]
    jobs = list(encode_with_ray(paths, small_encoder, tmp_path / "parquet", workers=1, job=12))
    assert [len(job) for job in jobs] == [12, 3]
    assert flat(jobs) == flat(list(encode_files(paths, small_encoder, 1)))
    rows = [
        row
        for file in sorted((tmp_path / "parquet").rglob("*.parquet"))
        for row in pyarrow.parquet.read_table(file, partitioning=None).to_pylist()
    ]
    assert sorted(row["path"] for row in rows) == sorted(map(str, paths))
    assert {row["path"]: row["code"] for row in rows if not row["error"]} == dict(
        zip(map(str, good), expected(good, small_encoder), strict=True)
    )
    assert not ray.is_initialized()


LATE = "The current node timed out\nduring startup."


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_that_starts_too_slowly_is_ended_and_started_again(
    ray: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ray_engine._children()
    services = ray._private.services
    get_node, started = services.get_node, list[set[int]]()

    def ask(*arguments: object) -> object:
        started.append(ray_engine._children() - before)
        if len(started) == 1:  # what Ray raises when its node, asked for 30 seconds, has not answered
            raise Exception(LATE)
        return get_node(*arguments)

    monkeypatch.setattr(services, "get_node", ask)
    with ray_engine._cluster(workers=1):
        assert ray.cluster_resources()["CPU"] == 1
        assert started[0]
        assert not started[0] & ray_engine._children()
        assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]
    assert ray_engine._children() == before


def test_ray_that_is_late_twice_is_an_error(
    ray: ModuleType, monkeypatch: pytest.MonkeyPatch, small_encoder: Path, tmp_path: Path
) -> None:
    starts = []

    def start(**settings: object) -> None:
        starts.append(settings)
        raise Exception(LATE)

    monkeypatch.setattr(ray, "init", start)
    line = r"Ray cannot be started, tried 2 times: Exception: The current node timed out during startup\.$"
    with pytest.raises(BackendError, match=line):
        list(encode_with_ray([tmp_path / "a.bin"], small_encoder, tmp_path / "parquet", workers=1))
    assert len(starts) == 2
