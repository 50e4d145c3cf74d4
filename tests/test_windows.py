"""Windows of long recordings: how files are cut, split and told apart from what a network was trained on."""

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import event_files
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import SMALL
from own_recordings import CONFIG, simulate, write_h5, write_sessions

from deploy.backends.encoders import load_encoder
from deploy.backends.run import main as run_command
from deploy.backends.verify import main as verify
from deploy.report.__main__ import main as report
from deploy.search.__main__ import main as search
from deploy.search.evaluation import Queries, evaluate_index
from deploy.search.faiss_index import FlatIndex
from deploy.search.manifest import Manifest
from export.encoder.evaluate import main as evaluate
from export.encoder.network import load_network
from export.loihi.drift import main as drift
from export.nir.to_nir import export_nir
from export.onnx.to_onnx import export_onnx
from spikinghash.errors import RecordingError, SpikinghashError
from tests.commands import Call
from training import retrieval
from training import train as training
from training.checkpoint import load_checkpoint
from training.codes import float_encoder, retrieval_figures
from training.config import Config, load_config, parse_config
from training.data.configured import load_data
from training.data.digits import simulate as simulate_digits
from training.data.events import EVENT_DTYPE
from training.data.facts import DataFacts, unlike
from training.data.reader import binned
from training.data.recordings import Recording, load_recording
from training.data.splits import FEW_FILES, split
from training.data.windows import Windows, clip
from training.tells import before
from training.window_options import chosen_windows

SIDE = 48
CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"


def recording(times: np.ndarray) -> Recording:
    events = np.zeros(len(times), EVENT_DTYPE)
    events["t"] = np.sort(times)
    return Recording(events, (SIDE, SIDE, 2), "clip.h5")


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=60), st.integers(1, 700), st.integers(1, 900))
def test_windows_hold_the_events_of_their_time_in_order(times: list[int], length: int, hop: int) -> None:
    whole = recording(np.array(times))
    elapsed = whole.events["t"] - whole.events["t"][0]
    if elapsed[-1] < int(0.9 * length):
        with pytest.raises(RecordingError, match=r"clip\.h5: its events span .* a window has"):
            Windows(length, hop).cut(whole)
        return
    parts = Windows(length, hop).cut(whole)
    starts = [start for start in range(0, 5001, hop) if start + int(0.9 * length) <= elapsed[-1]]
    wanted = {start: elapsed[(elapsed >= start) & (elapsed < start + length)].tolist() for start in starts}
    found = {part.window[0]: (part.events["t"] - whole.events["t"][0]).tolist() for part in parts if part.window}
    assert found == {start: events for start, events in wanted.items() if events}
    assert list(found) == sorted(found)
    for part in parts:
        assert np.array_equal(clip(whole, part.window).events, part.events)


def test_windows_without_number_are_refused() -> None:
    with pytest.raises(RecordingError, match=r"clip\.h5: 900,001 windows, one every 1 us, limit 100,000"):
        Windows(1_000_000, 1).cut(recording(np.array([0, 1_800_000])))


def test_a_file_that_was_cut_to_the_length_is_one_window() -> None:
    (part,) = Windows.of_ms(200.0).cut(recording(np.array([3, 199_700])))  # type: ignore[union-attr]
    assert part.window == (0, 200_000)


@given(st.integers(2, 5), st.integers(2, 12), st.integers(1, 9), st.integers(0, 3))
def test_windows_of_a_file_are_on_one_side(classes: int, files: int, windows: int, seed: int) -> None:
    labels = np.repeat(np.arange(classes), files * windows)
    names = [f"{label}/{file}" for label in range(classes) for file in range(files) for _ in range(windows)]
    if files == 2 and windows == 1:
        with pytest.raises(RecordingError, match="class 0 has 2 recordings, at least 3 are needed"):
            split(labels, files=names, seed=seed)
        return
    sets = split(labels, files=names, seed=seed)
    of = [{names[row] for row in part} for part in (sets.database, sets.validation, sets.test)]
    assert not of[2] & (of[0] | of[1])
    if windows == 1 or files - max(1, round(0.1 * files)) >= FEW_FILES:
        assert not of[0] & of[1]
    else:  # too few to hold one back: the last windows validate
        last = {name: max(row for row in range(len(names)) if names[row] == name) for name in of[1]}
        assert all(last[names[row]] in sets.validation for row in sets.validation)
    rows = np.concatenate([sets.database, sets.validation, sets.test])
    assert sorted(rows.tolist()) == list(range(len(labels)))


def test_overlapping_windows_are_not_on_both_sides() -> None:
    sets = split(np.zeros(40, np.int64), files=["a"] * 20 + ["b"] * 20, overlap=3)
    own = sets.validation
    assert len(own) == 2
    assert own.min() - sets.database.max() == 4
    assert len(sets.test) == 20


def test_too_few_windows_to_validate_on_are_refused() -> None:
    with pytest.raises(RecordingError, match="4 windows, 2 of them to train on, leave none to validate on"):
        split(np.zeros(4, np.int64), files=["a", "a", "b", "b"], overlap=3)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``THING/SESSION/NUMBER.h5``: three things, two sessions, three files of 1.6 seconds each."""
    root = tmp_path_factory.mktemp("own") / "things"
    write_sessions(root, SIDE, 1.6, 3, ("bar", "cross", "ring"))
    return root


@pytest.fixture(scope="module")
def config_file(sessions: Path) -> Path:
    path = sessions.parent / "own.toml"
    path.write_text(CONFIG.format(root="things", epochs=16))
    return path


@pytest.fixture(scope="module")
def checkpoint(config_file: Path, monkeypatch_module: pytest.MonkeyPatch) -> Path:
    """Trained on the first session, to be asked for the second."""
    return trained(load_config(config_file), config_file.parent / "run")


def trained(config: Config, out: Path) -> Path:
    training.train(config, out, torch.device("cpu"))
    return out / training.LAST


@pytest.fixture(scope="module")
def monkeypatch_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """Frames are cached in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setattr("platformdirs.user_cache_dir", lambda name: str(cache / name))
        yield patch


def test_a_training_tells_what_it_is_of_and_what_comes_next(call: Call, config_file: Path, checkpoint: Path) -> None:
    done = call(training.main, "--config", config_file, "--out", checkpoint.parent, "--device", "cpu")
    assert done.code == 0
    for line in (
        "class bar: 48 windows of 6 recordings (train 21, validation 3, test 24)",
        "database: 63 windows of 9 recordings",
        "validation queries: 9 windows of 9 recordings",
        "test queries: 72 windows of 9 recordings",
        "chance: a mAP of 0.3",
        "frames: ",
        "train.start is not set",
        f"  spikinghash search build {config_file.parent / 'things'} --encoder",
    ):
        assert line in done.out, line
    each = ", ".join(rf"{name} [01]\.\d+" for name in ("bar", "cross", "ring"))
    assert re.search(rf"\ntest mAP 0\.\d+ \(chance 0\.3\d+; {each}\)\n", done.out)


def test_a_random_split_flatters(config_file: Path, checkpoint: Path) -> None:
    grouped = load_config(config_file)
    at_random = grouped.model_copy(update={"data": grouped.data.model_copy(update={"test": None})})
    found = {}
    for name, config, path in (
        ("grouped", grouped, checkpoint),
        ("at random", at_random, trained(at_random, checkpoint.parent.parent / "random")),
    ):
        dataset, sets = load_data(config)
        encode = float_encoder(load_checkpoint(path).model(), torch.device("cpu"))
        found[name] = retrieval_figures(encode, dataset, sets.test, sets.database).mean_average_precision
    assert found["at random"] > found["grouped"] + 0.1


def test_the_facts_of_the_training_are_in_every_file(checkpoint: Path, tmp_path: Path) -> None:
    facts = load_checkpoint(checkpoint).data
    assert facts is not None
    assert facts.classes == ("bar", "cross", "ring")
    assert (facts.window_us, facts.hop_us, facts.sensor) == (200_000, 200_000, (SIDE, SIDE))
    export_onnx(load_network(checkpoint), tmp_path / "a.onnx")
    export_nir(load_network(checkpoint), tmp_path / "a.nir")
    for path, backend in (
        (tmp_path / "a.onnx", None),
        (tmp_path / "a.onnx", "onnxruntime"),
        (tmp_path / "a.nir", None),
    ):
        assert load_encoder(path, backend).data == facts
    for backend in ("torch", "events"):
        assert load_encoder(checkpoint, backend).data == facts


def test_all_commands_cut_alike_without_being_told(
    call: Call, checkpoint: Path, sessions: Path, tmp_path: Path
) -> None:
    encoder = tmp_path / "a.onnx"
    export_onnx(load_network(checkpoint), encoder)
    file = sessions / "bar" / "session1" / "0.h5"
    coded = json.loads(call(run_command, encoder, file, "--json").out)
    assert [(row["start"], row["end"]) for row in coded] == [(n / 5, (n + 1) / 5) for n in range(8)]
    parts, frames = binned(Windows(200_000, 200_000).cut(load_recording(file, (SIDE, SIDE, 2))), 4, 16)
    assert len(parts) == 8
    assert [row["code"] for row in coded] == [code.tobytes().hex() for code in load_encoder(encoder).encode(frames)]

    commonest = set()
    for name in ("bar", "cross", "ring"):
        rows = json.loads(call(run_command, encoder, sessions / name / "session0" / "0.h5", "--json").out)
        commonest.add(Counter(row["code"] for row in rows).most_common(1)[0][0])
    assert len(commonest) == 3, "distinct things have distinct codes"

    index = tmp_path / "idx"
    assert "144 added" in call(search, "build", sessions / "bar" / "..", "--encoder", encoder, "--index", index).out
    with sqlite3.connect(index / "manifest.sqlite") as database:
        rows = database.execute(
            "SELECT start, stop, label, code FROM recordings WHERE path = ? ORDER BY start", (str(file),)
        ).fetchall()
    assert [(start, stop) for start, stop, *_ in rows] == [(n * 200_000, (n + 1) * 200_000) for n in range(8)]
    assert {label for *_, label, _ in rows} == {"bar"}
    assert [code.hex() for *_, code in rows] == [row["code"] for row in coded]
    again = call(search, "build", sessions, "--encoder", encoder, "--index", index)
    assert again.out.startswith(f"{index}: 0 added, 18 there before")

    asked = ("query", file, "--index", index, "--at", 0.7, "--json")
    nearest = json.loads(call(search, *asked).out)
    assert nearest["code"] == coded[3]["code"]
    assert {"start", "end"} <= set(nearest["hits"][0])
    page = tmp_path / "out.html"
    assert call(search, *asked[:-1], "--html", page).code == 0
    assert '"frames"' in page.read_text()
    figures = json.loads(call(search, "eval", "--index", index, "--json").out)
    assert figures["by_class"]["bar"]["queries"] == 48
    assert call(search, "check", index).out == f"{index}: whole, 144 codes\n"


def test_a_changed_file_gives_its_windows_anew(call: Call, checkpoint: Path, tmp_path: Path) -> None:
    root, index = tmp_path / "set", tmp_path / "idx"
    for number in range(2):
        write_h5(root / "bar" / f"{number}.h5", simulate("bar", 0, number, SIDE, 0.8))
    asked = ("build", root, "--encoder", checkpoint, "--index", index, "--workers", 1)
    assert "8 added, 0 there before, 8 codes in all" in call(search, *asked).out
    write_h5(root / "bar" / "1.h5", simulate("bar", 0, 7, SIDE, 0.6))
    assert "3 encoded again" not in call(search, *asked).out
    assert len(Manifest(index)) == 7
    assert call(search, "check", index).code == 0


def test_whole_files_are_warned_of(call: Call, checkpoint: Path, sessions: Path) -> None:
    files = sorted((sessions / "bar" / "session0").iterdir())
    done = call(run_command, checkpoint, *files, "--window", 1600)
    assert done.code == 0
    assert len(done.out.splitlines()) == 3
    assert "cut into windows of 1600 ms, but the network was trained on windows of 200 ms" in done.err
    fuller = [line for line in done.err.splitlines() if "of its frames is on, those trained on have" in line]
    assert len(fuller) == 1, "said once, not for each file"
    assert fuller[0].startswith(f"{files[0]} (and 2 others alike): ")
    assert fuller[0].endswith("use shorter windows (--window MS)")


@pytest.mark.parametrize(("seconds", "fill", "said"), [(0.2, 0.1, 0), (0.2, 0.5, 1), (0.2, 0.001, 1), (3.0, 0.1, 1)])
def test_what_is_unlike_the_training_is_named(seconds: float, fill: float, said: int) -> None:
    facts = DataFacts(fill=(0.05, 0.1, 0.2), seconds=(0.19, 0.2, 0.2), sensor=(SIDE, SIDE))
    part = recording(np.linspace(0, seconds * 1e6, 50).astype(np.int64))
    frames = np.zeros((1, 1, 2, 50, 100), np.uint8)
    frames.reshape(-1)[: round(fill * frames.size)] = 1
    assert len(unlike(facts, [part], frames)) == said
    assert unlike(None, [part], frames) == ([] if fill < 0.3 else [unlike(None, [part], frames)[0]])


@pytest.mark.parametrize(("milliseconds", "warned"), [(300, False), (160, False), (600, False), (5, True), (900, True)])
def test_windows_as_long_as_the_recordings_of_the_training_are_no_news(
    capsys: pytest.CaptureFixture[str], milliseconds: float, warned: bool
) -> None:
    facts = DataFacts(seconds=(0.29, 0.3, 0.31))
    assert chosen_windows(facts, milliseconds, None) == Windows(milliseconds * 1000, milliseconds * 1000)
    told = f"--window: cut into windows of {milliseconds} ms, but the network was trained on "
    assert capsys.readouterr().err == (f"{told}whole recordings of 0.29 to 0.31 s\n" if warned else "")
    assert chosen_windows(DataFacts(), milliseconds, None) is not None
    assert capsys.readouterr().err == f"{told}whole recordings\n"


@pytest.mark.parametrize(("seconds", "remedy"), [(3.0, "--window MS cuts it"), (0.01, "longer windows (--window MS)")])
def test_the_remedy_is_that_of_a_recording_too_long_or_too_short(seconds: float, remedy: str) -> None:
    events = np.zeros(2, EVENT_DTYPE)
    events["t"] = 0, round(seconds * 1e6)
    facts = DataFacts(seconds=(0.29, 0.3, 0.31))
    (remark,) = unlike(facts, [Recording(events, (34, 34, 2))], np.zeros((1, 4, 2, 8, 8), np.uint8))
    assert remark.startswith(f"it lasts {seconds:.3g} s, those trained on 0.29 to 0.31 s: ")
    assert remedy in remark


@pytest.mark.parametrize("network", ["digits", "nmnist"])
def test_the_committed_networks_know_how_full_their_frames_were(call: Call, tmp_path: Path, network: str) -> None:
    """Dark recordings, and long ones, get codes that mean nothing: it is said."""
    (usual,) = simulate_digits([7])
    slow = usual.copy()
    slow["t"] *= 10
    for name, events in {"usual": usual, "dark": usual[::40], "long": slow}.items():
        np.save(tmp_path / f"{name}.npy", events)
    done = call(run_command, CHECKPOINTS / f"{network}.pt", *sorted(tmp_path.iterdir()), "--sensor", "34x34")
    assert done.code == 0
    dark, late = done.err.splitlines()
    assert re.fullmatch(r".*/dark.npy: \S+% of its frames is on, .* use longer windows \(--window MS\)", dark)
    assert re.fullmatch(r".*/long.npy: it lasts \S+ s, those trained on 0.2\d+ to 0.3\d+ s: --window MS cuts it", late)


def test_own_recordings_are_evaluated_verified_and_reported(
    call: Call, checkpoint: Path, sessions: Path, tmp_path: Path
) -> None:
    done = call(evaluate, checkpoint, "--shifts", 6)
    assert "72 windows of 9 recordings ask, 63 windows of 9 recordings are searched; mAP of chance 0.3" in done.out
    assert done.out.count("24 windows of 3") == 3
    assert "6 px" in done.out
    compared = call(verify, checkpoint, "--backends", "torch,events", "--data", sessions, "--samples", 5)
    assert (compared.code, f"compared on 5 of {sessions}" in compared.out) == (0, True)
    assert call(drift, checkpoint, "--samples", 4).code == 0

    encoder = tmp_path / "a.nir"
    export_nir(load_network(checkpoint), encoder)
    refused = call(report, encoder, "--out", tmp_path / "report")
    assert (refused.code, "--recordings FOLDER" in refused.err) == (2, True)
    done = call(report, encoder, "--recordings", sessions, "--profiles", "cmos_45nm", "--out", tmp_path / "report")
    assert done.code == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert str(sessions) in page
    assert "not measured" in page
    for other in ("digits, simulated", "N-MNIST", "nmnist"):
        assert other not in page, other


def test_classes_are_the_first_folders_and_sessions_may_lie_below(sessions: Path, monkeypatch_module: object) -> None:
    dataset, sets = load_data(parse_config(config_values(sessions, group="folder"), "config"))
    assert dataset.classes == ("bar", "cross", "ring")
    of = [{dataset.files[row].split("/")[1] for row in part} for part in (sets.test, sets.database)]
    assert not of[0] & of[1]


def config_values(root: Path, **data: object) -> dict[str, object]:
    encoder = {"time_steps": 4, "size": 16, "levels": [1, 1, 0], **SMALL.model_dump(include={"channels", "blocks"})}
    shapes = SMALL.model_dump(include={"mixers", "heads", "channels_per_group", "mlp_ratio", "bits"})
    own = {"name": "folder", "root": root, "sensor": "48x48", "window_ms": 200, **data}
    return {"data": own, "encoder": encoder | shapes}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"window_ms": 0.003}, "data.window_ms is 0.003, 3 us, but 4 time steps need as many microseconds"),
        ({"window_ms": None, "hop_ms": 5}, "hop_ms is 5, but window_ms is not given"),
        ({"window_ms": 9000}, "its events span .* ms, a window has 9000 ms: leave it out"),
        (
            {"test": "*/monday/*"},
            r"'\*/monday/\*': 0 of 144 windows match; paths below .* are as 'bar/session0",
        ),
        ({"test": "bar"}, r"class bar has 0 recordings, .* \(validation queries and database, beside the test\)"),
        ({"sensor": "48by48"}, "data.sensor"),
    ],
)
def test_bad_data_is_refused_before_training(
    sessions: Path, data: dict[str, object], message: str, monkeypatch_module: object
) -> None:
    with pytest.raises(SpikinghashError, match=message):
        load_data(parse_config(config_values(sessions, **data), "config"))


def test_classes_that_no_test_query_is_of_are_named(sessions: Path, monkeypatch_module: object) -> None:
    config = parse_config(config_values(sessions, test="bar/session1/*"), "config")
    told = list(before(config, *load_data(config), DataFacts()))
    assert "test queries: none of cross, ring, of which the test figure says nothing" in told


def test_a_test_folder_of_another_sensor_is_refused(sessions: Path, tmp_path: Path, monkeypatch_module: object) -> None:
    (tmp_path / "other" / "bar").mkdir(parents=True)
    rows = [(number % 99, 3, 1000 * number, 1) for number in range(300)]
    event_files.aedat4(tmp_path / "other" / "bar" / "a.aedat4", rows, 128, 96)
    with pytest.raises(RecordingError, match=r"a sensor of 128x96 pixels, that of data\.root has 48x48"):
        load_data(parse_config(config_values(sessions, test=str(tmp_path / "other")), "config"))


def test_files_that_cannot_be_used_are_skipped_and_named(
    sessions: Path, tmp_path: Path, monkeypatch_module: object
) -> None:
    root = tmp_path / "set"
    for number in range(3):
        write_h5(root / "bar" / f"{number}.h5", simulate("bar", 0, number, SIDE, 0.5))
    (root / "bar" / "bad.h5").write_bytes(b"no HDF5")
    dataset, _ = load_data(parse_config(config_values(root), "config"))
    assert len(dataset.skipped) == 1
    assert "bad.h5" in dataset.skipped[0]
    assert len(dataset) == 6


def test_a_test_folder_beside_is_asked_for_the_classes_that_are_known(
    sessions: Path, tmp_path: Path, monkeypatch_module: object
) -> None:
    for name in ("ring", "cross"):
        write_h5(tmp_path / "later" / name / "1.h5", simulate(name, 1, 9, SIDE, 0.6))
    (tmp_path / "later" / "cross").rename(tmp_path / "later" / "dog")
    dataset, sets = load_data(parse_config(config_values(sessions, test=str(tmp_path / "later")), "config"))
    assert dataset.names(dataset.labels[sets.test]) == ["ring"] * 3
    assert {dataset.files[row] for row in sets.test.tolist()} == {"test/ring/1.h5"}
    assert any("class dog is not trained on, left out" in line for line in dataset.skipped)
    assert len(sets.database) + len(sets.validation) == 144


def test_a_class_that_the_database_lacks_counts_in_no_figure() -> None:
    labels = np.repeat(np.arange(2), 8)
    codes = np.random.default_rng(0).integers(0, 256, (16, 2)).astype(np.uint8)
    with_stranger = retrieval.evaluate(codes, np.where(np.arange(16) < 3, 7, labels), codes, labels, (4,))
    without = retrieval.evaluate(codes[3:], labels[3:], codes, labels, (4,))
    assert with_stranger.left_out == (7,)
    assert replace(with_stranger, left_out=()) == without
    alike = retrieval.evaluate(np.zeros_like(codes), labels, np.zeros_like(codes), labels)
    assert without.chance == pytest.approx(alike.mean_average_precision)
    mean = np.average(list(without.by_class.values()), weights=[5, 8])
    assert mean == pytest.approx(without.mean_average_precision)


@given(st.integers(0, 50), st.integers(2, 4), st.integers(1, 4))
def test_windows_of_the_own_file_are_not_searched(seed: int, files: int, windows: int) -> None:
    generator = np.random.default_rng(seed)
    count = 2 * files * windows
    codes, labels = generator.integers(0, 4, (count, 1)).astype(np.uint8), np.repeat(["a", "b"], count // 2)
    of_file = np.arange(count) // windows
    index = FlatIndex(8)
    index.add(codes, np.arange(count))
    found = evaluate_index(index, codes, labels.tolist(), Queries(codes, labels.tolist(), np.arange(count), of_file))
    numbers, single = (labels == "b").astype(np.int64), []
    for query in range(count):
        others = of_file != of_file[query]
        one = slice(query, query + 1)
        single.append(retrieval.evaluate(codes[one], numbers[one], codes[others], numbers[others], ()))
    assert found.mean_average_precision == pytest.approx(np.mean([one.mean_average_precision for one in single]))
    assert found.chance == pytest.approx(np.mean([one.chance for one in single]))
    assert found.by_class["a"]["queries"] == count // 2


def test_a_session_that_a_class_lacks_is_named(tmp_path: Path, monkeypatch_module: object) -> None:
    for name, session in (("bar", 0), ("bar", 1), ("ring", 0)):
        write_h5(tmp_path / "set" / name / f"session{session}" / "0.h5", simulate(name, session, 0, SIDE, 0.5))
    with pytest.raises(RecordingError, match=r"test is session\d, but class ring has windows in session0: 2"):
        load_data(parse_config(config_values(tmp_path / "set", group="folder"), "config"))


def test_a_training_with_files_that_cannot_be_used_ends_with_3(
    call: Call, tmp_path: Path, monkeypatch_module: object
) -> None:
    root = tmp_path / "things"
    for name in ("bar", "ring"):
        for session in range(2):
            write_h5(root / name / f"session{session}" / "0.h5", simulate(name, session, 0, SIDE, 1.0))
    (root / "bar" / "session0" / "bad.h5").write_bytes(b"no HDF5")
    (tmp_path / "own.toml").write_text(CONFIG.format(root="things", epochs=1))
    done = call(training.main, "--config", tmp_path / "own.toml", "--out", tmp_path / "run")
    assert done.code == 3
    assert re.search(r"\nskipped: .*bad\.h5: ", done.out)
    assert "epoch 1/1  loss " in done.err
    assert done.err.endswith("1 skipped\n")
