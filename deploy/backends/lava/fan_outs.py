"""A network's synapses by source, as spikes find them: turned around once for all chunks of a run."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse

from export.synaptic.populations import SynapseNetwork


class FanOuts:
    """The weights of a network, turned around when they are first asked for, and then let go of as they were.

    A large network in both forms does not fit into memory.

    Args:
        network: whoever else holds on to it holds on to its weights.

    Attributes:
        network: the same projections without a synapse.
    """

    def __init__(self, network: SynapseNetwork) -> None:
        self._weights = {number: part.weights for number, part in enumerate(network.projections)}
        self._turned: dict[tuple[int, ...], sparse.csr_matrix] = {}
        bare = (replace(part, weights=_without_synapses(part.weights)) for part in network.projections)
        self.network = replace(network, projections=tuple(bare))

    def of(self, projections: Sequence[int], first_targets: Sequence[int], targets: int) -> sparse.csr_matrix:
        """The synapses (sources, targets) of some projections, those of one below those of the other.

        Args:
            projections: their numbers in the network; a projection is always asked for with the same others.
            first_targets: where the targets of each begin among all ``targets``.
        """
        key = tuple(projections)
        if key not in self._turned:
            self._turned[key] = self._joined(projections, first_targets, targets)
        return self._turned[key]

    def _joined(self, projections: Sequence[int], first_targets: Sequence[int], targets: int) -> sparse.csr_matrix:
        parts = [self._weights[number] for number in projections]
        count, rows = sum(each.nnz for each in parts), sum(each.shape[1] for each in parts)
        whole = np.int32 if max(count, targets) < 2**31 else np.int64
        data = np.empty(count, np.result_type(*(each.dtype for each in parts)))
        indices, starts = np.empty(count, whole), np.zeros(rows + 1, whole)
        del parts
        at = row = 0
        for number, first_target in zip(projections, first_targets, strict=True):  # stacking holds all of them twice
            own = self._weights.pop(number).T.tocsr()
            data[at : at + own.nnz] = own.data
            np.add(own.indices, first_target, out=indices[at : at + own.nnz], casting="unsafe")
            starts[row + 1 : row + 1 + own.shape[0]] = own.indptr[1:] + at
            at, row = at + own.nnz, row + own.shape[0]
        return sparse.csr_matrix((data, indices, starts), shape=(rows, targets))


def _without_synapses(weights: sparse.csr_matrix) -> sparse.csr_matrix:
    return sparse.csr_matrix(weights.shape, dtype=weights.dtype)
