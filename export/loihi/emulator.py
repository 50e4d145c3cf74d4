"""Loihi's fixed-point arithmetic without Lava: whole numbers in NumPy, step by step, all samples at once.

It knows nothing of processes, windows, latencies or ports: the reference that the Lava run has to equal bit for bit.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from export.loihi.arithmetic import NeuronState
from export.loihi.network import FixedNetwork
from export.synaptic.populations import Array, Population

Emitted = dict[str, dict[int, Array]]
"""By source and step, what it emitted, (neurons, samples); as many steps as some synapse still reads."""


class LoihiEmulator:
    """Runs a fixed-point network on batches of samples."""

    def __init__(self, fixed: FixedNetwork) -> None:
        self._network, self._registers = fixed.network, fixed.registers
        leaving = self._network.leaving.items()
        self._longest = {name: max((part.delay for part in parts), default=0) for name, parts in leaving}

    def run(self, spikes: Array, record: Sequence[str] = ()) -> tuple[NDArray[np.float32], dict[str, Array]]:
        """Run samples from rest.

        Args:
            spikes: whole numbers, (samples, steps, *input shape).
            record: populations whose spikes are wanted.

        Returns:
            Outputs, float32 (samples, steps, *output shape), and what the recorded emit, (samples, steps, *shape).
        """
        samples, network = len(spikes), self._network
        recorded: dict[str, list[Array]] = {name: [] for name in (network.output, *record)}
        emitted: Emitted = {name: {} for name in network.by_name}
        states = {name: own.at_rest((len(own.decay), samples)) for name, own in self._registers.items()}
        for step, frame in enumerate(np.moveaxis(spikes, 1, 0)):
            emitted[network.input.name][step] = frame.reshape(samples, -1).T.astype(np.int64)
            for population in network.populations:
                if population.kind != "input":
                    emitted[population.name][step] = self._emitted(population, emitted, step, samples, states)
            for name, values in recorded.items():
                values.append(emitted[name][step])
            for name, longest in self._longest.items():
                emitted[name].pop(step - longest, None)
        arrays = {name: self._stacked(name, values) for name, values in recorded.items()}
        return arrays[network.output].astype(np.float32), {name: arrays[name] for name in record}

    def _emitted(
        self, population: Population, emitted: Emitted, step: int, samples: int, states: Mapping[str, NeuronState]
    ) -> Array:
        if population.kind == "constant":
            return np.ones((1, samples), np.int64)
        arriving: Array = np.zeros((population.inputs, samples), np.int64)
        for part in self._network.arriving[population.name]:
            if part.delay <= step:
                arriving = arriving + part.weights @ emitted[part.source][step - part.delay]
        if population.attention is not None:
            return population.attention.counts(arriving).astype(np.int64)
        return states[population.name].step(arriving) if population.name in states else arriving

    def _stacked(self, name: str, values: Sequence[Array]) -> Array:
        stacked = np.stack(values).transpose(2, 0, 1)
        return stacked.reshape(*stacked.shape[:2], *self._network.by_name[name].shape)
