"""A NIR graph as a network of populations and synapses: linear nodes and delays dissolve into the synapses."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property

import nir
import numpy as np
from scipy import sparse

from export.nir.marked_attention import read_marked
from export.nir.read import time_step
from export.nir.stepwise.delays import delay_steps
from export.nir.stepwise.dynamics import NEURONS, Dynamics, dynamics
from export.nir.stepwise.plan import Plan, make_plan
from export.nir.synapse_matrix import LINEAR_NODES, bias_vector, synapse_matrix
from export.synaptic.flow import Flow
from export.synaptic.network import Network, Population, Product, Readout, Synapses, SynapticCurrent
from spikinghash.errors import GraphError

RECORDABLE_NODES = (*NEURONS, nir.Delay)


def lower(graph: nir.NIRGraph, record: Collection[str] = (), dt: float | None = None) -> Network:
    """Lower a graph with one Input and one Output.

    Args:
        graph: read with or without nir's type check; shapes that it leaves open are inferred.
        record: Neuron and Delay nodes whose output is wanted; a node of a nested graph is called ``graph.node``.
        dt: time step in seconds; by default what the graph's metadata say.

    Raises:
        GraphError: a node that Lava cannot run, shapes that do not fit; the message names the node.
    """
    plan = make_plan(graph)
    _check_recordable(plan, record)
    lowering = _Lowering(plan, time_step(graph) if dt is None else dt, record)
    for name in plan.order:
        try:
            lowering.visit(name, plan.nodes[name])
        except (TypeError, ValueError) as error:
            raise GraphError(f"node {name}: {error}") from error
    lowering.close_cycles()
    readouts = sorted(lowering.readouts, key=lambda readout: readout.name != plan.output)
    shape = plan.shapes[plan.input]
    return Network(plan.input, shape, lowering.populations, readouts, lowering.synapses, lowering.products)


@dataclass
class _Lowering:
    """The state of one walk over the graph: what each visited node emits, and what was built for it."""

    plan: Plan
    dt: float
    record: Collection[str]
    flows: dict[str, Flow] = field(default_factory=dict)
    populations: list[Population] = field(default_factory=list)
    readouts: list[Readout] = field(default_factory=list)
    synapses: list[Synapses] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)

    def visit(self, name: str, node: nir.NIRNode) -> None:
        """Lower one node whose sources were visited before, but for those at the other end of a late edge."""
        if isinstance(node, nir.Input):
            self.flows[name] = Flow.of(name, self.plan.shapes[name])
            return
        arriving = self._arriving(name)
        if isinstance(node, LINEAR_NODES):
            self.flows[name] = self._mapped(name, node, arriving)
        elif isinstance(node, nir.Delay):
            self.flows[name] = arriving.delayed(delay_steps(node, self.dt))
            if name in self.record:
                self._read_out(name, self.flows[name])
        elif isinstance(node, nir.Output):
            self.flows[name] = arriving
            self._read_out(name, arriving)
        elif isinstance(node, NEURONS):
            self._add_population(name, dynamics(node, self.dt), arriving)
        elif (attention := read_marked(name, node)) is not None:
            self._connect(name, arriving)
            self.products.append(Product(name, attention))
            self.flows[name] = Flow.of(name, attention.shape)
        else:
            raise TypeError(f"Lava has no {type(node).__name__}")

    def close_cycles(self) -> None:
        """Put the held nodes in the place of their names, now that it is known what they emit.

        A held node that itself reads from a held node becomes a population that passes on what it gets.
        """
        relays = {name for name in self._held if self._held & {source for source, _ in self.flows[name].terms}}
        for name in sorted(relays):
            self._add_relay(name)
        self.synapses = [part for synapses in self.synapses for part in self._without_held(synapses, relays)]

    @cached_property
    def _held(self) -> set[str]:
        """Nodes without neurons at whose end a late edge begins; flows name them as if they were populations."""
        dissolving = (*LINEAR_NODES, nir.Delay, nir.Output)
        return {source for source, _ in self.plan.late if isinstance(self.plan.nodes[source], dissolving)}

    def _arriving(self, name: str) -> Flow:
        first, *others = (self._sent(source, name) for source in self.plan.sources[name])
        for flow in others:
            first = first.plus(flow)
        return first

    def _sent(self, source: str, target: str) -> Flow:
        """What comes over one edge."""
        if (source, target) not in self.plan.late:
            return self.flows[source]
        flow = Flow.of(source, self.plan.shapes[source])
        return flow.delayed(np.ones(int(np.prod(flow.shape)), int))

    def _mapped(self, name: str, node: nir.NIRNode, arriving: Flow) -> Flow:
        flow = arriving.through(synapse_matrix(node), self.plan.shapes[name])
        bias = bias_vector(node)
        return flow if bias is None else flow.plus_constant(bias)

    def _add_population(self, name: str, rule: Dynamics, arriving: Flow) -> None:
        shape = self.plan.shapes[name]
        current = arriving.through(sparse.diags(rule.gain), shape)
        if rule.current_decay is None:
            self._connect(name, current.plus_constant(rule.drive))
            memory = None
        else:  # the constant line would pass through the synaptic current
            self._connect(name, current)
            memory = SynapticCurrent(rule.current_decay, rule.drive)
        population = Population(name, shape, rule.spiking, rule.decay, rule.threshold, rule.reset, memory)
        self.populations.append(population)
        self.flows[name] = Flow.of(name, shape)

    def _add_relay(self, name: str) -> None:
        flow, relay = self.flows[name], _relay_name(name)
        zeros = np.zeros(int(np.prod(flow.shape)))
        self._connect(relay, flow)
        self.populations.append(Population(relay, flow.shape, False, zeros + 1, zeros + np.inf, zeros))

    def _without_held(self, synapses: Synapses, relays: Collection[str]) -> list[Synapses]:
        if synapses.source in relays:
            return [replace(synapses, source=_relay_name(synapses.source))]
        if synapses.source not in self._held:
            return [synapses]
        terms = self.flows[synapses.source].terms.items()
        return [
            Synapses(source, synapses.target, synapses.delay + delay, sparse.csr_matrix(synapses.weights @ term))
            for (source, delay), term in terms
        ]

    def _read_out(self, name: str, flow: Flow) -> None:
        self._connect(name, flow)
        self.readouts.append(Readout(name, self.plan.shapes[name]))

    def _connect(self, target: str, flow: Flow) -> None:
        """Synapses for all terms of a flow; one of them may be empty, so that no Lava process stands alone."""
        for weights in flow.terms.values():
            weights.eliminate_zeros()
        terms = [item for item in flow.terms.items() if item[1].nnz] or list(flow.terms.items())[:1]
        self.synapses += [Synapses(source, target, delay, weights) for (source, delay), weights in terms]


def _relay_name(held: str) -> str:
    return f"{held}, held for a step"


def _check_recordable(plan: Plan, record: Collection[str]) -> None:
    for name in record:
        if name not in plan.nodes:
            raise GraphError(f"node {name}: the graph has no such node to record")
        if not isinstance(plan.nodes[name], RECORDABLE_NODES) and read_marked(name, plan.nodes[name]) is None:
            kinds = ", ".join(kind.__name__ for kind in RECORDABLE_NODES)
            raise GraphError(f"node {name}: a {type(plan.nodes[name]).__name__} has no neurons to record: use {kinds}")
