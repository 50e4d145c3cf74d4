"""A network as a chip stores it: every delay line a population, weights as they stand in the file, attention in two.

A marked attention becomes two populations of kind ``attention``: its products K^T V, then its counts Q (K^T V), which
bear the node's name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
from scipy import sparse

from export.nir.marked_attention import MarkedAttention
from export.nir.metadata import read_metadata
from export.nir.read import read_graph
from export.nir.stepwise.plan import make_plan
from export.synaptic.lowering import Lowering
from export.synaptic.populations import Population, Projection, SynapseNetwork
from spikinghash.errors import GraphError

PRODUCTS = ".kv"
"""Suffix of the population that holds the products K^T V of a marked attention."""


def read_network(path: Path) -> SynapseNetwork:
    """Populations and synapses of the NIR graph in file ``path``, an encoder or a graph of another origin.

    Raises:
        GraphError: the file cannot be read, or its graph cannot be run.
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
        GraphError: the graph cannot be run; the message names the node.
    """
    network = Lowering(make_plan(graph), serves or {}).network()
    populations = tuple(part for each in network.populations for part in _parts(each))
    projections = [part for each in network.projections for part in _split(each, network.by_name[each.target])]
    onwards = [_onwards(each) for each in network.populations if each.attention is not None]
    return SynapseNetwork(populations, (*projections, *onwards), network.output)


def _parts(population: Population) -> tuple[Population, ...]:
    marked = population.attention
    if marked is None:
        return (population,)
    per_head = marked.shape[0] // marked.heads
    name = population.name + PRODUCTS
    return Population(name, population.layer, "attention", (marked.heads, per_head, per_head)), population


def _split(part: Projection, target: Population) -> Iterable[Projection]:
    if target.attention is None:
        return [part]
    needed = zip((target.name + PRODUCTS, target.name), attention_inputs(target.attention), strict=True)
    return [replace(part, target=name, weights=_ones(inputs @ part.weights)) for name, inputs in needed]


def _onwards(counts: Population) -> Projection:
    """From the products of an attention to its counts: count (head, b, i) reads product (head, a, b) for every a."""
    assert counts.attention is not None
    channels, height, width = counts.attention.shape
    heads, per_head = counts.attention.heads, channels // counts.attention.heads
    to_channel = sparse.kron(np.ones((1, per_head)), sparse.identity(per_head))
    to_counts = sparse.kron(sparse.identity(heads), to_channel)
    weights = sparse.csr_matrix(sparse.kron(to_counts, np.ones((height * width, 1))))
    return Projection(counts.name + PRODUCTS, counts.name, weights)


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
