"""Neurons that Lava's LIF does not have: with a synaptic current per neuron, and idle between their own steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from export.synaptic.populations import Population


@dataclass(frozen=True)
class Rules:
    """``u <- keep_u u + a``, ``v <- keep_v v + u + bias``; spikes where ``v > threshold``, then ``v <- reset``.

    Neurons that are not ``spiking`` emit v. All fields are arrays (neurons,).
    """

    keep_u: np.ndarray
    keep_v: np.ndarray
    bias: np.ndarray
    threshold: np.ndarray
    reset: np.ndarray
    spiking: np.ndarray

    @classmethod
    def of(cls, populations: Sequence[Population]) -> "Rules":
        """Those of all neurons of some populations; without a synaptic current, ``keep_u`` is 0."""
        parts = []
        for rule in (population.dynamics for population in populations):
            zeros = np.zeros(len(rule.decay))
            keep_u, bias = (zeros, zeros) if rule.current_decay is None else (1 - rule.current_decay, rule.drive)
            parts.append((keep_u, 1 - rule.decay, bias, rule.threshold, rule.reset, zeros.astype(bool) | rule.spiking))
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


@dataclass(frozen=True)
class Clock:
    """When neurons take their steps: every ``pace`` Lava steps, each from its own ``first`` (neurons,) step on.

    ``window`` counts Lava steps; v and u are 0 at the start of each. Lava counts steps from 1.
    """

    pace: int
    window: int
    first: np.ndarray


class ClockedNeurons(AbstractProcess):
    """Neurons with synaptic currents that take a step every ``clock.pace`` Lava steps and are silent in between."""

    def __init__(self, name: str, rules: Rules, clock: Clock) -> None:
        super().__init__(name=name, rules=rules, clock=clock)
        self.a_in = InPort(shape=clock.first.shape)
        self.s_out = OutPort(shape=clock.first.shape)


@implements(proc=ClockedNeurons, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyClockedNeurons(PyLoihiProcessModel):
    """Floating-point model of ClockedNeurons."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.rules: Rules = proc_params["rules"]
        self.clock: Clock = proc_params["clock"]
        self.u, self.v = np.zeros((2, len(self.clock.first)))
        self.due = by_remainder(self.clock.first, self.clock.pace)
        self.starting = by_remainder(self.clock.first, self.clock.window)

    def run_spk(self) -> None:
        """Start the windows that are due, then let the neurons whose turn it is take a step."""
        starting = self.starting.get(self.time_step % self.clock.window)
        if starting is not None:
            self.u[starting], self.v[starting] = 0, 0
        arriving = self.a_in.recv()
        emitted = np.zeros_like(self.v)
        due = self.due.get(self.time_step % self.clock.pace)
        if due is not None:
            emitted[due] = self._advance(due, arriving[due])
        self.s_out.send(emitted)

    def _advance(self, neurons: np.ndarray, arriving: np.ndarray) -> np.ndarray:
        """One step of some neurons; what they emit."""
        rule = self.rules
        u = rule.keep_u[neurons] * self.u[neurons] + arriving
        v = rule.keep_v[neurons] * self.v[neurons] + u + rule.bias[neurons]
        spikes = rule.spiking[neurons] & (v > rule.threshold[neurons])
        self.u[neurons], self.v[neurons] = u, np.where(spikes, rule.reset[neurons], v)
        return np.where(rule.spiking[neurons], spikes, v)


def by_remainder(steps: np.ndarray, modulus: int) -> dict[int, np.ndarray]:
    """Indices of the neurons whose step leaves the same remainder."""
    remainders = steps % modulus
    return {int(value): np.flatnonzero(remainders == value) for value in np.unique(remainders)}
