"""A NIR graph without its linear nodes: populations of neurons and the synapses between them.

Counting, mapping onto cores, traffic and the simulators of hardware all read this one form, so they cannot disagree
about what a synapse is. A chain of linear nodes (a pooling and a convolution, say) is one projection: the product of
its matrices. An edge without a linear node is one synapse per neuron.

``export.synaptic.counted`` makes it as a chip stores it, ``export.synaptic.lowering`` as a machine in time steps runs
it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from export.nir.marked_attention import MarkedAttention
from export.nir.stepwise.dynamics import Dynamics
from export.nir.synapse_matrix import Shape
from spikinghash.errors import GraphError

Array = npt.NDArray[Any]

CONSTANT = "<constant>"
"""Name of the population of one neuron that emits 1 in every step: the source of biases and leak potentials."""


@dataclass(frozen=True)
class Population:
    """Neurons of one node, all at rest at the start of a sample."""

    name: str
    layer: str
    """Population of the encoder that this belongs to; for helpers (delay lines, clocks, AND), the layer they serve."""
    kind: str
    """``input``, ``constant``, ``delay``, ``attention``, ``readout``: a sum of synapses that leaves the network; for
    neurons with a ``rule``: ``lif``, ``counter`` (IF), ``integrator`` (emits its potential) or ``threshold``."""
    shape: Shape
    attention: MarkedAttention | None = None
    """Of kind ``attention``: what it computes, without memory."""
    rule: Dynamics | None = None
    """How neurons step; their weights may hold ``gain`` already."""

    @property
    def neurons(self) -> int:
        """How many."""
        return int(np.prod(self.shape))

    @property
    def inputs(self) -> int:
        """How many values arrive: an attention reads queries, keys and values."""
        return self.neurons * (3 if self.attention is not None else 1)

    @property
    def dynamics(self) -> Dynamics:
        """The rule of a population that has one."""
        assert self.rule is not None
        return self.rule

    @property
    def spiking(self) -> bool:
        """Whether it consists of neurons that emit zeros and ones."""
        return self.rule is not None and self.rule.spiking


@dataclass(frozen=True)
class Projection:
    """The synapses from one population to another: ``a(t) += weights @ s(t - delay)``, s being 0 before the start."""

    source: str
    target: str
    weights: sparse.csr_matrix
    """(target neurons, source neurons); for the parts of an attention, ones where a value must be sent."""
    nodes: tuple[str, ...] = ()
    """Linear nodes on the way, from source to target; none for a direct edge, or where ways are summed."""
    delay: int = 0
    """Time steps of the graph."""

    @property
    def fan_in(self) -> npt.NDArray[np.int64]:
        """(target neurons,) synapses that arrive at each."""
        return np.diff(self.weights.indptr).astype(np.int64)

    @property
    def fan_out(self) -> npt.NDArray[np.int64]:
        """(source neurons,) synapses that leave each."""
        return np.bincount(self.weights.indices, minlength=self.weights.shape[1])


def operations(projections: Iterable[Projection], spikes: Mapping[str, Array]) -> Array:
    """(samples,) synaptic operations: spikes of each source neuron times its fan-out.

    Args:
        spikes: by population, (neurons, samples).
    """
    some = next(iter(spikes.values()))
    parts = (each.fan_out @ spikes[each.source] for each in projections)
    return sum(parts, np.zeros(some.shape[1], some.dtype))


@dataclass(frozen=True)
class SynapseNetwork:
    """Populations in the order in which a time step visits them, and all projections."""

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    output: str = ""
    """Name of the readout that is the graph's output, where there is one."""

    @cached_property
    def by_name(self) -> dict[str, Population]:
        """Populations by name."""
        return {population.name: population for population in self.populations}

    @cached_property
    def arriving(self) -> Mapping[str, list[Projection]]:
        """Projections by target."""
        return self._grouped("target")

    @cached_property
    def leaving(self) -> Mapping[str, list[Projection]]:
        """Projections by source."""
        return self._grouped("source")

    def check(self, unlike: Callable[[Population], str | None]) -> None:
        """Refuse the network if ``unlike`` says of a population why a machine cannot do it.

        Raises:
            GraphError: with the first such population and the reason.
        """
        for population in self.populations:
            reason = unlike(population)
            if reason is not None:
                raise GraphError(f"node {population.name}: {reason}")

    def stored(self, name: str) -> list[Projection]:
        """The projections onto population ``name`` that hold weights: an attention multiplies signals, and has none."""
        return [] if self.by_name[name].kind == "attention" else self.arriving[name]

    def fan_in(self, name: str) -> npt.NDArray[np.int64]:
        """(neurons,) synapses that arrive at each neuron of population ``name``."""
        return sum((each.fan_in for each in self.arriving[name]), np.zeros(self.by_name[name].neurons, np.int64))

    def fan_out(self, name: str) -> npt.NDArray[np.int64]:
        """(neurons,) synapses that each neuron of population ``name`` reaches."""
        return sum((each.fan_out for each in self.leaving[name]), np.zeros(self.by_name[name].neurons, np.int64))

    def of_kind(self, kind: str) -> list[Population]:
        """The populations of one kind."""
        return [population for population in self.populations if population.kind == kind]

    @cached_property
    def graded(self) -> frozenset[str]:
        """Populations that emit values other than zero and one, delays of such included."""
        found = {each.name for each in self.populations if each.kind in ("attention", "integrator")}
        for delay in self.of_kind("delay"):
            found |= {delay.name for each in self.arriving[delay.name] if each.source in found}
        return frozenset(found)

    @property
    def input(self) -> Population:
        """The only input."""
        (found,) = self.of_kind("input")
        return found

    @property
    def neurons(self) -> list[Population]:
        """The populations with a rule."""
        return [population for population in self.populations if population.rule is not None]

    def _grouped(self, end: str) -> dict[str, list[Projection]]:
        groups: dict[str, list[Projection]] = {population.name: [] for population in self.populations}
        for projection in self.projections:
            groups[getattr(projection, end)].append(projection)
        return groups
