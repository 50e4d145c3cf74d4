"""Spikes and synaptic operations of every population, from what a run on any backend recorded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from export.nir.stepwise.plan import make_plan
from export.synaptic.counted import PRODUCTS, build_network
from export.synaptic.lowering import RELAY, Lowering
from export.synaptic.populations import Projection, SynapseNetwork, operations
from spikinghash.errors import GraphError

NOT_RECORDED = ("input", "readout", "attention")
"""Kinds of populations: what goes in and comes out is known, an attention has no memory: its queries, keys and values
say what it did."""


@dataclass(frozen=True)
class Activity:
    """Of one population; the arrays have shape (samples,)."""

    spikes: NDArray[np.int64]
    """Emitted over all steps; of graded values (neurons' potentials, products and counts of a marked attention) those
    that are not zero."""
    operations: NDArray[np.int64]
    """Synaptic operations: a spike at an existing synapse onto this population. Zero weights and taps beyond the
    border are no synapses, nor is what an attention reads; linear nodes in a row are one set of synapses, the product
    of their matrices."""


def populations_to_record(graph: nir.NIRGraph) -> list[str]:
    """The nodes whose output ``count_activity`` needs.

    Raises:
        GraphError: the graph cannot be run.
    """
    return [name for name, population in _network(graph).by_name.items() if population.kind not in NOT_RECORDED]


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
    values = {**recorded, network.input.name: inputs}
    known = [name for name, population in network.by_name.items() if population.kind not in ("readout", "attention")]
    emitted = {name: _per_neuron(values[name]) for name in known} | _attended(graph, values)
    nothing = np.zeros(len(inputs), np.int64)
    return {
        name: Activity(
            emitted[name].sum(axis=0) if name in emitted else nothing, operations(network.stored(name), emitted)
        )
        for name in network.by_name
    }


def _network(graph: nir.NIRGraph) -> SynapseNetwork:
    network = build_network(graph)
    for name in network.by_name:
        if name.endswith(RELAY):
            raise GraphError(f"node {name.removesuffix(RELAY)}: lies on a cycle of linear nodes, which holds no neuron")
    return network


def _attended(graph: nir.NIRGraph, values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.int64]]:
    """How often each product and each count of the marked attentions was not zero, (products or counts, samples)."""
    whole = Lowering(make_plan(graph)).network()
    found: dict[str, NDArray[np.int64]] = {}
    for population in whole.of_kind("attention"):
        marked, name = population.attention, population.name
        assert marked is not None
        for arriving in _arriving(whole.arriving[name], values):
            for part, formed in ((name + PRODUCTS, marked.products(arriving)), (name, marked.counts(arriving))):
                present = (formed != 0).reshape(-1, formed.shape[-1]).astype(np.int64)
                found[part] = found.get(part, 0) + present
    return found


def _arriving(projections: Sequence[Projection], values: Mapping[str, NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """What arrives over ``projections`` in each step, (target neurons, samples)."""
    steps = {each.source: np.moveaxis(values[each.source], 1, 0) for each in projections}
    for step in range(len(next(iter(steps.values())))):
        yield sum(
            each.weights @ steps[each.source][step - each.delay].reshape(-1, each.weights.shape[1]).T
            for each in projections
            if step >= each.delay
        )


def _per_neuron(values: NDArray[Any]) -> NDArray[np.int64]:
    """How often each neuron emitted anything, (neurons, samples)."""
    return np.count_nonzero(values.reshape(*values.shape[:2], -1), axis=1).T
