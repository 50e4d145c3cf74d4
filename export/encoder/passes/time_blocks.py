"""Blocks of time steps, in a graph whose nodes live from step to step.

A ``BlockLinear`` needs all B steps of a block before it can answer. Its spikes are copied into B lanes, lane k delayed
by k steps; once per block, when lane k holds step B - 1 - k of it, a clock opens a gate (the AND of lane and clock).
What passes the gates is kept for the B steps that follow by a second set of delays, and step j of the answer is read
from the gates' spikes j steps ago: ``z_j(t0 + j) = sum_k W[j, k] g_k(t0)``.
"""

import numpy as np

from export.encoder.graph import Graph
from export.encoder.operations import BlockLinear, Conv, Delay, Dense, Lif, Threshold
from export.encoder.passes.align import delay_line
from export.encoder.passes.valid_line import VALID, valid_line

AND_OF_TWO = 1.5


def lower_time_blocks(graph: Graph) -> Graph:
    """Replace every ``BlockLinear`` by lanes, gates, a clock, delays and one 1x1 convolution per step of a block."""
    graph = graph.copy()
    for name, linear in list(graph.find(BlockLinear)):
        (source,) = graph.sources(name)
        readers = graph.targets(name)
        latency = graph.latency.get(source, 0)
        graph.remove(name)
        answers = _expand(graph, name, linear, source, latency)
        for answer in answers:
            for reader in readers:
                graph.connect(answer, reader)
    return graph.sort()


def _expand(graph: Graph, name: str, linear: BlockLinear, source: str, latency: int) -> list[str]:
    block, (channels, *_) = linear.block, linear.shape
    if block == 1:
        return [graph.add(name, Conv(linear.shape, linear.weight[0, 0, :, :, None, None], linear.bias), source)]
    served = graph.serves.get(source, source)
    copies = np.tile(np.eye(channels), (block, 1))[:, :, None, None]
    lanes = graph.add(f"{name}_copies", Conv(linear.shape, copies), source)
    shape = graph.nodes[lanes].shape
    lags = tuple(lag for lag in range(block) for _ in range(channels))
    delays = graph.add(f"{name}_lanes", Delay(shape, lags), lanes)
    gates = graph.add(f"{name}_gates", Threshold(shape, AND_OF_TWO), delays)
    clock = block_clock(graph, block, latency)
    graph.connect(graph.add(f"{name}_clock_fan_out", Dense(np.ones((*shape, 1, 1, 1))), clock), gates)
    graph.serves |= dict.fromkeys((delays, gates), served)
    return [_answer(graph, name, linear, gates, step) for step in range(block)]


def _answer(graph: Graph, name: str, linear: BlockLinear, gates: str, step: int) -> str:
    # Lane k holds step B - 1 - k of the block when the gates open.
    weight = np.concatenate(list(linear.weight[step, ::-1]), axis=1)[:, :, None, None]
    spikes = delay_line(graph, gates, step) if step else gates
    node = Conv(graph.nodes[gates].shape, weight, linear.bias if step == 0 else None)
    return graph.add(f"{name}_step{step}", node, spikes)


def block_clock(graph: Graph, block: int, latency: int) -> str:
    """A neuron that spikes in the last step of each block of a window that arrives ``latency`` steps late.

    It is an ordinary LIF: under a constant current 2^B its potential after n steps is 2^(B+1) - 2^(B+1-n), a whole
    number, and the threshold lies between the potentials of steps B - 1 and B.
    """
    name = f"clock{block}_after{latency}"
    if name not in graph.nodes:
        current = Conv((1, 1, 1), np.full((1, 1, 1, 1), 2.0**block))
        beat = graph.add(f"{name}_current", current, valid_line(graph, latency))
        graph.add(name, Lif((1, 1, 1), 2.0 ** (block + 1) - 3), beat)
        graph.serves[name] = VALID
    return name
