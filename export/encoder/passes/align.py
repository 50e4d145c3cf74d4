"""Delay shortcuts, so that everything that meets in a neuron belongs to the same step of the recording."""

from export.encoder.graph import Graph
from export.encoder.operations.lines import delay_line


def align(graph: Graph) -> Graph:
    """Give every node its latency and insert delays on early paths.

    A ``BlockLinear`` over B steps answers B - 1 steps late. What else flows into the neurons behind it must be as late.
    Currents are no spikes and no hardware delays them; so the spikes are delayed and pass a second copy of the map.
    The graded values of a ``Stream`` are delayed as they are.
    """
    graph = graph.copy().sort()
    latency: dict[str, int] = {}
    copies: dict[tuple[str, int], str] = {}
    for name in list(graph.nodes):
        sources = graph.sources(name)
        latency[name] = max((latency[source] for source in sources), default=0) + graph.nodes[name].latency
        if not graph.nodes[name].spiking:
            continue
        for source in sources:
            late = latency[name] - latency[source]
            if late:
                copy = _delayed(graph, copies, latency, source, late)
                graph.edges[graph.edges.index((source, name))] = (copy, name)
    graph.latency = {name: steps for name, steps in latency.items() if steps}
    return graph.sort()


def _delayed(graph: Graph, copies: dict[tuple[str, int], str], latency: dict[str, int], source: str, late: int) -> str:
    """A copy of linear map ``source`` that answers ``late`` steps later than it; of a population, its delay line."""
    if graph.nodes[source].spiking:
        return delay_line(graph, source, late)
    key = (source, late)
    if key not in copies:
        (spikes,) = graph.sources(source)
        line = delay_line(graph, spikes, late)
        with graph.within(graph.groups[source]):
            copies[key] = graph.add(f"{source}_after{late}", graph.nodes[source], line)
        latency |= {line: latency[spikes] + late, copies[key]: latency[source] + late}
    return copies[key]
