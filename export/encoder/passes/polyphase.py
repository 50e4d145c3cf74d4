"""Space-to-depth layout of every population, in which no operation mixes pixels in blocks."""

from export.encoder.graph import Graph


def polyphase(graph: Graph) -> Graph:
    """Store every population with the factor that ``choose_factors`` finds."""
    factors = choose_factors(graph)
    result = graph.copy()
    for name, node in graph.nodes.items():
        source = next(iter(graph.sources(name)), name)
        result.nodes[name] = node.relaid(name, factors[source], factors[name])
    result.polyphase = {name: factor for name, factor in factors.items() if factor > 1}
    return result


def choose_factors(graph: Graph) -> dict[str, int]:
    """The smallest factor of each node that all of its neighbours can stand beside; see ``Node.share_factors``."""
    factors = dict.fromkeys(graph.nodes, 1)
    while True:
        before = dict(factors)
        for name, node in graph.nodes.items():
            for source in graph.sources(name):
                factors[source], factors[name] = node.share_factors(factors[source], factors[name])
        if factors == before:
            return factors
