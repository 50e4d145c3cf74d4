"""Neurons of many populations in one process: Lava's LIF models, each population with windows and steps of its own.

The dynamics are Lava's, in floating point or bit-accurate; only when they happen, what is emitted and the potential
after a spike differ. (Lava's LIFReset starts the windows of all its neurons in the same step, and resets to 0 only.)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.lif.models import AbstractPyLifModelFixed, AbstractPyLifModelFloat
from lava.proc.lif.process import LIF

NONE = np.zeros(0, int)
"""No neuron. (An empty tuple as an index would be all of them.)"""


@dataclass(frozen=True)
class Clock:
    """When neurons take their steps: every ``pace`` Lava steps, each from its own ``first`` (neurons,) step on.

    ``window`` counts Lava steps; v and u are 0 at the start of each. Lava counts steps from 1.
    """

    pace: int
    window: int
    first: np.ndarray

    def aligned(self) -> bool:
        """Whether all neurons start their windows in the same step, and rest in none."""
        return self.pace == 1 and len(np.unique(self.first % self.window)) == 1


class ClockedLIF(LIF):
    """Lava's LIF with parameters per neuron, and windows and steps as ``clock`` says; all neurons spike.

    Args:
        name: for error messages.
        clock: when the neurons take their steps; they are silent in between.
        spiking: (neurons,) whether it spikes; any other neuron emits its potential.
        reset: (neurons,) potential after a spike.
        parameters: of Lava's LIF, each a number or (neurons,).
    """

    def __init__(self, name: str, clock: Clock, spiking: np.ndarray, reset: np.ndarray, **parameters: Any) -> None:
        super().__init__(name=name, shape=spiking.shape, **parameters)
        self.proc_params["clock"], self.proc_params["spiking"], self.proc_params["reset"] = clock, spiking, reset


class GradedLIF(ClockedLIF):
    """A ClockedLIF of which some neurons emit their potentials."""


class FixedLIF(ClockedLIF):
    """A ClockedLIF in Loihi's fixed point, of which some neurons may emit their potentials."""


class AbstractPyClockedLIF(PyLoihiProcessModel):
    """What is put before Lava's models, in floating point and in fixed point."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.clock: Clock = proc_params["clock"]
        self.spiking: np.ndarray = proc_params["spiking"]
        self.reset: np.ndarray = proc_params["reset"]
        self.due = by_remainder(self.clock.first, self.clock.pace)
        self.starting = by_remainder(self.clock.first, self.clock.window)

    def run_spk(self) -> None:
        """Start the windows that are due, then take one step of the stock model."""
        starting = self.starting.get(self.time_step % self.clock.window, NONE)
        self.u[starting], self.v[starting] = 0, 0
        super().run_spk()

    def subthr_dynamics(self, activation_in: np.ndarray) -> None:
        """The stock model's step, for the neurons whose turn it is."""
        resting, u, v = ~self._due(), self.u.copy(), self.v.copy()
        super().subthr_dynamics(activation_in)
        self.u[resting], self.v[resting] = u[resting], v[resting]

    def spiking_activation(self) -> np.ndarray:
        """Spikes, and the potentials of neurons that never spike; zeros from those whose turn it is not."""
        spikes = self.v > self.limit()
        return self._due() * (spikes if self.spiking.all() else np.where(self.spiking, spikes, self.v))

    def reset_voltage(self, spike_vector: np.ndarray) -> None:
        """Set the neurons that spiked to their reset potential."""
        spiked = self.spiking & (spike_vector != 0)
        self.v[spiked] = self.reset[spiked]

    def limit(self) -> Any:
        """The potential above which a neuron spikes."""
        raise NotImplementedError

    def _due(self) -> np.ndarray:
        """Whether it is a neuron's turn, (neurons,)."""
        due = np.zeros(self.v.shape, bool)
        due[self.due.get(self.time_step % self.clock.pace, NONE)] = True
        return due


class AbstractPyRealLIF(AbstractPyClockedLIF, AbstractPyLifModelFloat):
    """What both floating-point models do; Lava lets no model of one process derive from that of another."""

    vth: float = LavaPyType(float, float)

    def limit(self) -> Any:
        """As it was given."""
        return self.vth


@implements(proc=ClockedLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyClockedLIF(AbstractPyRealLIF):
    """Floating-point model of ClockedLIF."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, bool)


@implements(proc=GradedLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyGradedLIF(AbstractPyRealLIF):
    """Floating-point model of GradedLIF."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)


@implements(proc=FixedLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyFixedLIF(AbstractPyClockedLIF, AbstractPyLifModelFixed):
    """Lava's bit-accurate arithmetic."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    vth: int = LavaPyType(int, np.int32, precision=17)

    def scale_threshold(self) -> None:
        """Scaled in ``limit``."""
        self.isthrscaled = True

    def limit(self) -> Any:
        """The threshold on the grid of the potentials, as in the stock model."""
        return np.left_shift(self.vth, self.vth_shift)


def by_remainder(steps: np.ndarray, modulus: int) -> dict[int, np.ndarray]:
    """Indices of the neurons whose step leaves the same remainder."""
    remainders = steps % modulus
    return {int(value): np.flatnonzero(remainders == value) for value in np.unique(remainders)}
