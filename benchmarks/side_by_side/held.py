"""``python -m benchmarks.side_by_side.held MODEL FRAMES SECONDS``: `events` beside ONNX Runtime, in its own process.

Its environment says which vector instructions Numba may use: ``AVX2`` is what a processor without AVX-512 has. Nothing
holds ONNX Runtime, which asks the processor itself and has no setting for it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.encode import BATCHES, Encode, measure
from benchmarks.side_by_side.rows import in_batches, of_batch
from deploy.backends.encoders import load_encoder

AVX2 = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+movbe,+popcnt"}
"""x86-64-v3 is the level of the psABI that ends with AVX2."""
RUNTIMES = ("events", "onnxruntime")
Times = dict[str, list[float]]
"""CPU milliseconds per recording by runtime, in batches of ``BATCHES``."""


def held_to_avx2(model: Path, frames: Path, seconds: float) -> Times:
    """What both take where Numba is held to AVX2."""
    command = [sys.executable, "-m", "benchmarks.side_by_side.held", str(model), str(frames), str(seconds)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | AVX2).stdout
    found: Times = json.loads(answer)
    return found


def main(model: str, recordings: str, seconds: str) -> None:
    """Print the times as JSON."""
    frames = np.load(recordings)
    encoders: dict[str, Encode] = {name: load_encoder(Path(model), name, threads=1).encode for name in RUNTIMES}
    times: Times = {name: [] for name in RUNTIMES}
    for batch in BATCHES:
        part = of_batch(frames, batch)
        calls = {name: in_batches(encode, batch) for name, encode in encoders.items()}
        for name, spent in measure(calls, part, float(seconds)).items():
            times[name].append(1e3 * float(spent[:, 1].min()) / len(part))
    print(json.dumps(times))


if __name__ == "__main__":
    main(*sys.argv[1:])
