"""What arrives at a node: a sum of delayed linear maps of what populations emit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from export.synaptic.network import CONSTANT, Array, Shape


@dataclass(frozen=True)
class Flow:
    """``x(t) = sum of terms[source, delay] @ s_source(t - delay)``, flattened in C order.

    Linear nodes and delays only rewrite the terms, so that a chain of them costs one synapse and no Lava process.
    """

    shape: Shape
    terms: Mapping[tuple[str, int], sparse.csr_matrix]

    @classmethod
    def of(cls, source: str, shape: Shape) -> "Flow":
        """What a population (or the input) emits itself."""
        return cls(shape, {(source, 0): sparse.identity(int(np.prod(shape)), format="csr")})

    def plus(self, other: "Flow") -> "Flow":
        """The sum of two flows of one shape."""
        return Flow(self.shape, _summed([*self.terms.items(), *other.terms.items()]))

    def through(self, matrix: sparse.spmatrix, shape: Shape) -> "Flow":
        """The flow behind a linear map, which gives it a new shape."""
        return Flow(shape, {key: sparse.csr_matrix(matrix @ term) for key, term in self.terms.items()})

    def plus_constant(self, values: Array) -> "Flow":
        """The flow with one value per element added in every step."""
        column = sparse.csr_matrix(np.reshape(values, (-1, 1)))
        return self.plus(Flow(self.shape, {(CONSTANT, 0): column}))

    def delayed(self, steps: Array) -> "Flow":
        """The flow with each element held back by its own number of steps."""
        parts = [
            ((source, delay + int(lag)), sparse.csr_matrix(sparse.diags((steps == lag).astype(float)) @ term))
            for lag in np.unique(steps)
            for (source, delay), term in self.terms.items()
        ]
        return Flow(self.shape, _summed(parts))


def _summed(
    parts: Iterable[tuple[tuple[str, int], sparse.csr_matrix]],
) -> dict[tuple[str, int], sparse.csr_matrix]:
    total: dict[tuple[str, int], sparse.csr_matrix] = {}
    for key, term in parts:
        total[key] = total[key] + term if key in total else term
    return total
