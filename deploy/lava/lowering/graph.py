"""A NIR graph as a network of populations and synapses: linear nodes and delays dissolve into the synapses."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

import nir
import numpy as np
from scipy import sparse

from deploy.lava.lowering.flow import Flow
from deploy.lava.lowering.neurons import dynamics
from deploy.lava.lowering.shapes import settle_input_shape
from deploy.lava.network import Array, Network, Population, Readout, Shape, Synapses
from export.synapse_matrix import LINEAR_NODES, bias_vector, output_shape, synapse_matrix
from spikinghash.errors import GraphError

DEFAULT_TIME_STEP = 1e-4
"""Seconds per time step; NIR files name none."""

RECORDABLE_NODES = (nir.LIF, nir.IF, nir.Threshold, nir.Delay)


def lower(graph: nir.NIRGraph, record: Collection[str] = (), dt: float = DEFAULT_TIME_STEP) -> Network:
    """Lower an acyclic graph with one Input and one Output.

    Args:
        graph: read with or without nir's type check; shapes that it leaves open are inferred.
        record: Neuron and Delay nodes whose spikes are wanted.
        dt: time step in seconds.

    Raises:
        GraphError: a cycle, a node that Lava cannot run, shapes that do not fit; the message names the node.
    """
    sources = _sources(graph)
    _check_recordable(graph, record)
    source, output = _only(graph, nir.Input), _only(graph, nir.Output)
    lowering = _Lowering(dt, record)
    for name in _topological_order(sources):
        try:
            lowering.visit(name, graph.nodes[name], sources[name])
        except (TypeError, ValueError) as error:
            raise GraphError(f"node {name}: {error}") from error
    readouts = sorted(lowering.readouts, key=lambda readout: readout.name != output)
    return Network(source, lowering.flows[source].shape, lowering.populations, readouts, lowering.synapses)


@dataclass
class _Lowering:
    """The state of one walk over the graph: what each visited node emits, and what was built for it."""

    dt: float
    record: Collection[str]
    flows: dict[str, Flow] = field(default_factory=dict)
    populations: list[Population] = field(default_factory=list)
    readouts: list[Readout] = field(default_factory=list)
    synapses: list[Synapses] = field(default_factory=list)

    def visit(self, name: str, node: nir.NIRNode, sources: Sequence[str]) -> None:
        """Lower one node whose sources were visited before."""
        if isinstance(node, nir.Input):
            self.flows[name] = Flow.of(name, _shape(node.input_type["input"]))
            return
        if isinstance(node, nir.NIRGraph):
            raise TypeError("Lava has no nested NIRGraph: put its nodes into the outer graph")
        arriving = self._arriving(sources)
        node = settle_input_shape(node, arriving.shape)
        if isinstance(node, LINEAR_NODES):
            self.flows[name] = _mapped(arriving, node)
        elif isinstance(node, nir.Delay):
            self.flows[name] = arriving.delayed(_delay_steps(node, self.dt))
            if name in self.record:
                self._read_out(name, self.flows[name])
        elif isinstance(node, nir.Output):
            self._read_out(name, arriving)
        else:
            self._add_population(name, node, arriving)

    def _arriving(self, sources: Sequence[str]) -> Flow:
        if not sources:
            raise ValueError("nothing arrives at it: connect or remove it")
        total = self.flows[sources[0]]
        for source in sources[1:]:
            if self.flows[source].shape != total.shape:
                raise ValueError(f"{self.flows[source].shape} from {source} cannot be added to {total.shape}")
            total = total.plus(self.flows[source])
        return total

    def _add_population(self, name: str, node: nir.NIRNode, arriving: Flow) -> None:
        rule = dynamics(node, self.dt)
        current = arriving.through(sparse.diags(rule.gain), arriving.shape)
        self._connect(name, current.plus_constant(rule.drive))
        population = Population(name, arriving.shape, rule.spiking, rule.decay, rule.threshold, rule.reset)
        self.populations.append(population)
        self.flows[name] = Flow.of(name, arriving.shape)

    def _read_out(self, name: str, flow: Flow) -> None:
        self._connect(name, flow)
        self.readouts.append(Readout(name, flow.shape))

    def _connect(self, target: str, flow: Flow) -> None:
        """Synapses for all terms of a flow; one of them may be empty, so that no Lava process stands alone."""
        for weights in flow.terms.values():
            weights.eliminate_zeros()
        terms = [item for item in flow.terms.items() if item[1].nnz] or list(flow.terms.items())[:1]
        self.synapses += [Synapses(source, target, delay, weights) for (source, delay), weights in terms]


def _mapped(arriving: Flow, node: nir.NIRNode) -> Flow:
    flow = arriving.through(synapse_matrix(node), output_shape(node))
    bias = bias_vector(node)
    return flow if bias is None else flow.plus_constant(bias)


def _delay_steps(node: nir.Delay, dt: float) -> Array:
    steps = np.round(np.ravel(node.delay) / dt).astype(int)
    if steps.min(initial=0) < 0:
        raise ValueError(f"delay {np.min(node.delay):g} s is negative")
    return steps


def _check_recordable(graph: nir.NIRGraph, record: Collection[str]) -> None:
    for name in record:
        if name not in graph.nodes:
            raise GraphError(f"node {name}: the graph has no such node to record")
        if not isinstance(graph.nodes[name], RECORDABLE_NODES):
            kinds = ", ".join(kind.__name__ for kind in RECORDABLE_NODES)
            raise GraphError(f"node {name}: a {type(graph.nodes[name]).__name__} has no spikes to record: use {kinds}")


def _sources(graph: nir.NIRGraph) -> dict[str, list[str]]:
    """By node, the nodes with an edge into it."""
    try:
        graph.validate_structure()
    except ValueError as error:
        raise GraphError(f"graph: {error}") from error
    sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        sources[target].append(source)
    return sources


def _topological_order(sources: Mapping[str, Sequence[str]]) -> list[str]:
    try:
        return list(TopologicalSorter(sources).static_order())
    except CycleError as error:
        cycle = error.args[1]
        path = " -> ".join(cycle)
        raise GraphError(f"node {cycle[0]}: it lies on a cycle ({path}): Lava runs acyclic graphs only") from None


def _only(graph: nir.NIRGraph, kind: type[nir.NIRNode]) -> str:
    names = [name for name, node in graph.nodes.items() if isinstance(node, kind)]
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise GraphError(f"graph: needs exactly one {kind.__name__} node, has {len(names)} ({found})")
    return names[0]


def _shape(value: Array) -> Shape:
    return tuple(int(size) for size in np.ravel(value))
