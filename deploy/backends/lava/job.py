"""One job of the worker: lower a graph, then run its samples on Lava, chunk by chunk."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import shared_memory
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deploy.backends.lava.fan_outs import FanOuts
from deploy.backends.lava.watchdog import Watchdog
from export.loihi.network import as_recorded, to_fixed_point, unit_of, whole_range
from export.loihi.registers import Registers
from export.nir.read import read_graph
from export.synaptic.lowering import lower
from export.synaptic.populations import SynapseNetwork
from spikinghash.errors import BackendError, GraphError, in_one_line
from spikinghash.files import atomic_path, read_file
from spikinghash.seal import parse_json

if TYPE_CHECKING:
    from deploy.backends.lava.placement import PlacedNetwork

Tell = Callable[[int], None]
"""Told how many time steps of the graph are done, over all samples."""


@dataclass(frozen=True)
class Settings:
    """What ``job.json`` says, see :mod:`deploy.backends.lava.worker`."""

    record: Sequence[str]
    placement: Literal["merged", "layered"]
    numbers: str
    executor: str
    first: int
    chunk: int
    shared_memory: str


_ALLOWED: dict[str, Callable[[Any], bool]] = {
    "record": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "placement": lambda value: value in ("merged", "layered"),
    "numbers": lambda value: value in ("float", "fixed"),
    "executor": lambda value: value in ("processes", "local"),
    "first": lambda value: type(value) is int and value >= 0,
    "chunk": lambda value: type(value) is int and value >= 1,
    "shared_memory": lambda value: isinstance(value, str) and re.fullmatch(r"[\w-]{1,64}", value) is not None,
}


def read_settings(path: Path) -> Settings:
    """Read ``job.json``; this environment has no library for schemas.

    Raises:
        BackendError: it is no such file, or a value cannot be used.
    """
    try:
        values = parse_json(read_file(path))
    except (OSError, ValueError) as error:
        raise BackendError(f"{path.name}: cannot be read: {in_one_line(error)}") from None
    if not isinstance(values, dict) or values.keys() != _ALLOWED.keys():
        raise BackendError(f"{path.name}: needs {', '.join(_ALLOWED)}, and nothing else")
    for key, fits in _ALLOWED.items():
        if not fits(values[key]):
            raise BackendError(f"{path.name}: {key} is {str(values[key])[:40]!r}, which cannot be used")
    return Settings(**values)


def run_job(job: Path, tell: Tell, on_failure: Callable[[str], None]) -> None:
    """Run the job in folder ``job``; the outputs of each chunk are written when it is done.

    Args:
        job: the folder.
        tell: told of progress.
        on_failure: called with one line before the whole OS process exits because a Lava process died.

    Raises:
        SpikinghashError: the graph or its input cannot be run, or the simulation failed.
    """
    watchdog = Watchdog(os.getppid(), on_failure)
    settings = read_settings(job / "job.json")
    _name_shared_memory(settings.shared_memory)
    network = lower(read_graph(job / "graph.nir", "graph.nir"), settings.record, narrow=settings.numbers == "float")
    spikes = _read_spikes(job / "input.npy", network)
    registers: Mapping[str, Registers] | None = None
    if settings.numbers == "fixed":
        fixed = to_fixed_point(network, spikes.shape[1], whole_range(spikes))
        network, registers = fixed.network, fixed.registers
        del fixed
    fan_outs = FanOuts(network)
    del network  # its weights are the fan-outs' to let go of
    run = _Run(job, settings, fan_outs, registers, watchdog, tell)
    for first in range(settings.first, len(spikes), settings.chunk):
        run.chunk(spikes, first)


@dataclass(frozen=True)
class _Run:
    job: Path
    settings: Settings
    fan_outs: FanOuts
    registers: Mapping[str, Registers] | None
    watchdog: Watchdog
    tell: Tell

    def chunk(self, spikes: np.ndarray, first: int) -> None:
        """Run the samples from ``first`` on, as many as a chunk holds, and write their outputs."""
        part = spikes[first : first + self.settings.chunk]
        samples, steps = part.shape[:2]
        np.save(self.job / "frames.npy", part.reshape(samples * steps, -1))
        placed = self._placed(steps)
        self._simulate(placed, lambda done: self.tell(first * steps + min(done // placed.pace, samples * steps)))
        record = self.settings.record
        arrays: dict[str, Any] = {"outputs": placed.values(self.fan_outs.network.output)}
        arrays |= {
            f"spikes_{name}": as_recorded(placed.values(name) * unit_of(name, self.registers or {})) for name in record
        }
        with atomic_path(self.job / "outputs" / f"{first}.npz") as path:
            np.savez(path, **arrays)

    def _placed(self, steps: int) -> "PlacedNetwork":
        from deploy.backends.lava.placement import PlacedNetwork  # slow: graphs that cannot run are refused before

        frames, settings = self.job / "frames.npy", self.settings
        return PlacedNetwork(self.fan_outs, frames, steps, settings.record, settings.placement, self.registers)

    def _simulate(self, placed: "PlacedNetwork", on_step: Callable[[int], None]) -> None:
        from deploy.backends.lava.local import simulate_locally
        from deploy.backends.lava.simulation import simulate

        if self.settings.executor == "local":
            simulate_locally(placed, on_step)
        else:
            simulate(placed, self.watchdog, on_step)


def _read_spikes(path: Path, network: SynapseNetwork) -> np.ndarray:
    spikes: np.ndarray = np.load(path, mmap_mode="r")
    shape = network.input.shape
    if spikes.shape[2:] != shape:
        raise GraphError(f"input has shape (samples, steps, *{spikes.shape[2:]}), the graph takes {shape}")
    if not spikes.size:
        raise GraphError(f"input of shape {spikes.shape} is empty")
    return spikes


def _name_shared_memory(prefix: str) -> None:
    """Let the supervisor know the run's segments by their names; Python offers no public way to choose them."""
    shared_memory._SHM_NAME_PREFIX = f"/{prefix}"  # type: ignore[attr-defined]
