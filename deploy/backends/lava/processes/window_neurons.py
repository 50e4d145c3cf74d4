"""Neurons of many populations in one process, each population with windows that start in its own step.

The dynamics are those of Lava's floating-point LIF model; only the start of the windows and what is emitted differ.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.lif.models import AbstractPyLifModelFloat
from lava.proc.lif.process import LIF

Starts = Mapping[int, Sequence[slice]]
"""By step of the window (time_step % window), the neurons whose window starts there."""


class WindowLIF(LIF):
    """Lava's LIF with parameters per neuron, a reset potential, and windows at whose start v is 0.

    Lava's LIFReset starts the windows of all of its neurons in the same step and resets to 0 only.
    """

    def __init__(
        self, name: str, decay: np.ndarray, threshold: np.ndarray, reset: np.ndarray, starts: Starts, window: int
    ) -> None:
        super().__init__(name=name, shape=decay.shape, du=1, dv=decay, vth=threshold)
        self.proc_params["reset"] = reset
        self.proc_params["starts"] = starts
        self.proc_params["window"] = window


class WindowIntegrator(WindowLIF):
    """Neurons that never spike and emit their membrane potential."""


class AbstractPyWindowModel(AbstractPyLifModelFloat):
    """Lava's floating-point dynamics, with v set to 0 where a window starts."""

    vth: float = LavaPyType(float, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.reset: np.ndarray = proc_params["reset"]
        self.starts: Starts = proc_params["starts"]
        self.window: int = proc_params["window"]

    def run_spk(self) -> None:
        """Start the windows that are due, then take one step of the stock model."""
        for neurons in self.starts.get(self.time_step % self.window, ()):
            self.v[neurons] = 0
        super().run_spk()


@implements(proc=WindowLIF, protocol=LoihiProtocol)
@requires(CPU)
class PyWindowLIF(AbstractPyWindowModel):
    """Floating-point model of WindowLIF."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, bool)

    def spiking_activation(self) -> np.ndarray:
        """The neurons above threshold."""
        return self.v > self.vth

    def reset_voltage(self, spike_vector: np.ndarray) -> None:
        """Set the neurons that spiked to their reset potential."""
        self.v[spike_vector] = self.reset[spike_vector]


@implements(proc=WindowIntegrator, protocol=LoihiProtocol)
@requires(CPU)
class PyWindowIntegrator(AbstractPyWindowModel):
    """Floating-point model of WindowIntegrator."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)

    def spiking_activation(self) -> np.ndarray:
        """The membrane potential."""
        return self.v

    def reset_voltage(self, spike_vector: np.ndarray) -> None:
        """Keep the membrane potential: an integrator never spikes."""
