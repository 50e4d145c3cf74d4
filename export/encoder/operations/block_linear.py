"""A linear map of the steps of a block: what a Spiking WaveMixer is in polyphase layout.

It needs all B steps of a block before it can answer. In a graph whose nodes live from step to step, its spikes are
copied into B lanes, lane k delayed by k steps; once per block, when lane k holds step B - 1 - k of it, a clock opens a
gate (the AND of lane and clock). What passes the gates is kept for the B steps that follow by a second set of delays,
and step j of the answer is read from the gates' spikes j steps ago: ``z_j(t0 + j) = sum_k W[j, k] g_k(t0)``.
"""

from dataclasses import dataclass

import numpy as np

from export.encoder.graph import Graph
from export.encoder.node import Array, Linear, Shape
from export.encoder.operations.conv import Conv
from export.encoder.operations.delay import Delay
from export.encoder.operations.dense import Dense
from export.encoder.operations.lines import block_clock, delay_line
from export.encoder.operations.threshold import Threshold

AND_OF_TWO = 1.5


@dataclass(frozen=True)
class BlockLinear(Linear):
    """``z_j = sum_k W[j, k] s_k`` per pixel over blocks of B steps; j and k count the steps of a block."""

    shape: Shape
    weight: Array
    """(B out, B in, out channels, in channels)."""
    bias: Array | None = None

    @property
    def block(self) -> int:
        """Steps of a block, B."""
        return self.weight.shape[0]

    @property
    def latency(self) -> int:
        """The first step of a block is answered when its last one is there."""
        return self.block - 1

    def unroll(self, graph: Graph, name: str) -> None:
        """Lanes, gates, a clock, delays and one 1x1 convolution per step of a block."""
        (source,) = graph.sources(name)
        readers, latency = graph.targets(name), graph.latency.get(source, 0)
        graph.remove(name)
        for answer in self._answers(graph, name, source, latency):
            for reader in readers:
                graph.connect(answer, reader)

    def _answers(self, graph: Graph, name: str, source: str, latency: int) -> list[str]:
        block, (channels, *_) = self.block, self.shape
        if block == 1:
            return [graph.add(name, Conv(self.shape, self.weight[0, 0, :, :, None, None], self.bias), source)]
        served = graph.serves.get(source, source)
        copies = np.tile(np.eye(channels), (block, 1))[:, :, None, None]
        lanes = graph.add(f"{name}_copies", Conv(self.shape, copies), source)
        shape = graph.nodes[lanes].shape
        lags = tuple(lag for lag in range(block) for _ in range(channels))
        delays = graph.add(f"{name}_lanes", Delay(shape, lags), lanes)
        gates = graph.add(f"{name}_gates", Threshold(shape, AND_OF_TWO), delays)
        clock = block_clock(graph, block, latency)
        graph.connect(graph.add(f"{name}_clock_fan_out", Dense(np.ones((*shape, 1, 1, 1))), clock), gates)
        graph.serves |= dict.fromkeys((delays, gates), served)
        return [self._answer(graph, name, gates, step) for step in range(block)]

    def _answer(self, graph: Graph, name: str, gates: str, step: int) -> str:
        # Lane k holds step B - 1 - k of the block when the gates open.
        weight = np.concatenate(list(self.weight[step, ::-1]), axis=1)[:, :, None, None]
        spikes = delay_line(graph, gates, step) if step else gates
        node = Conv(graph.nodes[gates].shape, weight, self.bias if step == 0 else None)
        return graph.add(f"{name}_step{step}", node, spikes)
