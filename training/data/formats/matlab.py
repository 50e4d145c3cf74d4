"""MATLAB's files (``.mat``, up to version 7), read by SciPy in a process of its own.

SciPy's reader is compiled, and over some damaged files it does not raise but ends its process.
"""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from spikinghash.errors import RecordingError
from training.data.events import Asked, Decoded
from training.data.formats.matlab_process import REFUSED

_PACKAGES = Path(__file__).resolve().parents[3]


def read(path: Path, _: Asked) -> Decoded:
    """Events of the file ``path``.

    Raises:
        RecordingError: it is damaged, of version 7.3, or holds no events.
    """
    module = [sys.executable, "-P", "-W", "ignore", "-m", "training.data.formats.matlab_process"]
    paths = [str(_PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([*module, str(path)], capture_output=True, env=environment, check=False)
    if done.returncode == REFUSED:
        raise RecordingError(done.stderr.decode(errors="replace").strip())
    if done.returncode:
        raise RecordingError(f"{path}: damaged: SciPy's reader ended with code {done.returncode}; save it again")
    facts, events = done.stdout.split(b"\n", 1)
    told = json.loads(facts)
    sensor = told["sensor"] and tuple(told["sensor"])
    return Decoded(np.load(io.BytesIO(events)), sensor, tuple(told["notes"]))
