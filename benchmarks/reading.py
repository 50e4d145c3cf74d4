"""``python -m benchmarks.reading``: what it costs to read event files and bin them, in CPU time of one core."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer

from deploy.backends.encoders import load_encoder
from spikinghash.cli import run
from spikinghash.resources import example
from training.data.recordings import load_recording

EVENTS = 2_000_000
_REPEATS = 5
_ROW = 4
"""Events of a row of EVT 3, which are of one time."""


def write_evt3(path: Path, count: int) -> None:
    """``count`` single events of EVT 3 in rows of ``_ROW``, a row a microsecond."""
    rows = count // _ROW
    times = 1 << 12 | np.arange(rows)
    words = np.empty((rows, 3 + _ROW), "<u2")
    words[:, 0] = 8 << 12 | times >> 12 & 0xFFF
    words[:, 1] = 6 << 12 | times & 0xFFF
    words[:, 2] = np.arange(rows) % 720
    words[:, 3:] = 2 << 12 | np.arange(count).reshape(rows, _ROW) % 1280
    path.write_bytes(b"% evt 3.0\n% geometry 1280x720\n% end\n" + words.tobytes())


def cost(work: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Seconds of CPU time of a call: the median of ``repeats``, after one."""
    work()
    spent = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return float(np.median(spent))


def main(encoder: Annotated[Path, typer.Option(help="Encoder.")] = Path("checkpoints/digits.onnx")) -> None:
    """Print events per second of EVT 3, and microseconds per recording of N-MNIST's size."""
    loaded = load_encoder(encoder, threads=1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.raw"
        write_evt3(path, EVENTS)
        whole = load_recording(path)
        read = cost(lambda: load_recording(path))
        binned = cost(lambda: whole.frames(loaded.time_steps, loaded.size))
    print(f"EVT 3: {EVENTS / read / 1e6:.0f} million events/s read, {EVENTS / (read + binned) / 1e6:.0f} with frames")
    paths = [example(str(label)) for label in range(10)]
    recordings = [load_recording(path) for path in paths]
    frames = [each.frames(loaded.time_steps, loaded.size) for each in recordings]
    rows = {
        "open and copy": cost(lambda: [path.read_bytes() for path in paths * 20]),
        "read": cost(lambda: [load_recording(path) for path in paths * 20]),
        "frames": cost(lambda: [each.frames(loaded.time_steps, loaded.size) for each in recordings * 20]),
        "encode": cost(lambda: [loaded.encode(each[None]) for each in frames * 20]),
    }
    count = sum(len(each.events) for each in recordings) // len(recordings)
    print(f".bin of {count:,} events: " + ", ".join(f"{name} {1e6 * each / 200:.0f} us" for name, each in rows.items()))


if __name__ == "__main__":
    run(main)
