"""A NIR graph without its linear nodes: populations of neurons and the synapses between them.

Counting, mapping onto cores and traffic all read this one form, so they cannot disagree about what a synapse is. A
chain of linear nodes (a pooling and a convolution, say) is one projection: the product of its matrices. An edge
without a linear node is one synapse per neuron.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nir
import numpy as np
from scipy import sparse

from export.nir.marked_attention import MarkedAttention, read_marked
from export.nir.metadata import read_metadata
from export.nir.read import read_graph
from export.nir.stepwise.plan import Plan, make_plan
from export.nir.synapse_matrix import LINEAR_NODES, synapse_matrix
from spikinghash.errors import GraphError

KINDS: dict[type[nir.NIRNode], str] = {
    nir.Input: "input",
    nir.LIF: "lif",
    nir.IF: "counter",
    nir.LI: "integrator",
    nir.I: "integrator",
    nir.CubaLIF: "lif",
    nir.CubaLI: "integrator",
    nir.Threshold: "threshold",
    nir.Delay: "delay",
}
"""Nodes that hold neurons. An output that sums synapses is of kind ``readout``. A marked attention becomes two
populations of kind ``attention``: its products K^T V, then its counts Q (K^T V), which bear the node's name."""


PRODUCTS = ".kv"
"""Suffix of the population that holds the products K^T V of a marked attention."""


@dataclass(frozen=True)
class Population:
    """Neurons of one node."""

    name: str
    layer: str
    """Population of the encoder that this belongs to; for helpers (delay lines, clocks, AND), the layer they serve."""
    kind: str
    shape: tuple[int, ...]
    attention: MarkedAttention | None = None

    @property
    def neurons(self) -> int:
        """How many."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Projection:
    """The synapses from one population to another."""

    source: str
    target: str
    weights: sparse.csr_matrix
    """(target neurons, source neurons); for the parts of an attention, ones where a value must be sent."""
    nodes: tuple[str, ...]
    """Linear nodes on the way, from source to target; none for a direct edge."""


@dataclass(frozen=True)
class SynapseNetwork:
    """Populations in the order in which a time step visits them, and all projections."""

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]

    @cached_property
    def by_name(self) -> dict[str, Population]:
        """Populations by name."""
        return {population.name: population for population in self.populations}

    @cached_property
    def arriving(self) -> dict[str, list[Projection]]:
        """Projections by target."""
        return self._grouped("target")

    @cached_property
    def leaving(self) -> dict[str, list[Projection]]:
        """Projections by source."""
        return self._grouped("source")

    def _grouped(self, end: str) -> dict[str, list[Projection]]:
        groups: dict[str, list[Projection]] = {population.name: [] for population in self.populations}
        for projection in self.projections:
            groups[getattr(projection, end)].append(projection)
        return groups


def read_network(path: Path) -> SynapseNetwork:
    """Populations and synapses of the NIR graph in file ``path``, an encoder or a graph of another origin.

    Raises:
        GraphError: the file cannot be read, or holds a node that has no synapses and no neurons.
    """
    graph = read_graph(path)
    metadata = read_metadata(graph, str(path))
    try:
        return build_network(graph, metadata.serves if metadata else {})
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from None


def build_network(graph: nir.NIRGraph, serves: Mapping[str, str] | None = None) -> SynapseNetwork:
    """Populations and synapses of ``graph``; ``serves`` names the layer that a helper population belongs to.

    Raises:
        GraphError: a node has no synapses and no neurons, or its shape is unknown.
    """
    plan = make_plan(graph)
    matrices = {name: _matrix(name, node) for name, node in plan.nodes.items() if isinstance(node, LINEAR_NODES)}
    populations: list[Population] = []
    projections: list[Projection] = []
    for name in plan.order:
        if population := _population(name, plan, (serves or {}).get(name, name)):
            if population.attention:
                products, onwards = _attention_parts(population)
                populations.append(products)
                projections.append(onwards)
            populations.append(population)
    paths = _Paths(matrices, plan.sources, {population.name for population in populations})
    for population in populations:
        if population.name in plan.sources:
            for path in paths.into(population.name):
                projections += _projections(population, path)
    return SynapseNetwork(tuple(populations), tuple(projections))


def _population(name: str, plan: Plan, layer: str) -> Population | None:
    """The population that a node holds; ``None`` for linear nodes and for outputs that merely pass spikes on."""
    node, shape = plan.nodes[name], plan.shapes[name]
    if isinstance(node, LINEAR_NODES):
        return None
    if isinstance(node, nir.Output):
        sources = plan.sources[name]
        summing = len(sources) > 1 or any(isinstance(plan.nodes[source], LINEAR_NODES) for source in sources)
        return Population(name, layer, "readout", shape) if summing else None
    if (marked := read_marked(name, node)) is not None:
        return Population(name, layer, "attention", shape, marked)
    if type(node) not in KINDS:
        raise GraphError(f"node {name}: a {type(node).__name__} has neither synapses nor neurons that can be counted")
    return Population(name, layer, KINDS[type(node)], shape)


def _matrix(name: str, node: nir.NIRNode) -> sparse.csr_matrix:
    try:
        return synapse_matrix(node)
    except (ValueError, TypeError) as error:
        raise GraphError(f"node {name}: {error}") from None


Way = tuple[str, "sparse.csr_matrix | None", tuple[str, ...]]
"""Source population, product of the matrices on the way (``None``: no linear node), names of the linear nodes."""


@dataclass(frozen=True)
class _Paths:
    """Ways through linear nodes."""

    matrices: Mapping[str, sparse.csr_matrix]
    sources: Mapping[str, Sequence[str]]
    populations: set[str]

    def into(self, name: str, through: tuple[str, ...] = ()) -> Iterable[Way]:
        """All ways from populations into node ``name``."""
        for source in self.sources[name]:
            if source in self.populations:
                yield source, None, ()
                continue
            if source not in self.matrices or source in through:
                raise GraphError(f"node {source}: lies on a cycle of linear nodes, which holds no neuron")
            for origin, before, nodes in self.into(source, (*through, source)):
                matrix = self.matrices[source]
                yield origin, matrix if before is None else sparse.csr_matrix(matrix @ before), (*nodes, source)


def _projections(target: Population, path: Way) -> Iterable[Projection]:
    source, matrix, nodes = path
    if target.attention is None:
        yield Projection(source, target.name, _or_identity(matrix, target.neurons), nodes)
        return
    products, counts = attention_inputs(target.attention)
    arriving = _or_identity(matrix, products.shape[1])
    yield Projection(source, target.name + PRODUCTS, _ones(products @ arriving), nodes)
    yield Projection(source, target.name, _ones(counts @ arriving), nodes)


def _or_identity(matrix: sparse.csr_matrix | None, neurons: int) -> sparse.csr_matrix:
    if matrix is None:
        return sparse.identity(neurons, format="csr")
    matrix.eliminate_zeros()
    return matrix


def _attention_parts(population: Population) -> tuple[Population, Projection]:
    """The products K^T V of an attention, a population before its counts, and their way to the counts."""
    assert population.attention is not None
    channels, height, width = population.shape
    tokens, per_head = height * width, channels // population.attention.heads
    name = population.name + PRODUCTS
    products = Population(name, population.layer, "attention", (population.attention.heads, per_head, per_head))
    # Count (head, b, i) reads product (head, a, b) for every a.
    to_channel = sparse.kron(np.ones((1, per_head)), sparse.identity(per_head))
    to_counts = sparse.kron(sparse.identity(population.attention.heads), to_channel)
    weights = sparse.csr_matrix(sparse.kron(to_counts, np.ones((tokens, 1))))
    return products, Projection(name, population.name, weights, ())


def attention_inputs(marked: MarkedAttention) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Ones where a part of an attention needs a spike of its input, (3 C N,): queries, keys, values.

    The product (head, a, b), one of C d_h, needs k[a, :] and v[b, :]; the count (head, b, i), one of C N, needs
    q[:, i] besides the products. Each is a matrix (part, 3 C N).
    """
    channels, height, width = marked.shape
    tokens, per_head = height * width, channels // marked.heads
    heads, one = sparse.identity(marked.heads), sparse.identity(per_head)
    column, token_row = np.ones((per_head, 1)), np.ones((1, tokens))
    keys = sparse.kron(heads, sparse.kron(sparse.kron(one, column), token_row))
    values = sparse.kron(heads, sparse.kron(sparse.kron(column, one), token_row))
    queries = sparse.kron(heads, sparse.kron(np.ones((per_head, per_head)), sparse.identity(tokens)))
    products = sparse.hstack([sparse.csr_matrix(keys.shape), keys, values])
    counts = sparse.hstack([queries, sparse.csr_matrix((queries.shape[0], 2 * queries.shape[1]))])
    return sparse.csr_matrix(products), sparse.csr_matrix(counts)


def _ones(matrix: sparse.spmatrix) -> sparse.csr_matrix:
    pattern = sparse.csr_matrix(matrix)
    pattern.data[:] = 1.0
    return pattern
