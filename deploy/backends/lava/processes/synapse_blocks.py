"""Synapses between two groups of neurons, driven by spikes, with delays that respect windows."""

from collections import deque
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
from scipy import sparse


@dataclass(frozen=True)
class Block:
    """The synapses of one population of sources, as rows of a fan-out matrix.

    Attributes:
        sources: where the population has its neurons in the process's input.
        first_row: row of the fan-out matrix that belongs to its first neuron.
        wait: Lava steps that a spike waits here, besides the one step that every synapse process takes.
        delay: the part of the way that is a delay of the graph; it does not carry spikes over a window's end.
        latency: Lava steps by which the population lags behind the graph's own time.
    """

    sources: slice
    first_row: int
    wait: int
    delay: int
    latency: int


class SynapseBlocks(AbstractProcess):
    """``a_out(n + 1)`` is the sum of the fan-out rows of the spikes that each block received in step ``n - wait``.

    Args:
        name: for error messages.
        size: number of sources.
        blocks: which rows a source's spikes select, and when.
        fan_out: csr_matrix (rows, targets). A row per source makes a spike touch its own synapses only, and one matrix
            for all blocks costs one sparse product per step.
        window: steps per window.
    """

    def __init__(self, name: str, size: int, blocks: Sequence[Block], fan_out: sparse.csr_matrix, window: int) -> None:
        super().__init__(name=name, blocks=blocks, fan_out=fan_out, window=window)
        self.s_in = InPort(shape=(size,))
        self.a_out = OutPort(shape=(fan_out.shape[1],))


class FixedSynapseBlocks(SynapseBlocks):
    """A SynapseBlocks of whole weights: the sums of the synapses that Loihi stores with different exponents."""


class AbstractPyBlocks(PyLoihiProcessModel):
    """What both models do. As in Lava's own synapses, the result is sent one step later.

    Unlike Lava's Sparse, they visit the synapses of active sources only, and have delays.
    """

    s_in: PyInPort
    a_out: PyOutPort
    dtype: Any
    """Of the sums; weights may be stored in narrower numbers."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.blocks: Sequence[Block] = proc_params["blocks"]
        self.fan_out: sparse.csr_matrix = proc_params["fan_out"]
        self.window: int = proc_params["window"]
        longest = max(block.wait for block in self.blocks)
        nothing = (np.zeros(0, int), np.zeros(0, self.dtype))
        self.history = deque([nothing] * (longest + 1), maxlen=longest + 1)

    def run_spk(self) -> None:
        """Send what the previous steps' spikes bring, then receive this step's."""
        rows, values = self._active_rows()
        self.a_out.send(values @ self.fan_out[rows])
        received = self.s_in.recv()
        active = np.flatnonzero(received)
        self.history.appendleft((active, received[active].astype(self.dtype)))

    def _active_rows(self) -> tuple[np.ndarray, np.ndarray]:
        rows, values = [np.zeros(0, int)], [np.zeros(0, self.dtype)]
        for block in self.blocks:
            if self._arrives_in_window(block):
                active, value = self.history[block.wait]
                part = slice(*np.searchsorted(active, (block.sources.start, block.sources.stop)))
                rows.append(active[part] + (block.first_row - block.sources.start))
                values.append(value[part])
        return np.concatenate(rows), np.concatenate(values)

    def _arrives_in_window(self, block: Block) -> bool:
        """Whether a spike that the graph delays still reaches its target inside its own window."""
        sent = (self.time_step - 2 - block.wait - block.latency) % self.window
        return sent + block.delay < self.window


@implements(proc=SynapseBlocks, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PySynapseBlocks(AbstractPyBlocks):
    """Floating-point model of SynapseBlocks."""

    dtype = float
    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)


@implements(proc=FixedSynapseBlocks, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyFixedSynapseBlocks(AbstractPyBlocks):
    """Integer model of FixedSynapseBlocks.

    Lava's Dense shifts sums of even mantissas by ``weight_exp``, -1 or more here: nothing is lost, so that the sum over
    all exponents is the sum of the whole weights.
    """

    dtype = np.int64
    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
