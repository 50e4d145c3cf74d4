"""What arrives at a node: a sum of delayed linear maps of what populations emit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse

from export.nir.synapse_matrix import Shape
from export.synaptic.populations import CONSTANT, Array


class Way(NamedTuple):
    """How a signal comes: from which population, how many steps late, and through which linear nodes."""

    source: str
    delay: int = 0
    nodes: tuple[str, ...] = ()


Terms = Mapping[Way, sparse.csr_matrix]


@dataclass(frozen=True)
class Flow:
    """``x(t) = sum of terms[way] @ s_source(t - delay)``, flattened in C order.

    Linear nodes and delays only rewrite the terms, so that a chain of them costs one projection.
    """

    shape: Shape
    terms: Terms

    @classmethod
    def of(cls, source: str, shape: Shape) -> "Flow":
        """What a population emits itself."""
        return cls(shape, {Way(source): sparse.identity(int(np.prod(shape)), format="csr")})

    def plus(self, other: "Flow") -> "Flow":
        """The sum of two flows of one shape."""
        return Flow(self.shape, _summed([*self.terms.items(), *other.terms.items()]))

    def through(self, matrix: sparse.spmatrix, shape: Shape, nodes: tuple[str, ...] = ()) -> "Flow":
        """The flow behind a linear map, which gives it a new shape; ``nodes`` keep its ways apart from others."""
        terms = self.terms.items()
        return Flow(shape, {way._replace(nodes=way.nodes + nodes): _product(matrix, term) for way, term in terms})

    def plus_constant(self, values: Array) -> "Flow":
        """The flow with one value per element added in every step."""
        column = sparse.csr_matrix(np.reshape(values, (-1, 1)))
        return self.plus(Flow(self.shape, {Way(CONSTANT): column}))

    def delayed(self, steps: Array) -> "Flow":
        """The flow with each element held back by its own number of steps."""
        parts = [
            (way._replace(delay=way.delay + int(lag)), sparse.csr_matrix(sparse.diags((steps == lag) * 1.0) @ term))
            for lag in np.unique(steps)
            for way, term in self.terms.items()
        ]
        return Flow(self.shape, _summed(parts))


def _product(matrix: sparse.spmatrix, term: sparse.csr_matrix) -> sparse.csr_matrix:
    """``matrix @ term``; most often the term is what a population emits itself, and a product only a slow copy."""
    size = matrix.shape[1]
    itself = term.shape == (size, size) and term.nnz == size and np.all(term.data == 1)
    if itself and np.array_equal(term.indices, np.arange(size)) and np.array_equal(term.indptr, np.arange(size + 1)):
        return sparse.csr_matrix(matrix)
    return sparse.csr_matrix(matrix @ term)


def _summed(parts: Iterable[tuple[Way, sparse.csr_matrix]]) -> dict[Way, sparse.csr_matrix]:
    total: dict[Way, sparse.csr_matrix] = {}
    for way, term in parts:
        total[way] = total[way] + term if way in total else term
    return total
