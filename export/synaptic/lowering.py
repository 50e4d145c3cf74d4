"""From NIR nodes to populations and synapses: linear nodes dissolve; for machines in time steps, delays do as well."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import nir
import numpy as np
from scipy import sparse

from export.nir.marked_attention import MarkedAttention, read_marked
from export.nir.stepwise.dynamics import NEURONS, Dynamics, delay_steps, dynamics, relay_dynamics
from export.nir.stepwise.plan import GraphPlan, make_plan
from export.nir.synapse_matrix import LINEAR_NODES, bias_vector
from export.synaptic.flow import Flow
from export.synaptic.populations import CONSTANT, Array, Population, Projection, SynapseNetwork
from spikinghash.errors import GraphError

RELAY = ", held for a step"
"""Suffix of the population that stands for a cycle of linear nodes, which holds no neuron."""
RECORDABLE_NODES = (*NEURONS, nir.Delay)
NARROW = (np.int8, np.int16, np.float32)
"""What weights are stored in to save memory; a synapse takes four bytes more, for its source."""
KINDS: dict[type[nir.NIRNode], str] = {
    nir.LIF: "lif",
    nir.IF: "counter",
    nir.LI: "integrator",
    nir.I: "integrator",
    nir.CubaLIF: "lif",
    nir.CubaLI: "integrator",
    nir.Threshold: "threshold",
}


def lower(
    graph: nir.NIRGraph, record: Collection[str] = (), dt: float | None = None, *, narrow: bool = False
) -> SynapseNetwork:
    """Populations and delayed synapses of ``graph``, as a machine in time steps runs them.

    Delays are those of synapses; weights hold the neurons' gains, ``r dt/tau``; biases and leak potentials are synapses
    of the population ``CONSTANT``, but where a synaptic current would hold them back. Of the synapses between two
    populations, those of one delay are summed.

    Args:
        graph: with one Input and one Output; shapes that it leaves open are inferred.
        record: Neuron and Delay nodes whose output is wanted; a node of a nested graph is called ``graph.node``.
        dt: time step in seconds; by default what the graph's metadata say.
        narrow: weights of a projection in the narrowest of ``NARROW`` that holds all of them exactly.

    Raises:
        GraphError: a node that cannot run, shapes that do not fit; the message names the node.
    """
    plan = make_plan(graph, dt)
    _check_recordable(plan, record)
    return Lowering(plan, record=record, as_run=True, narrow=narrow).network()


@dataclass
class Lowering:
    """One walk over a graph: what each visited node emits, and what was built for it.

    Attributes:
        plan: of the graph.
        serves: the layers that helper populations belong to.
        record: nodes whose output is wanted.
        as_run: as ``lower`` says; else delays are populations, weights as stored, ways apart, and biases left out.
        narrow: as ``lower`` says.
    """

    plan: GraphPlan
    serves: Mapping[str, str] = field(default_factory=dict)
    record: Collection[str] = ()
    as_run: bool = False
    narrow: bool = False
    _flows: dict[str, Flow] = field(default_factory=dict)
    _populations: list[Population] = field(default_factory=list)
    _projections: list[Projection] = field(default_factory=list)

    def network(self) -> SynapseNetwork:
        """Walk and return what came of it.

        Raises:
            GraphError: a node that cannot run; the message names it.
        """
        if self.as_run:
            self._add(CONSTANT, "constant", (1,))
        awaited = Counter(source for sources in self.plan.sources.values() for source in sources)
        for name in self.plan.order:
            try:
                self._visit(name, self.plan.nodes[name])
            except (TypeError, ValueError) as error:
                raise GraphError(f"node {name}: {error}") from error
            awaited.subtract(self.plan.sources.get(name, ()))
            self._forget([source for source in self.plan.sources.get(name, ()) if not awaited[source]])
        self._close_cycles()
        return SynapseNetwork(tuple(self._populations), tuple(self._projections), self.plan.output)

    def _forget(self, names: Iterable[str]) -> None:
        """Let go of what linear nodes emit, which nobody reads any more: written-out maps take gigabytes."""
        late = {source for source, _ in self.plan.late}
        for name in names:
            if isinstance(self.plan.nodes[name], LINEAR_NODES) and name not in late:
                self._flows.pop(name, None)

    def _visit(self, name: str, node: nir.NIRNode) -> None:
        """Lower one node whose sources were visited before, but for those at the other end of a late edge."""
        shape = self.plan.shapes[name]
        if isinstance(node, nir.Input):
            self._add(name, "input", shape)
            return
        arriving = self._arriving(name)
        if isinstance(node, LINEAR_NODES):
            self._flows[name] = self._mapped(name, node, arriving)
        elif isinstance(node, nir.Delay) and self.as_run:
            self._flows[name] = arriving.delayed(delay_steps(node, self.plan.dt))
            if name in self.record:
                self._read_out(name, self._flows[name])
        elif isinstance(node, nir.Delay):
            self._add(name, "delay", shape, arriving)
        elif isinstance(node, nir.Output):
            self._flows[name] = arriving
            if self.as_run or self._sums(name):
                self._read_out(name, arriving)
        elif isinstance(node, NEURONS):
            self._add_neurons(name, KINDS[type(node)], dynamics(node, self.plan.dt), arriving)
        elif (attention := read_marked(name, node)) is not None:
            self._add(name, "attention", shape, arriving, attention)
        else:
            raise TypeError(f"a {type(node).__name__} has neither synapses nor neurons")

    def _arriving(self, name: str) -> Flow:
        first, *others = (self._sent(source, name) for source in self.plan.sources[name])
        for flow in others:
            first = first.plus(flow)
        return first

    def _sent(self, source: str, target: str) -> Flow:
        """What comes over one edge."""
        if (source, target) not in self.plan.late:
            return self._flows[source]
        flow = Flow.of(source, self.plan.shapes[source])
        return flow.delayed(np.ones(int(np.prod(flow.shape)), int))

    def _mapped(self, name: str, node: nir.NIRNode, arriving: Flow) -> Flow:
        flow = arriving.through(self.plan.matrix(name), self.plan.shapes[name], () if self.as_run else (name,))
        bias = bias_vector(node) if self.as_run else None
        return flow if bias is None else flow.plus_constant(bias)

    def _sums(self, output: str) -> bool:
        """Whether an Output sums synapses, rather than pass on the spikes of one population."""
        sources = [self.plan.nodes[source] for source in self.plan.sources[output]]
        return len(sources) > 1 or isinstance(sources[0], LINEAR_NODES)

    def _add_neurons(self, name: str, kind: str, rule: Dynamics, arriving: Flow) -> None:
        if self.as_run:
            scaled = {way: self._times(rule.gain, weights) for way, weights in arriving.terms.items()}
            arriving = Flow(arriving.shape, scaled)
            if rule.current_decay is None:  # else the constant would pass through the synaptic current
                arriving = arriving.plus_constant(rule.drive)
        self._add(name, kind, self.plan.shapes.get(name, arriving.shape), arriving, rule=rule)

    def _add(
        self,
        name: str,
        kind: str,
        shape: tuple[int, ...],
        arriving: Flow | None = None,
        attention: MarkedAttention | None = None,
        rule: Dynamics | None = None,
    ) -> None:
        """A population, with synapses for all that arrives."""
        if arriving is not None:
            self._connect(name, arriving)
        self._populations.append(Population(name, self.serves.get(name, name), kind, shape, attention, rule))
        self._flows[name] = Flow.of(name, shape)

    def _read_out(self, name: str, flow: Flow) -> None:
        self._connect(name, flow)
        self._populations.append(Population(name, self.serves.get(name, name), "readout", self.plan.shapes[name]))

    def _times(self, gain: Array, weights: sparse.csr_matrix) -> sparse.csr_matrix:
        """Weights of a flow with the gain of each target."""
        weights.eliminate_zeros()
        if self.narrow and np.all(data := weights.data * np.repeat(gain, np.diff(weights.indptr))):
            return _narrow(weights, data)
        return sparse.csr_matrix(sparse.diags(gain) @ weights)

    def _connect(self, target: str, flow: Flow) -> None:
        """Synapses for all terms of a flow; one of them may be empty, so that no population stands alone."""
        for weights in flow.terms.values():
            if not weights.data.all():
                weights.eliminate_zeros()
        terms = [item for item in flow.terms.items() if item[1].nnz] or list(flow.terms.items())[:1]
        if self.narrow:
            terms = [(way, _narrow(weights, weights.data)) for way, weights in terms]
        self._projections += [Projection(way.source, target, weights, way.nodes, way.delay) for way, weights in terms]

    @cached_property
    def _held(self) -> set[str]:
        """Nodes without neurons at whose end a late edge begins; flows name them as if they were populations."""
        names = {population.name for population in self._populations if population.kind != "readout"}
        return {source for source, _ in self.plan.late} - names

    def _close_cycles(self) -> None:
        """Put the held nodes in the place of their names, now that it is known what they emit.

        A held node that itself reads from a held node becomes a population that passes on what it gets.
        """
        relays = {name for name in self._held if self._held & {way.source for way in self._flows[name].terms}}
        for name in sorted(relays):
            size = int(np.prod(self._flows[name].shape))
            self._add_neurons(name + RELAY, "integrator", relay_dynamics(size), self._flows[name])
        self._projections = [part for each in self._projections for part in self._without_held(each, relays)]

    def _without_held(self, part: Projection, relays: Collection[str]) -> list[Projection]:
        if part.source in relays:
            return [replace(part, source=part.source + RELAY)]
        if part.source not in self._held:
            return [part]
        return [
            Projection(
                way.source, part.target, sparse.csr_matrix(part.weights @ term), way.nodes + part.nodes,
                part.delay + way.delay,
            )
            for way, term in self._flows[part.source].terms.items()
        ]  # fmt: skip


def _narrow(weights: sparse.csr_matrix, values: Array) -> sparse.csr_matrix:
    """``values`` other than 0 in the places of ``weights``, which both then share, in the narrowest exact form."""
    for kind in NARROW:
        with np.errstate(invalid="ignore", over="ignore"):
            data = values.astype(kind)
        if np.array_equal(data, values):
            values = data
            break
    return sparse.csr_matrix((values, weights.indices, weights.indptr), weights.shape)


def _check_recordable(plan: GraphPlan, record: Collection[str]) -> None:
    for name in record:
        if name not in plan.nodes:
            raise GraphError(f"node {name}: the graph has no such node to record")
        if not isinstance(plan.nodes[name], RECORDABLE_NODES) and read_marked(name, plan.nodes[name]) is None:
            kinds = ", ".join(kind.__name__ for kind in RECORDABLE_NODES)
            raise GraphError(f"node {name}: a {type(plan.nodes[name]).__name__} has no neurons to record: use {kinds}")
