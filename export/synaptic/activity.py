"""Spikes and synaptic operations of every population, from what a run on any backend recorded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from export.synaptic.counted import build_network
from export.synaptic.lowering import RELAY
from export.synaptic.populations import SynapseNetwork, operations
from spikinghash.errors import GraphError


@dataclass(frozen=True)
class Activity:
    """Of one population; the arrays have shape (samples,)."""

    spikes: NDArray[np.int64]
    """Emitted over all steps; of neurons that emit graded values, those that are not zero."""
    operations: NDArray[np.int64]
    """Synaptic operations: a spike at an existing synapse onto this population. Zero weights and taps beyond the
    border are no synapses; linear nodes in a row are one set of synapses, the product of their matrices."""


def populations_to_record(graph: nir.NIRGraph) -> list[str]:
    """The nodes whose output ``count_activity`` needs.

    Raises:
        GraphError: the graph holds a marked attention, whose products no backend records, or cannot be run.
    """
    return [name for name, population in _network(graph).by_name.items() if population.kind not in ("input", "readout")]


def count_activity(
    graph: nir.NIRGraph, inputs: NDArray[Any], recorded: Mapping[str, NDArray[Any]]
) -> dict[str, Activity]:
    """Spikes and synaptic operations of every population, and operations of an output that sums synapses.

    Args:
        graph: the graph that was run.
        inputs: what it was given, (samples, steps, *input shape).
        recorded: what the nodes of ``populations_to_record`` emitted, each (samples, steps, *shape).
    """
    network = _network(graph)
    emitted = {
        name: _per_neuron(inputs if population.kind == "input" else recorded[name])
        for name, population in network.by_name.items()
        if population.kind != "readout"
    }
    nothing = np.zeros(len(inputs), np.int64)
    return {
        name: Activity(
            emitted[name].sum(axis=0) if name in emitted else nothing, operations(network.arriving[name], emitted)
        )
        for name in network.by_name
    }


def _network(graph: nir.NIRGraph) -> SynapseNetwork:
    network = build_network(graph)
    for name, population in network.by_name.items():
        if population.attention is not None:
            raise GraphError(
                f"node {name}: the operations of a marked attention cannot be counted from spikes: "
                "export sizes whose attention fits into coincidence gates"
            )
        if name.endswith(RELAY):
            raise GraphError(f"node {name.removesuffix(RELAY)}: lies on a cycle of linear nodes, which holds no neuron")
    return network


def _per_neuron(values: NDArray[Any]) -> NDArray[np.int64]:
    """How often each neuron emitted anything, (neurons, samples)."""
    return np.count_nonzero(values.reshape(*values.shape[:2], -1), axis=1).T
