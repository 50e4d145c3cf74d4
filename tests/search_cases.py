"""A small encoder, recordings and damaged files, for the tests of bulk encoding and search."""

from pathlib import Path

import numpy as np
import pytest
from networks import SMALL, calibrated

from export.encoder.network import build_network
from export.onnx.to_onnx import export_onnx
from training.data.recordings import EVENT_DTYPE, write_recording


@pytest.fixture(scope="session")
def small_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained encoder of 8 bits, as ONNX."""
    path = tmp_path_factory.mktemp("encoder") / "small.onnx"
    export_onnx(build_network(calibrated(SMALL)), path)
    return path


def write_random_recording(path: Path, seed: int, events: int = 300) -> Path:
    """A recording of a 34x34 sensor in the format of N-MNIST."""
    generator = np.random.default_rng(seed)
    recording = np.zeros(events, EVENT_DTYPE)
    centre = generator.uniform(8, 26, 2)
    for axis, middle in zip("xy", centre, strict=True):
        recording[axis] = np.clip(generator.normal(middle, 5, events), 0, 33)
    recording["t"] = np.sort(generator.integers(0, 300_000, events))
    recording["p"] = generator.random(events) < 0.5
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recording(path, recording)
    return path


def write_random_folder(folder: Path, classes: int, each: int) -> list[Path]:
    """``folder/cCLASS/NUMBER.bin``; the paths, sorted."""
    return [
        write_random_recording(folder / f"c{label}" / f"{number:03d}.bin", seed=1000 * label + number)
        for label in range(classes)
        for number in range(each)
    ]


def write_bad_files(folder: Path) -> dict[str, str]:
    """Recordings that cannot be used, and what must be said of each."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "empty.bin").write_bytes(b"")
    (folder / "truncated.bin").write_bytes(bytes(5 * 7 + 3))
    (folder / "outside.bin").write_bytes(bytes([99, 3, 0, 0, 1] * 20))
    (folder / "instant.bin").write_bytes(bytes([9, 9, 0, 0, 1] * 20))
    with (folder / "huge.bin").open("wb") as file:
        file.truncate(2 * 2**30)
    return {
        "empty.bin": "empty",
        "huge.bin": "2147483648 bytes, at most 268435456 are read",
        "instant.bin": "span 0 us",
        "outside.bin": "x = 99, outside the sensor (0 to 33)",
        "truncated.bin": "truncated",
    }
