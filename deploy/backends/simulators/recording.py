"""What a run yields, and the files it travels in."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikinghash.files import atomic_path

_RECORDED = "recorded_"


@dataclass(frozen=True)
class SimulatorRun:
    """Outputs and recorded spikes of one run, aligned to the graph's own steps.

    Attributes:
        outputs: float32 (samples, steps, *output shape).
        recorded: per requested node, bool (samples, steps, *node shape), True where the neuron spiked.
    """

    outputs: NDArray[np.float32]
    recorded: dict[str, NDArray[np.bool_]]


def write_recording(path: Path, recording: SimulatorRun) -> None:
    """Write a recording as ``.npz``: ``outputs`` and one array per recorded node."""
    arrays = {_RECORDED + name: spikes for name, spikes in recording.recorded.items()}
    with atomic_path(path) as temporary:
        np.savez(temporary, outputs=recording.outputs, allow_pickle=False, **arrays)


def read_recording(path: Path) -> SimulatorRun:
    """Read what :func:`write_recording` wrote."""
    with np.load(path) as archive:
        recorded = {name.removeprefix(_RECORDED): archive[name] for name in archive.files if name.startswith(_RECORDED)}
        return SimulatorRun(archive["outputs"], recorded)
