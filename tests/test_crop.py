"""Sensors that are larger than the frame, or of another shape: which square of them an encoder sees, by every door."""

import base64
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import median_low

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import TINY, calibrated
from numpy.typing import NDArray

import spikinghash
from deploy.backends.encoders import load_encoder, load_hasher
from deploy.backends.run import main as run_command
from deploy.live.coder import Coder
from deploy.search.building import add_sources
from deploy.search.files import find_sources
from deploy.search.page import describe_answer
from deploy.search.searcher import Searcher
from deploy.search.store import open_or_create
from deploy.web import build as web
from export.encoder.network import load_network
from export.nir.inspect import main as inspect
from export.nir.to_nir import export_nir
from export.onnx.to_onnx import export_onnx
from spikinghash.errors import ConfigError, SearchError
from tests.commands import Call
from training.checkpoint import Checkpoint, save_checkpoint
from training.config import parse_config
from training.data.binning import Crop, events_to_frames, place_events, square_side
from training.data.events import EVENT_DTYPE, Events
from training.data.facts import DataFacts
from training.data.frames import load_dataset
from training.data.reader import Reader

SENSOR = (46, 34)
WIDE = TINY.model_copy(update={"bits": 64, "vote": 1})
"""Codes of recordings that differ."""
SIZE = WIDE.size
CROPS: tuple[Crop, ...] = ("centre", "whole", "activity")
Pixels = tuple[tuple[int, int], ...]


def events_at(pixels: Sequence[tuple[int, int]], step: int = 1000) -> Events:
    """An ON event at each of the pixels, one after another."""
    events = np.zeros(len(pixels), EVENT_DTYPE)
    events["x"], events["y"] = np.array(pixels).reshape(-1, 2).T
    events["t"], events["p"] = step * np.arange(len(pixels)), True
    return events


def blob(seed: int, count: int = 400) -> Events:
    """Events around a place of the sensor, and a few anywhere."""
    generator = np.random.default_rng(seed)
    place = generator.uniform((5, 5), (SENSOR[0] - 5, SENSOR[1] - 5))
    found = generator.normal(place, 4, (count, 2)).round().astype(int)
    found[::9] = generator.integers((0, 0), SENSOR, found[::9].shape)
    events = events_at(np.clip(found, 0, np.array(SENSOR) - 1).tolist(), 100)
    events["p"] = generator.random(count) < 0.5
    return events


def gathered(picture: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Sums of ``picture`` (k size, k size) over squares of k x k."""
    factor = len(picture) // size
    return picture.reshape(size, factor, size, factor).sum(axis=(1, 3))


def corner(pixels: Sequence[tuple[int, int]], crop: Crop, side: int, sensor: tuple[int, int] = SENSOR) -> list[int]:
    """Left column and upper row of a square that lies inside the sensor, from the pages of statistics."""
    if crop == "centre":
        return [-(-(length - side) // 2) for length in sensor]
    medians = (median_low(values) for values in zip(*pixels, strict=True))
    return [sorted((0, median - side // 2, length - side))[1] for median, length in zip(medians, sensor, strict=True)]


@settings(max_examples=60)
@given(st.data())
def test_a_pixel_of_the_frame_gathers_a_square_of_the_sensor(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 9))
    width, height = (data.draw(st.integers(size + 1, 40)) for _ in "xy")
    crop = data.draw(st.sampled_from(["centre", "activity"]))
    pixel = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))
    pixels = data.draw(st.lists(pixel, min_size=1, max_size=30))
    side = square_side((width, height), size, crop)
    assume(side > size)  # unscaled frames are in the next test
    picture = np.zeros((height, width), np.int64)
    np.add.at(picture, tuple(np.array(pixels).T[::-1]), 1)
    left, top = corner(pixels, crop, side, (width, height))
    wanted = gathered(picture[top : top + side, left : left + side], size)
    x, y, inside = place_events(events_at(pixels), (width, height, 2), size, crop)
    found = np.zeros((size, size), np.int64)
    np.add.at(found, (y[inside], x[inside]), 1)
    assert np.array_equal(found, wanted)
    assert side == max(factor * size for factor in range(1, 41) if factor * size <= min(width, height))


@settings(max_examples=60)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 130), st.sampled_from([None, *CROPS]))
def test_the_default_is_what_it_was_and_others_agree_with_it(
    width: int, height: int, size: int, crop: Crop | None
) -> None:
    events = events_at([(x, y) for x in range(0, width, 3) for y in range(0, height, 3)])
    side = max(width, height)
    x, y = events["x"].astype(int), events["y"].astype(int)
    if side - size > size // 8:  # the rule of the first version, word for word
        x, y = (x + (side - width) // 2) * size // side, (y + (side - height) // 2) * size // side
    else:
        x, y = x - (width - size) // 2, y - (height - size) // 2
    alike = {
        None: True,
        "whole": side - size > size // 8 or side <= size,
        "centre": side - size <= size // 8,
        "activity": side <= size,
    }
    found = place_events(events, (width, height, 2), size, crop)
    if alike[crop]:
        assert [found[0].tolist(), found[1].tolist()] == [x.tolist(), y.tolist()]
    assert square_side((width, height), size, crop) >= size


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(-4, 3), st.integers(-4, 3))
def test_activity_elsewhere_makes_the_same_frames(seed: int, right: int, down: int) -> None:
    generator = np.random.default_rng(seed)
    events = events_at(generator.integers((20, 20), (29, 29), (60, 2)).tolist())
    moved = events.copy()
    moved["x"] += right
    moved["y"] += down
    frames = [events_to_frames(each, (47, 47, 2), 4, 16, crop="activity") for each in (events, moved)]
    assert np.array_equal(*frames)
    assert frames[0].any()


def wanted_frames(events: Events, crop: Crop) -> NDArray[np.uint8]:
    """Frames of ``events`` of ``SENSOR`` by slices of pictures, bin by bin."""
    pixels = list(zip(events["x"].tolist(), events["y"].tolist(), strict=True))
    side = {"whole": max(SENSOR)}.get(crop, 2 * SIZE)
    left, top = (0, -6) if crop == "whole" else corner(pixels, crop, side)
    kept = [
        (time, (x - left) * SIZE // side, (y - top) * SIZE // side, on)
        for (x, y), time, on in zip(pixels, events["t"].tolist(), events["p"].tolist(), strict=True)
        if 0 <= x - left < side and 0 <= y - top < side
    ]
    length = (kept[-1][0] - kept[0][0]) // WIDE.time_steps
    frames = np.zeros((WIDE.time_steps, 2, SIZE, SIZE), np.uint8)
    for time, x, y, on in kept:
        if (step := (time - kept[0][0]) // length) < WIDE.time_steps:
            frames[step, 1 - on, y, x] = 1
    return frames


@pytest.fixture(scope="module", params=CROPS)
def crop(request: pytest.FixtureRequest) -> Crop:
    chosen: Crop = request.param
    return chosen


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of three files that do not tell their sensor."""
    folder = tmp_path_factory.mktemp("recordings")
    for number in range(6):
        (folder / "ab"[number % 2]).mkdir(exist_ok=True)
        np.save(folder / "ab"[number % 2] / f"{number}.npy", blob(number))
    return folder


@pytest.fixture(scope="module")
def artefacts(crop: Crop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An encoder that was trained with ``crop``, in every form."""
    folder = tmp_path_factory.mktemp("artefacts")
    config = parse_config({"data": {"name": "folder", "root": "x", "crop": crop}, "encoder": WIDE.model_dump()}, "here")
    weights, facts = calibrated(WIDE).state_dict(), DataFacts(sensor=SENSOR, crop=crop)
    save_checkpoint(folder / "a.pt", Checkpoint(config, weights, 1, {}, data=facts))
    network = load_network(folder / "a.pt")
    export_onnx(network, folder / "a.onnx")
    export_nir(network, folder / "a.nir")
    return {suffix: folder / f"a.{suffix}" for suffix in ("pt", "onnx", "nir")}


def test_every_door_crops_as_the_training_did(
    crop: Crop, artefacts: dict[str, Path], recordings: Path, call: Call, tmp_path: Path
) -> None:
    paths = sorted(recordings.rglob("*.npy"))
    frames = np.stack([wanted_frames(np.load(path), crop) for path in paths])
    codes = load_encoder(artefacts["onnx"]).encode(frames)
    assert len(np.unique(codes, axis=0)) == len(paths)
    for path in artefacts.values():
        encoder = spikinghash.load(path)
        assert np.array_equal(encoder.encode_files(paths), codes)
        assert np.array_equal(encoder.encode(np.load(paths[0]), SENSOR), codes[0])
        (window,) = encoder.stream(np.load(paths[0]), 10**6, sensor=SENSOR)
        assert np.array_equal(window.code, codes[0])
        done = call(run_command, path, *paths)
        assert [line.split()[0] for line in done.out.splitlines()] == [code.tobytes().hex() for code in codes]
    told = Coder(load_hasher(artefacts["onnx"])).encode(np.load(paths[0]), (*SENSOR, 2))
    assert told is not None
    assert told[0] == codes[0].tobytes().hex()
    entries = web.facts_of(artefacts["onnx"], list(find_sources(recordings)), (*SENSOR, 2))["entries"]
    assert sorted(entry["code"] for entry in entries) == sorted(code.tobytes().hex() for code in codes)


def test_an_index_keeps_the_crop_and_refuses_another(
    crop: Crop, artefacts: dict[str, Path], recordings: Path, tmp_path: Path
) -> None:
    encoder = artefacts["onnx"]
    reader = Reader.of(load_hasher(encoder).data)
    manifest = open_or_create(tmp_path / "index", encoder, WIDE.bits, "flat", None, reader)
    report = add_sources(tmp_path / "index", manifest, list(find_sources(recordings)), workers=1)
    assert (report.added, manifest.facts.crop) == (6, crop)
    answer = Searcher(tmp_path / "index").query(recordings / "a" / "0.npy", 1)
    assert answer.frames is not None
    assert np.array_equal(answer.frames, wanted_frames(blob(0), crop))
    assert answer.hits[0].distance == 0
    for shown in (described := describe_answer(answer))["query"], described["hits"][0]:
        bits = np.frombuffer(base64.b64decode(shown["frames"]["bits"]), np.uint8)
        assert np.array_equal(bits, np.packbits(wanted_frames(blob(0), crop)))
    other = Reader((*SENSOR, 2), crop="whole" if crop == "centre" else "centre")
    with pytest.raises(SearchError, match=f"made with --crop {crop}, not {other.crop}: give another --index"):
        open_or_create(tmp_path / "index", encoder, WIDE.bits, "flat", None, other)


def test_files_tell_the_crop_and_another_is_warned_of(
    crop: Crop, artefacts: dict[str, Path], recordings: Path, call: Call, tmp_path: Path
) -> None:
    side = 46 if crop == "whole" else 32
    for path in (artefacts["onnx"], artefacts["nir"]):
        told = call(inspect, path, *(["-o", tmp_path / "a.svg"] if path.suffix == ".nir" else []))
        assert f"crop of the sensor: {crop}: {side}x{side} of 46x34 pixels become 16x16" in told.out
    paths = sorted(recordings.rglob("*.npy"))
    for other in CROPS:
        done = call(run_command, artefacts["pt"], *paths, "--crop", other)
        frames = np.stack([wanted_frames(np.load(path), other) for path in paths])
        codes = load_encoder(artefacts["onnx"]).encode(frames)
        assert [line.split()[0] for line in done.out.splitlines()] == [code.tobytes().hex() for code in codes]
        assert len(np.unique(codes, axis=0)) == len(paths)
        assert (f"--crop: {other}, but the network was trained on {crop}" in done.err) == (other != crop)


@pytest.mark.usefixtures("cache_folder")
def test_training_sees_the_crop(recordings: Path) -> None:
    paths = sorted(recordings.rglob("*.npy"))
    for crop in CROPS:  # of one cache
        sizes = {"time_steps": WIDE.time_steps, "size": SIZE, "sensor": SENSOR}
        loaded = load_dataset("folder", root=recordings, crop=crop, **sizes)
        assert np.array_equal(loaded.frames, np.stack([wanted_frames(np.load(path), crop) for path in paths]))


def test_images_have_no_sensor() -> None:
    with pytest.raises(ConfigError, match="crop is 'centre', but images have no sensor: leave it out"):
        parse_config({"data": {"name": "images", "crop": "centre"}}, "here")
    with pytest.raises(ConfigError, match=r"data\.crop"):
        parse_config({"data": {"crop": "middle"}}, "here")


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on the PATH")
def test_the_page_crops_alike(tmp_path: Path) -> None:
    cases = []
    for seed, (sensor, size) in enumerate([(SENSOR, 16), (SENSOR, 32), (SENSOR, 64), ((47, 33), 8), ((20, 45), 13)]):
        events = blob(seed)
        events["x"], events["y"] = events["x"] % sensor[0], events["y"] % sensor[1]
        columns = {field: events[field].astype(int).tolist() for field in "xytp"}
        for crop in (None, *CROPS):
            frames = events_to_frames(events, (*sensor, 2), 4, size, crop=crop)
            cases.append(([columns, sensor, 4, size, crop], np.flatnonzero(frames).tolist()))
    shutil.copy(web.HERE / "frames.js", tmp_path / "frames.mjs")
    (tmp_path / "cases.mjs").write_text(
        """
        import { toFrames } from "./frames.mjs";
        import { readFileSync } from "node:fs";
        const ones = frames => [...frames.keys()].filter(at => frames[at]);
        console.log(JSON.stringify(JSON.parse(readFileSync(0)).map(each => ones(toFrames(...each)))));
        """
    )
    command, given = ["node", str(tmp_path / "cases.mjs")], json.dumps([arguments for arguments, _ in cases])
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [found for _, found in cases]
