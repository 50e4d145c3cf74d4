"""``python -m deploy.lava.worker JOB_DIR``: run one NIR graph on Lava.

JOB_DIR holds ``graph.nir``, ``input.npz`` (``spikes``, float32 (samples, steps, *input shape)) and ``job.json``:

* ``record``: names of Neuron and Delay nodes whose spikes are wanted;
* ``placement``: ``merged`` (default) or ``layered``, see :mod:`deploy.lava.placement`;
* ``shared_memory``: prefix of the names of the run's shared memory (optional).

It writes ``output.npz``: ``outputs``, float32 (samples, steps, *output shape), and for each recorded node
``spikes_<node>``, uint8 (samples, steps, *shape), all in the graph's own time, without Lava's latency. Standard output
carries one JSON object per line: ``{"step", "steps"}``, at last ``{"done": true}`` or ``{"error", "kind"}``.
"""

import json
import os
import sys
import traceback
from contextlib import suppress
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any, TextIO

import nir
import numpy as np

from deploy.lava.lowering.graph import lower
from deploy.lava.network import Network
from deploy.lava.watchdog import end_processes
from spikinghash.errors import BackendError, GraphError, SpikinghashError
from spikinghash.files import atomic_path


class Report:
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


def run_job(job: Path, report: Report) -> None:
    """Lower, place and run the job's graph, then write its outputs.

    Raises:
        GraphError: the graph or its input cannot be run.
    """
    from deploy.lava.placement import PlacedNetwork
    from deploy.lava.simulation import simulate

    parent = os.getppid()
    settings = json.loads((job / "job.json").read_text())
    record = settings.get("record", [])
    _name_shared_memory(settings.get("shared_memory"))
    network = lower(_read_graph(job / "graph.nir"), record)
    spikes = _read_spikes(job / "input.npz", network)
    samples, steps = spikes.shape[:2]
    np.save(job / "frames.npy", spikes.reshape(samples * steps, -1))
    placed = PlacedNetwork(network, job / "frames.npy", steps, record, settings.get("placement", "merged"))
    simulate(placed, parent, lambda done: report.send(step=done, steps=placed.steps), report.error)
    arrays: dict[str, Any] = {"outputs": placed.values(network.readouts[0].name)}
    arrays |= {f"spikes_{name}": _as_spikes(name, placed.values(name)) for name in record}
    with atomic_path(job / "output.npz") as path:
        np.savez(path, **arrays)


def _read_graph(path: Path) -> nir.NIRGraph:
    try:
        graph = nir.read(path, type_check=False)
    except Exception as error:
        raise GraphError(f"{path.name}: not a NIR file: {type(error).__name__}: {error}") from error
    if not isinstance(graph, nir.NIRGraph):
        raise GraphError(f"{path.name}: holds a {type(graph).__name__}, not a graph")
    return graph


def _read_spikes(path: Path, network: Network) -> np.ndarray:
    with np.load(path) as arrays:
        spikes = arrays["spikes"].astype(np.float32, copy=False)
    if spikes.shape[2:] != network.input_shape:
        raise GraphError(
            f"input has shape (samples, steps, *{spikes.shape[2:]}), the graph takes {network.input_shape}"
        )
    if not spikes.size:
        raise GraphError(f"input of shape {spikes.shape} is empty")
    return spikes


def _as_spikes(name: str, values: np.ndarray) -> np.ndarray:
    """Recorded values as uint8. Only a Delay behind a linear node carries anything else than spikes."""
    if not np.all((values == 0) | (values == 1)):
        raise GraphError(f"node {name}: it carries currents, not spikes, so it cannot be recorded")
    return values.astype(np.uint8)


def _name_shared_memory(prefix: str | None) -> None:
    """Let the supervisor know the run's segments by their names; Python offers no public way to choose them."""
    if prefix is not None:
        shared_memory._SHM_NAME_PREFIX = f"/{prefix}"  # type: ignore[attr-defined]


def main(job: Path) -> int:
    """Run the job, report how it ended; return the exit code."""
    report = Report()
    try:
        run_job(job, report)
    except Exception as error:
        traceback.print_exc()
        if not isinstance(error, SpikinghashError):
            error = BackendError(f"{type(error).__name__}: {error}")
        report.error(str(error), type(error).__name__)
        end_processes()
        return error.exit_code
    report.send(done=True)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m deploy.lava.worker JOB_DIR")
    code = main(Path(sys.argv[1]))
    sys.stderr.flush()
    os._exit(code)  # the destructor of a failed Lava runtime would wait for its dead processes
