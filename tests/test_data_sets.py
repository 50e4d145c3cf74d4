"""Data sets in folders: tonic's, own recordings, images, and the official splits."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import event_files
import numpy as np
import PIL.Image
import pytest
from search_cases import write_random_recording

from deploy.search.files import find_sources, passed_over
from spikinghash.errors import RecordingError
from training.config import Config, DataConfig, DataName, EncoderConfig
from training.data import frames
from training.data.binning import events_to_frames
from training.data.configured import load_data
from training.data.events import EVENT_DTYPE, Events
from training.data.frames import load_dataset
from training.data.sampling import recording_files
from training.data.stills import image_to_frames, read_image

Rows = list[event_files.Row]

pytestmark = pytest.mark.usefixtures("cache_folder")


def random_rows(seed: int, width: int, height: int, count: int = 40) -> Rows:
    generator = np.random.default_rng(seed)
    times = np.sort(generator.integers(0, 300, count)) * 1000
    return [
        (int(generator.integers(width)), int(generator.integers(height)), int(t), int(generator.integers(2)))
        for t in times
    ]


def as_events(rows: Sequence[event_files.Row]) -> Events:
    return np.array(list(rows), EVENT_DTYPE)


# --- tonic's data sets: written in the layout and format that tonic's own class reads -----------------------------


def write_dvsgesture(root: Path) -> dict[str, Rows]:
    """The gesture data set as tonic has it: float rows of x, y, p and milliseconds."""
    content = {
        f"{part}/{user}/{label}": random_rows(7 * label + len(user) + len(part), 128, 128)
        for part, users in (
            ("ibmGestureTrain", ("user10_led", "user02_fluorescent", "user03_lab")),
            ("ibmGestureTest", ("user24_led",)),
        )
        for user in users
        for label in (0, 1, 10)
    }
    for name, rows in content.items():
        path = root / "DVSGesture" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.array([(x, y, p, t / 1000) for x, y, t, p in rows]))
    return content


def write_cifar10dvs(root: Path) -> dict[str, Rows]:
    names = [f"{kind}/cifar10_{kind}_{index}" for kind in ("airplane", "cat", "truck") for index in range(4)]
    content = {name: random_rows(seed, 128, 128) for seed, name in enumerate(names)}
    for name, rows in content.items():
        path = root / "CIFAR10DVS" / f"{name}.aedat4"
        path.parent.mkdir(parents=True, exist_ok=True)
        event_files.aedat4(path, rows, 128, 128)
    return content


def write_ncaltech101(root: Path) -> dict[str, Rows]:
    names = [
        f"Caltech101/{kind}/image_{i:04d}" for kind in ("BACKGROUND_Google", "accordion", "wrench") for i in range(3)
    ]
    sizes = [(60 + 20 * index, 175 - 15 * index) for index in range(len(names))]
    content = {name: random_rows(seed, *sizes[seed]) for seed, name in enumerate(names)}
    for name, rows in content.items():
        path = root / "NCALTECH101" / f"{name}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        event_files.bin40(path, rows, 240, 180)
    return content


SETS: dict[DataName, tuple[Callable[[Path], dict[str, Rows]], tuple[int, int] | None]] = {
    "dvsgesture": (write_dvsgesture, (128, 128)),
    "cifar10dvs": (write_cifar10dvs, (128, 128)),
    "ncaltech101": (write_ncaltech101, None),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("size", [32, 128])
def test_tonics_data_sets_load_as_frames(tmp_path: Path, name: DataName, size: int) -> None:
    write, sensor = SETS[name]
    content = write(tmp_path)
    loaded = load_dataset(name, time_steps=4, size=size, root=tmp_path)
    assert sorted(loaded.ids) == sorted(content)
    for index, recording in enumerate(loaded.ids):
        events = as_events(content[recording])
        if sensor is None:  # tonic shifts N-Caltech101's recordings to the corner
            events["x"] -= events["x"].min()
            events["y"] -= events["y"].min()
        area = sensor or (int(events["x"].max()) + 1, int(events["y"].max()) + 1)
        assert np.array_equal(loaded.frames[index], events_to_frames(events, (*area, 2), 4, size))


def test_labels_are_those_of_the_folders(tmp_path: Path) -> None:
    for name, (write, _) in SETS.items():
        write(tmp_path)
        loaded = load_dataset(name, time_steps=4, root=tmp_path)
        shown = [
            Path(recording).name if name == "dvsgesture" else Path(recording).parent.name for recording in loaded.ids
        ]
        numbers = {
            "dvsgesture": {"0": 0, "1": 1, "10": 10},
            "cifar10dvs": {"airplane": 0, "cat": 3, "truck": 9},  # tonic's numbers
            "ncaltech101": {"BACKGROUND_Google": 0, "accordion": 1, "wrench": 2},
        }[name]
        assert loaded.labels.tolist() == [numbers[kind] for kind in shown]


def test_the_official_test_set_of_dvs_gesture_are_the_test_queries(tmp_path: Path) -> None:
    write_dvsgesture(tmp_path)
    config = Config(data=DataConfig(name="dvsgesture", root=tmp_path), encoder=EncoderConfig(time_steps=8))
    dataset, sets = load_data(config)
    assert dataset.test is not None
    official = [recording.startswith("ibmGestureTest") for recording in dataset.ids]
    assert dataset.test.tolist() == official
    assert sets.test.tolist() == np.flatnonzero(official).tolist()
    assert sorted([*sets.test, *sets.validation, *sets.database]) == list(range(12))
    assert set(dataset.labels[sets.validation]) == set(dataset.labels[sets.database]) == {0, 1, 10}


def test_a_class_with_one_recording_beside_the_official_test_set_is_named(tmp_path: Path) -> None:
    write_dvsgesture(tmp_path)
    for user in ("user02_fluorescent", "user03_lab"):
        (tmp_path / "DVSGesture" / "ibmGestureTrain" / user / "1.npy").unlink()
    with pytest.raises(
        RecordingError, match=r"class Right hand wave has 1 recording, at least 2 are needed \(validation queries and"
    ):
        load_data(Config(data=DataConfig(name="dvsgesture", root=tmp_path)))


@pytest.mark.parametrize("name", SETS)
def test_a_missing_data_set_is_an_error_with_the_layout_and_no_download(
    tmp_path: Path, name: DataName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tonic.dataset.Dataset.download", lambda self: pytest.fail("it downloads"))
    with pytest.raises(RecordingError, match=rf"0 recordings of {name} found; they are expected as .*tonic.datasets"):
        load_dataset(name, root=tmp_path)
    with pytest.raises(RecordingError, match="no such folder"):
        load_dataset(name, root=tmp_path / "none")
    with pytest.raises(RecordingError, match=f"{name}: no folder given as data.root"):
        load_dataset(name)


@pytest.mark.parametrize(
    ("name", "file", "damage"),
    [
        ("dvsgesture", "DVSGesture/ibmGestureTrain/user03_lab/1.npy", lambda content: content[:-5]),
        ("dvsgesture", "DVSGesture/ibmGestureTrain/user03_lab/1.npy", lambda content: b""),
        ("cifar10dvs", "CIFAR10DVS/cat/cifar10_cat_2.aedat4", lambda content: content[: len(content) // 2]),
        ("cifar10dvs", "CIFAR10DVS/cat/cifar10_cat_2.aedat4", lambda content: content[:40]),
        ("ncaltech101", "NCALTECH101/Caltech101/wrench/image_0001.bin", lambda content: content[:-3]),
        ("ncaltech101", "NCALTECH101/Caltech101/wrench/image_0001.bin", lambda content: b""),
    ],
)
def test_a_damaged_file_of_a_set_is_named(
    tmp_path: Path, name: DataName, file: str, damage: Callable[[bytes], bytes]
) -> None:
    SETS[name][0](tmp_path)
    path = tmp_path / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RecordingError) as caught:
        load_dataset(name, time_steps=4, root=tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# --- folders of own recordings ----------------------------------------------------------------------------------


def write_folder(root: Path) -> dict[str, tuple[Rows, tuple[int, int]]]:
    """Two classes, one file per format."""
    writers = {
        "jump/a.bin": (event_files.bin40, (64, 48)),
        "jump/b.aedat": (event_files.aedat2_davis, (346, 260)),
        "jump/c.aedat4": (event_files.aedat4, (128, 96)),
        "jump/d.raw": (event_files.evt3, (320, 320)),
        "fall/a.dat": (event_files.dat, (304, 240)),
        "fall/b.npy": (event_files.npy_rows, (64, 48)),
        "fall/c.csv": (event_files.table, (64, 48)),
        "fall/d.raw": (event_files.evt2, (640, 480)),
    }
    content = {}
    for seed, (name, (write, sensor)) in enumerate(writers.items()):
        content[name] = (random_rows(seed, *sensor), sensor)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write(root / name, content[name][0], *sensor)
    (root / "fall" / "notes.txt").write_text("not a recording")
    (root / "README.md").write_text("not a class")
    return content


def test_a_folder_of_all_formats_loads_as_frames(tmp_path: Path) -> None:
    content = write_folder(tmp_path)
    loaded = load_dataset("folder", time_steps=4, root=tmp_path, sensor=(64, 48))
    assert loaded.ids == sorted(content)
    assert loaded.labels.tolist() == [0] * 4 + [1] * 4  # fall, jump
    assert loaded.test is None
    for index, name in enumerate(loaded.ids):
        rows, sensor = content[name]
        assert np.array_equal(loaded.frames[index], events_to_frames(as_events(rows), (*sensor, 2), 4, 32))


def test_a_folder_with_files_of_unknown_sensor_asks_for_it(tmp_path: Path) -> None:
    write_folder(tmp_path)
    with pytest.raises(RecordingError, match=r"fall/b\.npy: it does not tell the size of its sensor"):
        load_dataset("folder", time_steps=4, root=tmp_path)


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "jump").mkdir()
    with pytest.raises(RecordingError, match=r"0 recordings found, at least 1 is needed; .*CLASS/FILE"):
        load_dataset("folder", root=tmp_path)


def test_a_changed_file_is_noticed_and_an_unchanged_one_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "set"  # the cache lies beside it
    content = write_folder(root)
    first = load_dataset("folder", time_steps=4, root=root, sensor=(64, 48))
    path = root / "fall" / "b.npy"
    rows = random_rows(99, 64, 48, len(content["fall/b.npy"][0]))
    event_files.npy_rows(path, rows, 64, 48)
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1_000_000))  # clocks of file systems are coarse
    second = load_dataset("folder", time_steps=4, root=root, sensor=(64, 48))
    assert np.flatnonzero((first.frames != second.frames).any(axis=(1, 2, 3, 4))).tolist() == [1]
    other = load_dataset("folder", time_steps=4, root=root, sensor=(80, 64))
    assert not np.array_equal(other.frames[1], second.frames[1])
    monkeypatch.setattr(frames, "_make", None)  # it would fail if a frame were made again
    again = load_dataset("folder", time_steps=4, root=root, sensor=(64, 48))
    assert np.array_equal(again.frames, second.frames)


# --- images ------------------------------------------------------------------------------------------------------


def picture(seed: int, size: int = 32) -> np.ndarray:
    """A bright square on a dark ground."""
    image = np.full((size, size), 40, np.uint8)
    corner = 4 + seed
    image[corner : corner + 12, corner : corner + 12] = 220
    return image


def test_images_of_all_kinds_become_the_same_frames_at_every_step(tmp_path: Path) -> None:
    (tmp_path / "square").mkdir()
    PIL.Image.fromarray(picture(0)).save(tmp_path / "square" / "a.png")
    PIL.Image.fromarray(np.repeat(picture(0)[:, :, None], 3, axis=2)).save(tmp_path / "square" / "b.png")
    PIL.Image.fromarray(picture(0).astype(np.uint16) * 257).save(tmp_path / "square" / "c.png")
    np.save(tmp_path / "square" / "d.npy", picture(0))
    np.save(tmp_path / "square" / "e.npy", picture(0) / 255)
    PIL.Image.fromarray(picture(0)).save(tmp_path / "square" / "f.jpg", quality=95)
    loaded = load_dataset("images", time_steps=4, root=tmp_path)
    assert loaded.ids == [f"square/{name}" for name in ("a.png", "b.png", "c.png", "d.npy", "e.npy", "f.jpg")]
    for found in loaded.frames[:5]:
        assert np.array_equal(found, loaded.frames[0])
    assert np.mean(loaded.frames[5] != loaded.frames[0]) < 0.05
    assert all(np.array_equal(step, loaded.frames[0, 0]) for step in loaded.frames[0])


def test_on_is_where_an_image_is_brighter_than_its_neighbourhood() -> None:
    image = picture(0).astype(np.float32) / 255
    found = image_to_frames(image, 1)[0]
    light = 0.1 + 0.9 * image.astype(np.float64)
    for row, column in ((4, 4), (3, 4), (10, 10), (16, 9), (30, 30), (15, 15)):
        window = [
            light[np.clip(row + dy, 0, 31), np.clip(column + dx, 0, 31)] for dy in range(-4, 4) for dx in range(-4, 4)
        ]
        contrast = np.log(light[row, column] / np.mean(window))
        assert found[:, row, column].tolist() == [contrast > 0.1, contrast < -0.1]
    assert found[0, 4, 4] == 1  # inside the square's edge
    assert found[1, 3, 4] == 1  # outside of it


def test_images_are_scaled_to_the_frame(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    PIL.Image.fromarray(np.kron(picture(0), np.ones((3, 3), np.uint8))).save(path)
    assert np.allclose(read_image(path, 32), picture(0) / 255, atol=1e-6)
    PIL.Image.fromarray(picture(0, 32)).save(path)
    assert read_image(path, 64).shape == (64, 64)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.png", b"", "damaged, or no image"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(40), "damaged, or no image"),
        ("a.jpg", b"words", "damaged, or no image"),
        ("a.npy", b"words", "damaged, or no image"),
        ("a.npy", np.zeros((3, 3, 3)), r"shape \(3, 3, 3\)"),
        ("a.npy", np.full((8, 8), np.nan), "grey levels outside"),
        ("a.npy", np.full((8, 8), 300, np.uint16), "grey levels outside"),
        ("a.npy", np.full((8, 8), 0.5), "no pixel differs from its neighbourhood"),
    ],
)
def test_a_bad_image_is_named(tmp_path: Path, name: str, content: bytes | np.ndarray, text: str) -> None:
    path = tmp_path / "kind" / name
    path.parent.mkdir()
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(RecordingError, match=rf"{name}: .*{text}") as caught:
        load_dataset("images", root=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_cut_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "kind" / "cut.png"
    path.parent.mkdir()
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(RecordingError, match=r"cut\.png: damaged, or no image"):
        load_dataset("images", root=tmp_path)


def test_what_is_hidden_below_a_folder_is_left_out_alike_everywhere(tmp_path: Path) -> None:
    root = tmp_path / ".set"  # that is named, and may be hidden
    shown = ["a/1.bin", "a/deep/2.bin", "b/3.bin"]
    for name in (*shown, "b/.4.bin", ".c/5.bin", "a/.old/6.bin", "a/.old/deep/7.bin"):
        write_random_recording(root / name, 0)
        (root / name).with_suffix(".pdf").touch()
    assert load_dataset("folder", root=root).ids == shown
    assert list(recording_files([root])) == [root / name for name in shown]
    assert [source.path for source in find_sources(root)] == [root / name for name in shown]
    assert sorted(passed_over(root)) == [(root / name).with_suffix(".pdf") for name in shown]
