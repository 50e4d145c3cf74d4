"""Attention as one process: a product of spikes with spikes, which neuromorphic graphs otherwise spell out in gates."""

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

from export.nir.marked_attention import MarkedAttention


class DynamicProduct(AbstractProcess):
    """Coincidence counts Q (K^T V) of the queries, keys and values that arrive in a step, sent in the same step."""

    def __init__(self, name: str, attention: MarkedAttention) -> None:
        super().__init__(name=name, attention=attention)
        size = int(np.prod(attention.shape))
        self.a_in = InPort(shape=(3 * size,))
        self.s_out = OutPort(shape=(size,))


class AbstractPyDynamicProduct(PyLoihiProcessModel):
    """What both models do; counts are whole numbers far below 2^53, so that float64 is exact."""

    a_in: PyInPort
    s_out: PyOutPort

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.attention: MarkedAttention = proc_params["attention"]

    def run_spk(self) -> None:
        """Send the counts of this step's spikes."""
        spikes = self.a_in.recv().astype(float)
        self.s_out.send(self.attention.counts(spikes[:, None])[:, 0])


@implements(proc=DynamicProduct, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyDynamicProduct(AbstractPyDynamicProduct):
    """Floating-point model of DynamicProduct."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)


class FixedDynamicProduct(DynamicProduct):
    """A DynamicProduct whose counts leave as graded spikes, whole numbers of 24 bits."""


@implements(proc=FixedDynamicProduct, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyFixedDynamicProduct(AbstractPyDynamicProduct):
    """Integer model of FixedDynamicProduct."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
