"""Loihi's fixed-point arithmetic without Lava: whole numbers in NumPy, step by step, all samples at once.

It knows nothing of processes, windows, latencies or ports: the reference that the Lava run has to equal bit for bit.
"""

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter

import numpy as np
from numpy.typing import NDArray

from deploy.backends.lava.fixed_point import FixedNetwork
from export.loihi.arithmetic import SHIFT, Integers, advance, gather
from export.loihi.registers import Registers
from export.synaptic.network import CONSTANT, Array, Network, Synapses

Emitted = dict[str, dict[int, Array]]
"""By source and step, what it emitted, (neurons, samples); as many steps as some synapse still reads."""


class Emulator:
    """Runs a fixed-point network on batches of samples."""

    def __init__(self, fixed: FixedNetwork) -> None:
        self._network, self._registers = fixed.network, fixed.registers
        self._shapes = fixed.network.shapes()
        self._products = {product.name: product for product in fixed.network.products}
        self._order = _update_order(fixed.network)
        self._arriving: dict[str, list[Synapses]] = {name: [] for name in self._shapes}
        self._longest = dict.fromkeys((fixed.network.input, CONSTANT, *self._shapes), 0)
        for part in fixed.network.synapses:
            self._arriving[part.target].append(part)
            self._longest[part.source] = max(self._longest[part.source], part.delay)

    def run(self, spikes: Array, record: Sequence[str] = ()) -> tuple[NDArray[np.float32], dict[str, Array]]:
        """Run samples from rest.

        Args:
            spikes: whole numbers, (samples, steps, *input shape).
            record: populations and readouts whose spikes are wanted.

        Returns:
            Outputs, float32 (samples, steps, *output shape), and what the recorded emit, (samples, steps, *shape).
        """
        samples, output = len(spikes), self._network.readouts[0].name
        recorded: dict[str, list[Array]] = {name: [] for name in (output, *record)}
        emitted: Emitted = {name: {} for name in self._longest}
        neurons = {p.name: _Neurons(self._registers[p.name], p.spiking, samples) for p in self._network.populations}
        for step, frame in enumerate(np.moveaxis(spikes, 1, 0)):
            emitted[self._network.input][step] = frame.reshape(samples, -1).T.astype(np.int64)
            emitted[CONSTANT][step] = np.ones((1, samples), np.int64)
            for name in self._order:
                current = self._current(name, emitted, step, samples)
                emitted[name][step] = self._emitted(name, current, neurons)
            for name, values in recorded.items():
                values.append(emitted[name][step])
            for name, longest in self._longest.items():
                emitted[name].pop(step - longest, None)
        arrays = {name: self._stacked(name, values) for name, values in recorded.items()}
        return arrays[output].astype(np.float32), {name: arrays[name] for name in record}

    def _emitted(self, name: str, arriving: Array, neurons: Mapping[str, "_Neurons"]) -> Array:
        if name in neurons:
            return neurons[name].step(arriving)
        if name in self._products:
            return self._products[name].attention.counts(arriving).astype(np.int64)
        return arriving

    def _current(self, name: str, emitted: Emitted, step: int, samples: int) -> Array:
        size = int(np.prod(self._shapes[name])) * (3 if name in self._products else 1)
        current: Array = np.zeros((size, samples), np.int64)
        for part in self._arriving[name]:
            if part.delay <= step:
                current = current + part.weights @ emitted[part.source][step - part.delay]
        return current

    def _stacked(self, name: str, values: Sequence[Array]) -> Array:
        stacked = np.stack(values).transpose(2, 0, 1)
        return stacked.reshape(*stacked.shape[:2], *self._shapes[name])


class _Neurons:
    """The state of a population, (neurons, samples)."""

    def __init__(self, registers: Registers, spiking: bool, samples: int) -> None:
        self._registers, self._spiking = registers, spiking
        self._u: Integers = np.zeros((len(registers.decay), samples), np.int64)
        self._v: Integers = np.zeros_like(self._u)

    def step(self, arriving: Integers) -> Integers:
        """Take one step; return what the neurons emit."""
        own = self._registers
        self._u = gather(self._u, arriving, own.current_decay[:, None])
        self._v = advance(self._v, self._u, own.decay[:, None], own.bias[:, None] << SHIFT)
        if not self._spiking:
            return self._v
        spikes = self._v > own.threshold[:, None] << SHIFT
        self._v = np.where(spikes, 0, self._v)
        return spikes.astype(np.int64)


def _update_order(network: Network) -> list[str]:
    """An order in which whatever arrives within a step is there: synapses without delay never form a cycle."""
    waits: dict[str, set[str]] = {name: set() for name in network.shapes()}
    for part in network.synapses:
        if part.delay == 0 and part.source in waits:
            waits[part.target].add(part.source)
    return list(TopologicalSorter(waits).static_order())
