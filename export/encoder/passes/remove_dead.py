"""Remove nodes from which no path leads to the output."""

from export.encoder.graph import Graph
from export.encoder.operations import Input, Output


def remove_dead(graph: Graph) -> Graph:
    """Keep the inputs and what the outputs depend on."""
    graph = graph.copy()
    alive = {name for name, node in graph.nodes.items() if isinstance(node, Output)}
    waiting = list(alive)
    while waiting:
        for source in graph.sources(waiting.pop()):
            if source not in alive:
                alive.add(source)
                waiting.append(source)
    graph.remove(*(name for name, node in graph.nodes.items() if name not in alive and not isinstance(node, Input)))
    return graph
