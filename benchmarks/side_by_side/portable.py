"""What runs in the environment of the foreign simulators, on the processor's clock, a recording at a time."""

from pathlib import Path

from benchmarks.side_by_side.rows import ONE_BY_ONE, Frames
from benchmarks.timing import seconds_of_children
from deploy.backends.runtime_backend import RuntimeEncoder
from deploy.backends.simulator_backend import SimulatorBackend
from export.encoder.network import Network
from export.nir.metadata import read_encoder
from export.nir.to_nir import export_nir
from export.nir.trace import input_spikes
from spikinghash.arrays import Floats

FOREIGN = ("norse", "snntorch", "spikingjelly")
FURTHER = 63
"""Recordings of the longer run beyond the first."""
RUNS = 2
"""Of each length; the least counts, as loading varies by more than a recording takes."""


def openvino_ms(model: Path, frames: Frames) -> float:
    """Of OpenVINO in float32."""
    return round(1e3 * RuntimeEncoder(model, "openvino").measured(frames[:ONE_BY_ONE]).seconds, 3)


def portable_ms(network: Network, frames: Frames, folder: Path) -> dict[str, list[float]]:
    """Of simulators on the portable file: what a further recording takes, and the start to the first, in seconds."""
    path = folder / "portable.nir"
    export_nir(network, path, dialect="portable")
    spikes = input_spikes(frames[: 1 + FURTHER], read_encoder(path)[1])
    found = {}
    for name in FOREIGN:
        first, longer = (min(_seconds(name, path, part) for _ in range(RUNS)) for part in (spikes[:1], spikes))
        found[name] = [round(1e3 * (longer - first) / FURTHER, 1), round(first, 2)]
    return found


def _seconds(name: str, path: Path, spikes: Floats) -> float:
    before = seconds_of_children()
    SimulatorBackend(name).run(path, spikes)
    return seconds_of_children() - before
