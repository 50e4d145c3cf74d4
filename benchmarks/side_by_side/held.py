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

from benchmarks.encode import BATCHES, Encode
from benchmarks.side_by_side.rows import least_ms
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
    least = [least_ms(encoders, frames, batch, float(seconds)) for batch in BATCHES]
    times: Times = {name: [each[name][1] for each in least] for name in RUNTIMES}
    print(json.dumps(times))


if __name__ == "__main__":
    main(*sys.argv[1:])
