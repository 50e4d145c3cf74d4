"""Neurons of many populations in one process, in Loihi's fixed-point arithmetic."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.lif.models import AbstractPyLifModelFixed
from lava.proc.lif.process import LIF

from deploy.backends.lava.processes.clocked_neurons import Clock, by_remainder

NONE = np.zeros(0, int)
"""No neuron. (An empty tuple as an index would be all of them.)"""
BIAS_EXPONENT = 6
"""bias_exp: brings biases, like currents and thresholds, onto the grid of the potentials."""


class FixedNeurons(LIF):
    """Lava's LIF with registers per neuron, and windows and steps as ``clock`` says.

    Args:
        name: for error messages.
        spiking: (neurons,) whether it spikes; any other neuron emits its potential.
        decay: dv, (neurons,).
        current_decay: du, (neurons,).
        threshold: vth, (neurons,).
        bias: bias_mant, (neurons,).
        clock: when the neurons take their steps.
    """

    def __init__(
        self,
        name: str,
        spiking: np.ndarray,
        decay: np.ndarray,
        current_decay: np.ndarray,
        threshold: np.ndarray,
        bias: np.ndarray,
        clock: Clock,
    ) -> None:
        super().__init__(
            name=name,
            shape=spiking.shape,
            du=current_decay,
            dv=decay,
            vth=threshold,
            bias_mant=bias,
            bias_exp=BIAS_EXPONENT,
        )
        self.proc_params["spiking"] = spiking
        self.proc_params["clock"] = clock


@implements(proc=FixedNeurons, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyFixedNeurons(AbstractPyLifModelFixed):
    """Lava's bit-accurate arithmetic; only when it happens, and what other neurons emit, is added."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    vth: int = LavaPyType(int, np.int32, precision=17)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.spiking: np.ndarray = proc_params["spiking"]
        self.clock: Clock = proc_params["clock"]
        self.due = by_remainder(self.clock.first, self.clock.pace)
        self.starting = by_remainder(self.clock.first, self.clock.window)

    def run_spk(self) -> None:
        """Start the windows that are due, then take one step of the stock model."""
        starting = self.starting.get(self.time_step % self.clock.window, NONE)
        self.u[starting], self.v[starting] = 0, 0
        super().run_spk()

    def scale_threshold(self) -> None:
        """The threshold on the grid of the potentials, as in the stock model."""
        self.effective_vth = np.left_shift(self.vth, self.vth_shift)
        self.isthrscaled = True

    def subthr_dynamics(self, activation_in: np.ndarray) -> None:
        """The stock model's step, for the neurons whose turn it is."""
        if self.clock.pace == 1:
            super().subthr_dynamics(activation_in)
            return
        due, u, v = self._due(), self.u.copy(), self.v.copy()
        super().subthr_dynamics(activation_in)
        self.u[~due], self.v[~due] = u[~due], v[~due]

    def spiking_activation(self) -> np.ndarray:
        """Spikes, and the potentials of neurons that never spike; zeros from those whose turn it is not."""
        emitted = np.where(self.spiking, self.v > self.effective_vth, self.v)
        return emitted if self.clock.pace == 1 else np.where(self._due(), emitted, 0)

    def reset_voltage(self, spike_vector: np.ndarray) -> None:
        """Set the neurons that spiked to 0."""
        self.v[self.spiking & (spike_vector != 0)] = 0

    def _due(self) -> np.ndarray:
        due = np.zeros(self.v.shape, bool)
        due[self.due.get(self.time_step % self.clock.pace, NONE)] = True
        return due
