"""Which populations share a Lava process, and how the processes are wired.

Lava runs an OS process per Lava process and synchronises all of them in every step, so their number decides the speed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lava.magma.core.process.ports.ports import InPort
from lava.magma.core.process.process import AbstractProcess
from lava.proc.lif.process import LIFReset

from deploy.backends.lava.fan_outs import FanOuts
from deploy.backends.lava.processes.attention import DynamicProduct, FixedDynamicProduct
from deploy.backends.lava.processes.clocked_neurons import Clock, ClockedLIF, FixedLIF, GradedLIF
from deploy.backends.lava.processes.frame_source import FrameSource
from deploy.backends.lava.processes.recorder import Recorder
from deploy.backends.lava.processes.synapse_blocks import Block, FixedSynapseBlocks, SynapseBlocks
from export.loihi.arithmetic import SHIFT
from export.loihi.registers import Registers
from export.nir.stepwise.dynamics import Dynamics
from export.synaptic.populations import CONSTANT, Array, Population, Projection
from export.synaptic.schedule import schedule

Placement = Literal["merged", "layered"]
"""``merged``: all spiking populations in one process, their synapses in another. ``layered``: a process per population
(Lava's stock LIFReset where it can) and one per pair of populations with synapses. Both give the same spikes."""


@dataclass(frozen=True)
class Group:
    """Populations that share a process; ``slices`` says where each has its neurons in the process's vector.

    ``arriving`` says where their input goes, if that is another vector.
    """

    slices: dict[str, slice]
    process: AbstractProcess
    arriving: dict[str, slice] | None = None

    @property
    def size(self) -> int:
        """Number of elements of the process's vector."""
        return max(part.stop for part in self.slices.values())


@dataclass(frozen=True)
class Columns:
    """Where a node's values go: columns of a file (Lava steps, elements), late by ``latency`` steps."""

    path: Path
    columns: slice
    latency: int


class PlacedNetwork:
    """The Lava processes of a network, ready to run.

    Args:
        fan_outs: what to run.
        frames: .npy file (steps, input size), all windows back to back; recordings are written beside it.
        window: time steps per window; every window starts from reset state.
        record: populations whose spikes are wanted.
        placement: which populations share a process.
        registers: of the populations of a fixed-point network; without them, Lava computes in floating point.

    Attributes:
        processes: all of the network's Lava processes.
        steps: how many steps Lava has to run.
        pace: Lava steps per time step of the graph.
        recordings: by node, where its values are written: the readouts and the recorded populations.
    """

    def __init__(
        self,
        fan_outs: FanOuts,
        frames: Path,
        window: int,
        record: Sequence[str] = (),
        placement: Placement = "merged",
        registers: Mapping[str, Registers] | None = None,
    ) -> None:
        network = fan_outs.network
        timing = schedule(network)
        self._registers, self._fan_outs = registers, fan_outs
        self._network, self._folder = network, frames.parent
        self.pace, self._latencies = timing.pace, timing.latencies
        self._frames, self._steps = len(np.load(frames, mmap_mode="r")), window
        self._window = window * self.pace
        self.steps = self._frames * self.pace + max(self._latencies.values())
        self.processes: list[AbstractProcess] = []
        self.recordings: dict[str, Columns] = {}
        parts = _parts(network.neurons, placement)
        products = map(self._product_group, network.of_kind("attention"))
        self._groups = [self._input_group(frames), *map(self._group, parts), *products]
        for group in self._groups[1:]:
            self._connect(group.arriving or group.slices, group.process.a_in.shape[0], group.process.a_in)
        for readout in network.of_kind("readout"):
            self._read_out(readout)
        for group in self._groups[1:]:
            self._record_spikes(group, [name for name in record if name in group.slices])

    def values(self, name: str) -> Array:
        """What was recorded of a node, (windows, window, *shape), in the graph's own time."""
        shape = self._network.by_name[name].shape
        recording = self.recordings[name]
        rows = np.load(recording.path, mmap_mode="r")[recording.latency :: self.pace][: self._frames]
        return rows[:, recording.columns].reshape(-1, self._steps, *shape)

    def _add(self, process: AbstractProcess) -> AbstractProcess:
        self.processes.append(process)
        return process

    def _input_group(self, frames: Path) -> Group:
        name, size = self._network.input.name, self._network.input.neurons
        source = self._add(FrameSource(f"input {name}", str(frames), size, self.pace))
        return Group({name: slice(0, size), CONSTANT: slice(size, size + 1)}, source)

    def _group(self, populations: Sequence[Population]) -> Group:
        stops = np.cumsum([population.neurons for population in populations]).tolist()
        slices = {p.name: slice(stop - p.neurons, stop) for p, stop in zip(populations, stops, strict=True)}
        return Group(slices, self._add(self._neurons(populations, slices)))

    def _product_group(self, product: Population) -> Group:
        assert product.attention is not None
        kind = DynamicProduct if self._registers is None else FixedDynamicProduct
        process = self._add(kind(f"product {product.name}", product.attention))
        return Group({product.name: slice(0, product.neurons)}, process, {product.name: slice(0, product.inputs)})

    def _neurons(self, populations: Sequence[Population], slices: dict[str, slice]) -> AbstractProcess:
        name, clock = f"neurons {_listed(slices)}", self._clock(populations)
        spiking = np.concatenate([np.full(population.neurons, population.spiking) for population in populations])
        reset = np.concatenate([population.dynamics.reset for population in populations])
        if self._registers is not None:
            fixed = _registered([self._registers[population.name] for population in populations])
            return FixedLIF(name, clock, spiking, reset, **fixed)
        real = _concatenated(_parameters(population.dynamics) for population in populations)
        if not (clock.aligned() and spiking.all() and (real["du"] == 1).all()) or reset.any():
            return (ClockedLIF if spiking.all() else GradedLIF)(name, clock, spiking, reset, **real)
        start = int(clock.first[0]) % self._window
        return LIFReset(
            name=name, shape=spiking.shape, du=1, dv=real["dv"], vth=real["vth"], reset_interval=self._window,
            reset_offset=start,
        )  # fmt: skip

    def _clock(self, populations: Sequence[Population]) -> Clock:
        first = [np.full(population.neurons, self._latencies[population.name] + 1) for population in populations]
        return Clock(self.pace, self._window, np.concatenate(first))

    def _connect(self, targets: dict[str, slice], size: int, port: InPort) -> None:
        """One SynapseBlocks from every group with synapses onto ``targets``, all summed in ``port``."""
        for group in self._groups:
            parts = enumerate(self._network.projections)
            synapses = {n: part for n, part in parts if part.source in group.slices and part.target in targets}
            if synapses:
                name = f"synapses {_listed(group.slices)} to {_listed(targets)}"
                blocks = self._blocks(synapses.values(), group.slices)
                fan_out = self._fan_outs.of(list(synapses), [targets[s.target].start for s in synapses.values()], size)
                real = self._registers is None or isinstance(port.process, Recorder)
                kind = SynapseBlocks if real else FixedSynapseBlocks
                projection = self._add(kind(name, group.size, blocks, fan_out, self._window))
                group.process.s_out.connect(projection.s_in)
                projection.a_out.connect(port)

    def _blocks(self, synapses: Iterable[Projection], sources: dict[str, slice]) -> list[Block]:
        blocks, first_row = [], 0
        for part in synapses:
            latency = self._latencies[part.source]
            delay = part.delay * self.pace
            wait = delay + self._latencies[part.target] - latency - 1
            blocks.append(Block(sources[part.source], first_row, wait, delay, latency))
            first_row += part.weights.shape[1]
        return blocks

    def _read_out(self, readout: Population) -> None:
        recorder = self._recorder(f"node_{readout.name}", np.arange(readout.neurons), readout.neurons, np.float32)
        self._connect({readout.name: slice(0, readout.neurons)}, readout.neurons, recorder.a_in)
        path = Path(recorder.proc_params["path"])
        self.recordings[readout.name] = Columns(path, slice(0, readout.neurons), self._latencies[readout.name])

    def _record_spikes(self, group: Group, names: Sequence[str]) -> None:
        if not names:
            return
        chosen = [np.arange(group.slices[name].start, group.slices[name].stop) for name in names]
        spiking = {population.name for population in self._network.neurons if population.spiking}
        dtype = np.uint8 if spiking.issuperset(names) else np.float32
        recorder = self._recorder(f"group_{self._groups.index(group)}", np.concatenate(chosen), group.size, dtype)
        group.process.s_out.connect(recorder.a_in)
        stops = np.cumsum([len(part) for part in chosen]).tolist()
        for name, part, stop in zip(names, chosen, stops, strict=True):
            columns = slice(stop - len(part), stop)
            self.recordings[name] = Columns(Path(recorder.proc_params["path"]), columns, self._latencies[name])

    def _recorder(self, name: str, chosen: Array, size: int, dtype: Any) -> AbstractProcess:
        path = self._folder / f"recorded_{name}.npy"
        np.lib.format.open_memmap(path, "w+", dtype, (self.steps, len(chosen)))
        return self._add(Recorder(f"recorder {name}", str(path), size, chosen))


def _parts(populations: Sequence[Population], placement: Placement) -> list[list[Population]]:
    """The populations that share a process, group by group: those that spike, and those that emit potentials."""
    if placement == "layered":
        return [[population] for population in populations]
    kinds = ([each for each in populations if each.spiking is spiking] for spiking in (True, False))
    return [kind for kind in kinds if kind]


def _parameters(rule: Dynamics) -> dict[str, Array]:
    """Parameters of Lava's floating-point LIF, each (neurons,)."""
    ones = np.ones(len(rule.decay))
    du, bias = (ones, 0 * ones) if rule.current_decay is None else (rule.current_decay, rule.drive)
    return {"du": du, "dv": rule.decay, "vth": rule.threshold, "bias_mant": bias}


def _registered(found: Sequence[Registers]) -> dict[str, Any]:
    """Parameters of Lava's bit-accurate LIF; biases come, like currents and thresholds, onto the potentials' grid."""
    arrays = ({"du": own.current_decay, "dv": own.decay, "vth": own.threshold, "bias_mant": own.bias} for own in found)
    return {**_concatenated(arrays), "bias_exp": SHIFT}


def _concatenated(parts: Iterable[dict[str, Array]]) -> dict[str, Array]:
    first, *others = parts
    return {key: np.concatenate([first[key], *(part[key] for part in others)]) for key in first}


def _listed(slices: dict[str, slice]) -> str:
    """A short name for some populations."""
    names = [name for name in slices if name != CONSTANT]
    return names[0] if len(names) == 1 else f"{names[0]}..{names[-1]}"
