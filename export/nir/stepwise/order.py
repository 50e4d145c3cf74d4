"""In which order a step visits the nodes of a flat graph, and which edges carry the value of the step before."""

from collections.abc import Mapping, Sequence

import nir


def visiting_order(
    nodes: Mapping[str, nir.NIRNode], edges: Sequence[tuple[str, str]]
) -> tuple[list[str], frozenset[tuple[str, str]]]:
    """Depth-first topological order from the Input, and the late edges.

    An edge back to a node that is still open in this search closes a cycle. It carries what its source emitted in the
    step before, and zero in the first step of a sample, a bias included. So every cycle delays by one step where it
    comes back to the node at which the signal entered it. snnTorch, SpikingJelly and sc-neurocore do the same.
    In a cycle with several entries, the order of the edges in the file decides which one counts.

    Nodes that no Input reaches, such as a ring of neurons that a bias keeps going, are searched last.
    """
    targets: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        targets[source].append(target)
    inputs = [name for name, node in nodes.items() if isinstance(node, nir.Input)]
    open_or_done: dict[str, bool] = {}
    finished: list[str] = []
    late: set[tuple[str, str]] = set()
    for root in [*inputs, *sorted(nodes)]:
        if root not in open_or_done:
            _search(root, targets, open_or_done, finished, late)
    return finished[::-1], frozenset(late)


def _search(
    root: str,
    targets: Mapping[str, Sequence[str]],
    done: dict[str, bool],
    finished: list[str],
    late: set[tuple[str, str]],
) -> None:
    """Depth-first search without recursion, since graphs may be deeper than Python's stack."""
    stack = [(root, iter(targets[root]))]
    done[root] = False
    while stack:
        name, remaining = stack[-1]
        following = next((target for target in remaining if not done.get(target, False)), None)
        if following is None:
            stack.pop()
            done[name] = True
            finished.append(name)
        elif following in done:
            late.add((name, following))
        else:
            done[following] = False
            stack.append((following, iter(targets[following])))
