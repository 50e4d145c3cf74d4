"""Writes what arrives to a file, one row per step."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class Recorder(AbstractProcess):
    """Writes the chosen elements of a vector of ``size`` to row t of an .npy file (steps, chosen) at step t."""

    def __init__(self, name: str, path: str, size: int, chosen: np.ndarray) -> None:
        super().__init__(name=name, path=path, chosen=chosen)
        self.a_in = InPort(shape=(size,))


@implements(proc=Recorder, protocol=LoihiProtocol)
@requires(CPU)
class PyRecorder(PyLoihiProcessModel):
    """Floating-point model of Recorder; the file's type decides how values are stored."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.rows = np.load(proc_params["path"], mmap_mode="r+")
        self.chosen = proc_params["chosen"]

    def run_spk(self) -> None:
        """Store the values of this step."""
        self.rows[self.time_step - 1] = self.a_in.recv()[self.chosen]
