"""What other tools mean by the numbers in the NIR files that they write, and the same in NIR's own equations.

NIR's equations are continuous, and its files name no time step. Every tool has one in its code, and some write time
constants in another unit, or have a gain that the file does not tell. docs/foreign.md has the table; ``tests/interop``
holds each rule against the tool's own simulation.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

from export.nir.marked_attention import MARK
from export.nir.read import TIME_STEP_KEY
from export.nir.stepwise.dynamics import NEURONS
from export.nir.tools import Tool
from spikinghash.errors import GraphError

Rule = Callable[[Any], dict[str, Any]]
"""From a neuron as written to the parameters that it should have."""


@dataclass(frozen=True)
class Convention:
    """How a tool's files are read.

    Attributes:
        dt: seconds per step.
        neurons: by type of neuron, what has to change; types that are not there have no rule.
    """

    dt: float
    neurons: Mapping[type[nir.NIRNode], Rule] = field(default_factory=dict)


def _unchanged(_node: nir.NIRNode) -> dict[str, Any]:
    return {}


def _norse_leak(node: nir.LIF | nir.LI) -> dict[str, Any]:
    """Norse writes dt / tau_mem_inv: dt times the time constant in seconds."""
    return {"tau": np.asarray(node.tau, np.float64) / NORSE_STEP}


def _norse_sum(node: nir.IF) -> dict[str, Any]:
    """``v <- v + i`` whatever the time step."""
    return {"r": np.asarray(node.r, np.float64) / NORSE_STEP}


def _sinabs_leak(node: nir.LIF | nir.LI) -> dict[str, Any]:
    """``v <- exp(-1 / tau) v + i`` with tau in steps: sinabs ignores r, and reads files with ``norm_input=False``."""
    steps = -1 / np.expm1(-1 / np.asarray(node.tau, np.float64))
    return {"tau": steps, "r": steps}


NORSE_STEP = 1e-3
CONVENTIONS: dict[Tool, Convention] = {
    "norse": Convention(NORSE_STEP, {nir.LIF: _norse_leak, nir.LI: _norse_leak, nir.IF: _norse_sum}),
    "snntorch": Convention(1e-4, {nir.LIF: _unchanged, nir.CubaLIF: _unchanged}),
    "spikingjelly": Convention(1e-4, {nir.IF: _unchanged, nir.LIF: _unchanged, nir.CubaLIF: _unchanged}),
    "sinabs": Convention(1.0, {nir.IF: _unchanged, nir.LIF: _sinabs_leak, nir.LI: _sinabs_leak}),
}


def as_meant_by(graph: nir.NIRGraph, tool: Tool) -> nir.NIRGraph:
    """A copy of ``graph`` whose parameters and time step say in NIR's equations what ``tool`` simulates.

    Example:
        >>> meant = as_meant_by(read_graph(Path("cnn_sinabs.nir")), "sinabs")
        >>> Interpreter(meant).run(spikes)

    Raises:
        GraphError: the graph holds a neuron that the tool does not write; the message names it.
    """
    convention = CONVENTIONS[tool]
    meant = _converted(graph, tool, convention, "")
    meant.metadata = {**graph.metadata, TIME_STEP_KEY: convention.dt}
    return meant


def _converted(graph: nir.NIRGraph, tool: Tool, convention: Convention, prefix: str) -> nir.NIRGraph:
    result = copy.copy(graph)
    result.nodes = {}
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph) and MARK not in node.metadata:
            result.nodes[name] = _converted(node, tool, convention, f"{prefix}{name}.")
        else:
            result.nodes[name] = _as_meant(node, tool, convention, prefix + name)
    return result


def _as_meant(node: nir.NIRNode, tool: Tool, convention: Convention, name: str) -> nir.NIRNode:
    if not isinstance(node, NEURONS):
        return node
    rule = convention.neurons.get(type(node))
    if rule is None:
        known = ", ".join(kind.__name__ for kind in convention.neurons)
        raise GraphError(f"node {name}: --from {tool}: no rule for a {type(node).__name__}, only for {known}")
    node = copy.copy(node)
    for key, value in rule(node).items():
        setattr(node, key, value)
    return node
