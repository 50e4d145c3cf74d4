"""Feeds recorded frames into the network, one row per step."""

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class FrameSource(AbstractProcess):
    """Emits row t of an .npy file (steps, size), followed by a constant 1, at step ``t * pace``; else zeros.

    The file is mapped into the process, since arrays set through a Lava Var travel element by element.
    """

    def __init__(self, name: str, path: str, size: int, pace: int = 1) -> None:
        super().__init__(name=name, path=path, pace=pace)
        self.s_out = OutPort(shape=(size + 1,))


@implements(proc=FrameSource, protocol=LoihiProtocol)
@requires(CPU)
class PyFrameSource(PyLoihiProcessModel):
    """Floating-point model of FrameSource."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.frames = np.load(proc_params["path"], mmap_mode="r")
        self.pace: int = proc_params["pace"]
        self.row = np.ones(self.frames.shape[1] + 1)

    def run_spk(self) -> None:
        """Send the next row."""
        step, idle = divmod(self.time_step - 1, self.pace)
        if idle:
            self.s_out.send(np.zeros_like(self.row))
            return
        self.row[:-1] = self.frames[step] if step < len(self.frames) else 0
        self.s_out.send(self.row)
