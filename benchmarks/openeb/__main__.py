"""``python -m benchmarks.openeb OPENEB``: random words of EVT, decoded here and by the vendor's decoders.

OPENEB is a checkout of github.com/prophesee-ai/openeb (5.1.1); its decoders are compiled with g++. Nothing of it is
part of this project.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer

from spikinghash.cli import run
from spikinghash.errors import ComparisonError, MissingToolError
from training.data.events import EVENT_DTYPE, Events, drop_outside
from training.data.formats.evt import EvtMachine, Version

WIDTH, HEIGHT = 1280, 720
_SOURCES = (
    "hal/cpp/src/facilities/i_decoder.cpp", "hal/cpp/src/facilities/i_events_stream_decoder.cpp",
    "hal/cpp/src/utils/data_transfer.cpp", "hal/cpp/src/utils/hal_exception.cpp", "sdk/modules/base/cpp/src/log.cpp",
)  # fmt: skip
Generator = np.random.Generator


def evt2(count: int, draw: Generator) -> bytes:
    """Words of EVT 2.0: a few events for each step of the clock, triggers between."""
    times = np.sort(draw.integers(1 << 12, 1 << 22, count))
    x, y = draw.integers(0, WIDTH, count), draw.integers(0, HEIGHT, count)
    events = draw.integers(0, 2, count) << 28 | (times & 63) << 22 | x << 11 | y
    triggers = np.where(draw.random(count) < 0.02, 10 << 28 | (times & 63) << 22, 0)
    rows = np.stack([8 << 28 | times >> 6, events, triggers], 1).ravel()
    return rows[rows != 0].astype("<u4").tobytes()


def evt21(count: int, draw: Generator, legacy: bool) -> bytes:
    """Words of EVT 2.1, each of up to 32 events."""
    times = np.sort(draw.integers(1 << 12, 1 << 22, count))
    x, y = draw.integers(0, WIDTH // 32, count) * 32, draw.integers(0, HEIGHT, count)
    heads = draw.integers(0, 2, count) << 28 | (times & 63) << 22 | x << 11 | y
    members = draw.integers(1, 1 << 32, count) & draw.integers(1, 1 << 32, count)
    clocks = np.stack([8 << 28 | times >> 6, np.zeros_like(times)], 1)
    pairs = np.stack([clocks, np.stack([heads, members], 1)], 1).reshape(-1, 2)
    return (pairs if legacy else pairs[:, ::-1]).astype("<u4").tobytes()


def evt3(count: int, draw: Generator, beyond: int) -> bytes:
    """Words of EVT 3.0: ``count`` rows with single events and blocks of vectors, up to ``beyond`` pixels outside."""
    words: list[int] = []
    time, high = 1 << 13, -1
    for step in draw.integers(0, 300, count).tolist():
        time += step
        if time >> 12 != high:
            high = time >> 12
            words.append(8 << 12 | high & 0xFFF)
        words += [6 << 12 | time & 0xFFF, int(draw.integers(HEIGHT + beyond))]
        for single in (draw.random(int(draw.integers(1, 5))) < 0.5).tolist():
            polarity = int(draw.integers(2)) << 11
            if single:
                words.append(2 << 12 | polarity | int(draw.integers(WIDTH + beyond)))
                continue
            words.append(3 << 12 | polarity | int(draw.integers(WIDTH + beyond if beyond else WIDTH - 64)))
            for _ in range(int(draw.integers(1, 3))):
                first, second, last = draw.integers(0, [4096, 4096, 256]).tolist()
                words += [4 << 12 | first, 4 << 12 | second, 5 << 12 | last]
    return np.array(words, "<u2").tobytes()


CASES: dict[str, tuple[Version, str, Callable[[Generator], bytes]]] = {
    "EVT 2.0, with triggers": ("2", "2", lambda draw: evt2(1_000_000, draw)),
    "EVT 2.1, little": ("2.1", "2.1", lambda draw: evt21(250_000, draw, legacy=False)),
    "EVT 2.1, legacy": ("2.1", "2.1-legacy", lambda draw: evt21(250_000, draw, legacy=True)),
    "EVT 3.0, inside the sensor": ("3", "3", lambda draw: evt3(40_000, draw, 0)),
    "EVT 3.0, partly outside": ("3", "3", lambda draw: evt3(40_000, draw, 320)),
}
"""Version here and there, and words."""


def build(openeb: Path, folder: Path) -> Path:
    """Compile the decoders.

    Raises:
        MissingToolError: they cannot be.
    """
    program, own = folder / "decode", Path(__file__).with_name("decode.cpp")
    folders = [f"-I{openeb / place}" for place in ("hal/cpp/include", "sdk/modules/base/cpp/include")]
    sources = [str(own), *(str(openeb / source) for source in _SOURCES)]
    done = subprocess.run(["g++", "-std=c++17", "-O1", *folders, *sources, "-o", str(program)], capture_output=True)
    if done.returncode:
        raise MissingToolError(f"{openeb}: OpenEB's decoders cannot be compiled: is it a checkout of OpenEB 5.1.1?")
    return program


def vendors(program: Path, version: str, words: bytes) -> Events:
    """Events that the vendor's decoder delivers."""
    place = program.with_name("words")
    place.write_bytes(words)
    target = program.with_name("events")
    subprocess.run([program, version, str(WIDTH), str(HEIGHT), place, target], check=True, capture_output=True)
    rows = np.fromfile(target, "<i8").reshape(-1, 4)
    events = np.zeros(len(rows), EVENT_DTYPE)
    for field, column in zip("xytp", rows.T, strict=True):
        events[field] = column
    return events


def main(openeb: Annotated[Path, typer.Argument(help="Checkout of OpenEB.", metavar="OPENEB")]) -> None:
    """Compare event by event; exit code 1 where events inside the sensor differ."""
    sensor = (WIDTH, HEIGHT, 2)
    with TemporaryDirectory() as folder:
        program = build(openeb, Path(folder))
        for name, (version, theirs, make) in CASES.items():
            words = make(np.random.default_rng(0))
            delivered = vendors(program, theirs, words)
            order = {"2.1": "little", "2.1-legacy": "legacy"}.get(theirs)
            here = EvtMachine(version, sensor, order).decode(words, last=True)
            inside = drop_outside(delivered, sensor)
            if not np.array_equal(inside, here):
                raise ComparisonError(f"{name}: {len(here)} events here, {len(inside)} of OpenEB, and they differ")
            print(f"{name}: {len(delivered):,} events, equal but for {len(delivered) - len(inside):,} outside")


if __name__ == "__main__":
    run(main)
