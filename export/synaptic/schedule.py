"""When populations take their steps on a machine where every hop takes one: Loihi, SpiNNaker, TrueNorth, Lava.

An edge of a NIR graph takes no time. On these machines a spike that is sent in one step is received in the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

import nir

from export.nir.marked_attention import MappingSize
from export.synaptic.lowering import lower
from export.synaptic.populations import SynapseNetwork


@dataclass(frozen=True)
class Schedule:
    """When each population takes its steps: step t of the graph is the machine's ``1 + t * pace + latencies[name]``.

    Attributes:
        pace: machine steps per step of the graph.
        latencies: machine steps by which each population and readout lags behind the graph's own time.
        depth: that of the output.
    """

    pace: int
    latencies: Mapping[str, int]
    depth: int

    def steps(self, steps: int) -> int:
        """Machine steps from the first frame of ``steps`` of the graph until the last output is there."""
        return self.pace * steps + self.depth


def schedule(network: SynapseNetwork) -> Schedule:
    """The fastest schedule in which nothing is needed before it is there.

    A synapse takes one machine step. A delay in the graph can hide it, so that a path is as long as the sum of
    ``1 - pace * delay`` over its synapses; whatever arrives earlier than the slowest input waits in the synapse. A
    cycle of n synapses and a total delay of d steps needs a pace of at least n / d: one machine step per step where a
    population feeds itself, two where two populations feed each other and only one of the ways is delayed.
    """
    for pace in count(1):
        latencies = _longest_paths(network, pace)
        if latencies is not None:
            return Schedule(pace, latencies, latencies[network.output])
    raise AssertionError("unreachable: every cycle holds a delay")


def pipeline_depth(graph: nir.NIRGraph, dt: float | None = None) -> int:
    """Machine steps that a spike takes from the input to the output of ``graph``, beyond the graph's own time.

    A run of ``steps`` steps of the graph, drain included, takes ``steps + pipeline_depth(graph)`` steps of the machine;
    where cycles hold less delay than hops, ``schedule(lower(graph)).steps(steps)``.

    Args:
        graph: with one Input and one Output.
        dt: seconds per step; by default what the graph's metadata say.

    Raises:
        GraphError: the graph cannot be run.
    """
    return schedule(lower(graph, dt=dt)).depth


def _longest_paths(network: SynapseNetwork, pace: int) -> dict[str, int] | None:
    """Longest way to each population and readout (Bellman and Ford), or None where a cycle makes it endless."""
    latencies = dict.fromkeys(network.by_name, 0)
    for _ in latencies:
        settled = True
        for part in network.projections:
            arrival = latencies[part.source] + 1 - pace * part.delay
            if arrival > latencies[part.target]:
                latencies[part.target], settled = arrival, False
        if settled:
            return latencies
    return None


def mapping_size(network: SynapseNetwork) -> MappingSize:
    """Neurons and synapses that a network occupies, and how long a spike is on its way."""
    return MappingSize(
        neurons=sum(part.neurons for part in (*network.neurons, *network.of_kind("attention"))),
        synapses=sum(part.weights.nnz for part in network.projections),
        steps=schedule(network).depth,
    )
