"""Helper populations that several lowerings share: delay lines, the valid line and clocks."""

import numpy as np

from export.encoder.graph import Graph
from export.encoder.operations.conv import Conv
from export.encoder.operations.delay import Delay
from export.encoder.operations.input import Input
from export.encoder.operations.lif import Lif
from export.encoder.operations.threshold import Threshold

VALID = "valid"
"""Name of the population that spikes in every step of the window."""


def delay_line(graph: Graph, source: str, steps: int) -> str:
    """Spikes of ``source``, ``steps`` steps later; one delay line serves all who ask for the same."""
    name = f"{source}_delay{steps}"
    if name not in graph.nodes:
        shape = graph.nodes[source].shape
        with graph.within(graph.groups[source]):
            graph.add(name, Delay(shape, (steps,) * shape[0]), source)
        graph.serves[name] = graph.serves.get(source, source)
    return name


def valid_line(graph: Graph, latency: int) -> str:
    """The population that spikes in every step of the window, ``latency`` steps late."""
    if VALID not in graph.nodes:
        _add_valid(graph)
    return delay_line(graph, VALID, latency) if latency else VALID


def valid_but(graph: Graph, latency: int, other: int) -> str:
    """A neuron that spikes where the valid line that is ``latency`` steps late does, but not the one ``other`` late.

    In a window of T steps: before step ``other`` if ``latency`` is 0; if it is the larger of both, from step
    T + ``other`` on until T + ``latency``.
    """
    name = f"{VALID}_{latency}_but_{other}"
    if name not in graph.nodes:
        with graph.within("valid line"):
            minus = graph.add(f"{name}_minus", Conv((1, 1, 1), -np.ones((1, 1, 1, 1))), valid_line(graph, other))
            graph.add(name, Threshold((1, 1, 1), 0.5), valid_line(graph, latency), minus)
        graph.serves[name] = VALID
    return name


def _add_valid(graph: Graph) -> None:
    name, _ = graph.only(Input)
    _widen(graph, name)
    shape = channels, height, width = graph.nodes[name].shape
    pick = np.eye(channels)[-1].reshape(1, channels, 1, 1)
    with graph.within("valid line"):
        graph.add("valid_pick", Conv(shape, pick, stride=max(height, width)), name)
        graph.add(VALID, Threshold((1, 1, 1), 0.5), "valid_pick")
    graph.serves[VALID] = VALID


def _widen(graph: Graph, name: str) -> None:
    """Give a population the valid channel; who reads it ignores the channel."""
    graph.nodes[name] = graph.nodes[name].widened(name)
    if graph.nodes[name].spiking:
        for reader in graph.targets(name):
            _widen(graph, reader)


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
