"""When populations take their steps on a machine where every hop takes one: Loihi, SpiNNaker, TrueNorth, Lava.

An edge of a NIR graph takes no time. On these machines a spike that is sent in one step is received in the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from export.synaptic.populations import Projection, SynapseNetwork


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

    def hops(self, part: Projection) -> int:
        """Machine steps from the one that sends a spike to the one that receives it, at least 1."""
        return self.pace * part.delay + self.latencies[part.target] - self.latencies[part.source]

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
