"""Pictures in the place of recordings: the code of a picture is that of the frames that a training sees."""

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import deploy.backends.run as deploy_run
import deploy.search.__main__ as search
from deploy.backends.encoders import load_encoder
from deploy.search.page import film
from export.encoder.network import build_network
from export.onnx.to_onnx import export_onnx
from tests.commands import Call
from tests.networks import SMALL, calibrated
from training.data import images
from training.data.reader import Reader, is_input
from training.data.stills import SHOWN, image_to_frames, read_image
from training.data.windows import Windows


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stills") / "encoder.onnx"
    export_onnx(build_network(calibrated(SMALL)), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures in two classes, in two formats."""
    generator = np.random.default_rng(0)
    for index in range(6):
        name = tmp_path / "pictures" / "ab"[index % 2] / f"{index}{'.png' if index < 4 else '.jpg'}"
        name.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(generator.integers(0, 256, (40, 30 + index), dtype=np.uint8)).save(name)
    return tmp_path / "pictures"


def test_codes_are_those_of_the_frames_of_a_training(folder: Path, encoder: Path, call: Call) -> None:
    loaded, source = load_encoder(encoder), images.source(folder).open()
    paths = [folder / name for name in source.ids]
    frames = np.stack([image_to_frames(read_image(path, loaded.size), loaded.time_steps) for path in paths])
    done = call(deploy_run.main, encoder, *paths, "--json")
    assert (done.code, done.err) == (0, "")
    assert [row["code"] for row in json.loads(done.out)] == [code.tobytes().hex() for code in loaded.encode(frames)]


def test_a_folder_stands_for_the_pictures_in_it(folder: Path, encoder: Path, call: Call) -> None:
    paths = sorted(folder.rglob("*.*"))
    done = call(deploy_run.main, encoder, folder)
    assert (done.code, done.err) == (0, "")
    assert done.out == call(deploy_run.main, encoder, *paths).out
    assert [line.partition("  ")[2] for line in done.out.splitlines()] == list(map(str, paths))


def test_pictures_are_found_by_their_like(folder: Path, encoder: Path, call: Call, tmp_path: Path) -> None:
    index = tmp_path / "index"
    done = call(search.main["build"], folder, "--encoder", encoder, "--index", index)
    assert done.code == 0, done.err
    query = folder / "a" / "4.jpg"
    done = call(search.main["query"], query, "--index", index, "--find", "recording", "--json")
    assert done.code == 0, done.err
    best, *_ = json.loads(done.out)["hits"]
    assert (best["path"], best["label"], best["distance"]) == (str(query), "a", 0)


def test_a_picture_is_not_cut_and_is_shown_whole(folder: Path) -> None:
    path = folder / "b" / "1.png"
    assert is_input(path)
    (still,) = Reader(windows=Windows(1000, 1000)).read(path)
    frame = still.frames(3, SHOWN)
    assert (frame == frame[0]).all()
    shown = film(still)
    assert shown["events"] == frame[0].sum() > 0


def test_a_damaged_picture_is_one_line(tmp_path: Path, encoder: Path, call: Call) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    done = call(deploy_run.main, encoder, path)
    assert (done.code, done.out) == (2, "")
    assert f"{path}: damaged, or no image" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_missing_picture_and_a_folder_without_any_are_one_line(tmp_path: Path, encoder: Path, call: Call) -> None:
    missing = call(deploy_run.main, encoder, tmp_path / "none.png")
    assert (missing.code, missing.out) == (2, "")
    assert missing.err == f"error: {tmp_path / 'none.png'}: cannot be read: No such file or directory\n"
    empty = call(deploy_run.main, encoder, tmp_path)
    assert (empty.code, empty.out) == (2, "")
    assert empty.err.startswith(f"error: {tmp_path}: holds no recording or picture (")
