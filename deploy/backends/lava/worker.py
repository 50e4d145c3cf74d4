"""``python -m deploy.backends.lava.worker JOB_DIR``: run one NIR graph on Lava.

JOB_DIR holds ``graph.nir``, ``input.npy``, float32 (samples, steps, *input shape), and ``job.json``:

* ``record``: names of Neuron and Delay nodes whose spikes are wanted;
* ``placement``: ``merged`` or ``layered``, see :mod:`deploy.backends.lava.placement`;
* ``numbers``: ``float``, or ``fixed`` for Loihi's fixed point, see :mod:`export.loihi`;
* ``executor``: ``processes``, Lava's own runtime, or ``local``, see :mod:`deploy.backends.lava.local`;
* ``first``, ``chunk``: the sample to begin with, and how many samples run back to back;
* ``shared_memory``: prefix of the names of the run's shared memory.

For each chunk it writes ``outputs/FIRST.npz``: ``outputs``, float32 (samples, steps, *output shape), and for each
recorded node ``spikes_<node>``, uint8 (samples, steps, *shape), all in the graph's own time, without Lava's latency.
Standard output carries one JSON object per line: ``{"step"}``, the steps done over all samples, at last
``{"done": true}`` or ``{"error", "kind"}``.
"""

import json
import os
import platform
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from deploy.backends.lava.watchdog import end_processes
from spikinghash.errors import BackendError, MissingToolError, SpikinghashError


class Messages:
    """The lines on standard output. Whatever else prints there goes to standard error."""

    def __init__(self) -> None:
        self._stream: TextIO = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def send(self, **fields: Any) -> None:
        """Write one line, unless nobody listens any more."""
        with suppress(BrokenPipeError):
            self._stream.write(json.dumps(fields) + "\n")

    def error(self, message: str, kind: str = "BackendError") -> None:
        """Write the line that ends a failed run."""
        self.send(error=" ".join(message.split()), kind=kind)


def main(job: Path) -> int:
    """Run the job, report how it ended; return the exit code."""
    report = Messages()
    try:
        from deploy.backends.lava.job import run_job  # what this Python lacks is reported, too

        run_job(job, lambda step: report.send(step=step), report.error)
    except Exception as caught:
        traceback.print_exc()
        error = _for_the_user(caught)
        report.error(str(error), type(error).__name__)
        end_processes()
        return error.exit_code
    report.send(done=True)
    return 0


def _for_the_user(error: Exception) -> SpikinghashError:
    if isinstance(error, SpikinghashError):
        return error
    if isinstance(error, ImportError):
        python = f"{sys.executable} (Python {platform.python_version()})"
        return MissingToolError(
            f"{python} cannot run it: {error}: Lava needs Python 3.10: run `spikinghash setup-lava`"
        )
    if isinstance(error, OSError) and error.errno is None:  # numpy's, of a file that it could not write in full
        return BackendError(f"{error}: is the disk of temporary files full?")
    return BackendError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m deploy.backends.lava.worker JOB_DIR")
    code = main(Path(sys.argv[1]))
    sys.stderr.flush()
    os._exit(code)  # the destructor of a failed Lava runtime would wait for its dead processes
