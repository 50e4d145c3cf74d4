"""Lava runs for tests: by a server that stays, and the graphs that several test files use."""

import itertools
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nir
import numpy as np

from deploy.backends.worker import ROOT

Array = np.ndarray[Any, np.dtype[Any]]
DT = 1e-4


class LavaServer:
    """Lava in its own environment, for many small runs."""

    def __init__(self, interpreter: Path, folder: Path) -> None:
        self._folder, self._numbers = folder, itertools.count()
        self.last_job = folder
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with (folder / "server.log").open("w") as log:
            self._process = subprocess.Popen(
                [str(interpreter), str(Path(__file__).with_name("lava_server.py"))],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )

    def run(
        self, graph: nir.NIRGraph, spikes: Array, record: Sequence[str] = (), **settings: Any
    ) -> tuple[Array, dict[str, Array]]:
        """Outputs and recorded spikes; ``settings`` as in the worker's ``job.json``."""
        job = self.last_job = self._folder / f"job{next(self._numbers)}"
        (job / "outputs").mkdir(parents=True)
        nir.write(job / "graph.nir", graph)
        np.save(job / "input.npy", spikes.astype(np.float32))
        given = {"placement": "merged", "numbers": "float", "executor": "local", "first": 0, "chunk": len(spikes)}
        values = {**given, "record": list(record), "shared_memory": f"snht{os.getpid()}_", **settings}
        (job / "job.json").write_text(json.dumps(values))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{job}\n")
        error = self._process.stdout.readline().strip("\n")
        if error:
            raise AssertionError(error)
        with np.load(job / "outputs" / "0.npz") as arrays:
            return arrays["outputs"], {name: arrays[f"spikes_{name}"] for name in record}

    def close(self) -> None:
        """End the server: it stops at the end of its input."""
        try:
            self._process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def graph_of(nodes: dict[str, Any], edges: str, source: Sequence[int], target: Sequence[int]) -> nir.NIRGraph:
    """A graph between ``x`` and ``y``; edges are written "x>a a>b b>y"."""
    named = {"x": nir.Input(np.array(source)), **nodes, "y": nir.Output(np.array(target))}
    pairs = [(a, b) for a, _, b in (edge.partition(">") for edge in edges.split())]
    return nir.NIRGraph(named, pairs, type_check=False)


def lif(*shape: int, threshold: float = 1.25, tau: float = 2 * DT, reset: float = 0, gain: float = 1) -> nir.LIF:
    """Neurons with one set of parameters."""
    full = np.full
    return nir.LIF(full(shape, tau), full(shape, gain), np.zeros(shape), full(shape, threshold), full(shape, reset))
