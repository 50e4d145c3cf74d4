"""Time of foreign simulators on one file: ``python -m benchmarks.simulators ENCODER.nir``.

The file is a portable encoder of the digits data set, which all of them run. Each is timed from file to
spikes of the output on one recording and on several; the difference is what another recording takes.
"""

import os
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.timing import seconds_of_children
from deploy.backends.simulator_backend import SimulatorBackend
from export.nir.metadata import read_encoder
from export.nir.trace import input_spikes, output_codes
from spikinghash.arrays import Floats
from spikinghash.cli import run
from spikinghash.errors import ComparisonError
from training.data.frames import load_dataset

SIMULATORS = (("norse", 1), ("snntorch", 1), ("spikingjelly", 1), ("nest", 1), ("nest", 2))
"""Names, each with its threads."""


def timed(name: str, threads: int, path: Path, spikes: Floats) -> tuple[float, float, list[str]]:
    """Wall and CPU seconds of one run, and the codes."""
    begin, used = time.perf_counter(), seconds_of_children()
    outputs, _ = SimulatorBackend(name, 3600, threads).run(path, spikes)
    codes = [code.tobytes().hex() for code in output_codes(outputs)]
    return time.perf_counter() - begin, seconds_of_children() - used, codes


def main(
    encoder: Annotated[Path, typer.Argument(help="Portable encoder (.nir) of the digits data set.")],
    recordings: Annotated[int, typer.Option(min=2, help="Recordings of the longer run.")] = 9,
) -> None:
    """Time all simulators in turn."""
    os.environ["OMP_NUM_THREADS"] = "1"
    _, metadata = read_encoder(encoder)
    frames = load_dataset("digits", time_steps=metadata.time_steps, size=metadata.size).frames[:recordings]
    spikes = input_spikes(np.asarray(frames), metadata)
    expected: list[str] = []
    print("| simulator | first recording, s | each further, s | the same in CPU s |\n|---|---|---|---|")
    for name, threads in SIMULATORS:
        first, first_cpu, _ = timed(name, threads, encoder, spikes[:1])
        all_wall, all_cpu, codes = timed(name, threads, encoder, spikes)
        expected = expected or codes
        if codes != expected:
            raise ComparisonError(f"{name}: other codes than {SIMULATORS[0][0]}")
        further = (all_wall - first) / (recordings - 1)
        cpu = (all_cpu - first_cpu) / (recordings - 1)
        title = f"{name}, {threads} threads" if threads > 1 else name
        print(f"| {title} | {first:.1f} ({first_cpu:.1f} CPU) | {further:.2f} | {cpu:.2f} |", flush=True)


if __name__ == "__main__":
    run(main)
