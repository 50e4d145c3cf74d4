"""Fuse two linear maps in a row into one."""

from export.encoder.graph import Graph
from export.encoder.operations import Conv


def fuse_linear(graph: Graph) -> Graph:
    """Merge every linear map whose only reader is a 1x1 convolution with it, as a pooling before a classifier.

    The first map must carry no bias into the second one other than one per channel, which is folded too.
    """
    graph = graph.copy()
    for name, second in list(graph.find(Conv)):
        sources = graph.sources(name)
        if len(sources) != 1 or not second.pointwise or graph.targets(sources[0]) != [name]:
            continue
        fused = graph.nodes[sources[0]].followed_by(second.weight[:, :, 0, 0])
        if fused is None:
            continue
        parts = [part for part in (fused.bias, second.bias) if part is not None]
        graph.nodes[name] = fused.with_numbers(fused.weight, sum(parts[1:], parts[0]) if parts else None)
        _adopt_sources(graph, sources[0], name)
    return graph.sort()


def _adopt_sources(graph: Graph, gone: str, name: str) -> None:
    graph.edges = [
        (source, name if target == gone else target)
        for source, target in graph.edges
        if (source, target) != (gone, name)
    ]
    del graph.nodes[gone]
