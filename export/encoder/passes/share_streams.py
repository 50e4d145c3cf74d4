"""Residual streams as populations that all of their readers share, for targets with graded spikes.

In the graph every LIF on a stream has an edge from all maps that feed the stream, so that a chip runs each of them
anew for every reader. Here the currents of a map enter the stream once: a point of the stream that several neurons
build on becomes a ``Stream``, and what comes behind it adds only the maps in between.
"""

from collections.abc import Mapping

from export.encoder.graph import Graph
from export.encoder.operations import Lif, Stream

Maps = tuple[str, ...]


def share_streams(graph: Graph) -> Graph:
    """Let a ``Stream`` gather the maps that the lists of several LIFs begin with."""
    graph = graph.copy()
    lists = {name: tuple(graph.sources(name)) for name, _ in graph.find(Lif)}
    points: dict[Maps, str] = {}
    for name, maps in lists.items():
        sources = _beyond(points, maps)
        if maps not in points and sum(other[: len(maps)] == maps for other in lists.values()) > 1:
            points[maps] = graph.add(f"{maps[-1]}_stream", Stream(graph.nodes[name].shape), *sources)
            graph.serves[points[maps]] = name
            sources = (points[maps],)
        graph.edges = [edge for edge in graph.edges if edge[1] != name] + [(source, name) for source in sources]
    return graph.sort()


def _beyond(points: Mapping[Maps, str], maps: Maps) -> Maps:
    """The point that has the most of the first ``maps`` on it, and the others."""
    known = next((count for count in range(len(maps), 0, -1) if maps[:count] in points), 0)
    return (points[maps[:known]], *maps[known:]) if known else maps
