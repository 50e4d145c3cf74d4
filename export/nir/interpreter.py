"""Reference interpreter of NIR graphs: float64, step by step, every linear node a sparse matrix.

Semantics of one time step (a backend that runs the same graphs shares the modules named here):

* neurons: the forward Euler step of NIR's equations, see ``export.nir.stepwise.dynamics``;
* Delay: the input of ``round(delay / dt)`` steps ago, zero before the start;
* linear nodes: ``export.nir.synapse_matrix``; a bias acts in every step;
* a nested graph marked as attention: coincidence counts of its spikes (``export.nir.marked_attention``); any other
  nested graph is flattened (``export.nir.stepwise.flatten``);
* several edges into one node are summed; in a cycle, the edge back to the node at which the signal entered it carries
  the value of the step before, zero at first (``export.nir.stepwise.order``).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from export.nir.implicit_matrix import Matrix
from export.nir.marked_attention import read_marked
from export.nir.read import DEFAULT_TIME_STEP
from export.nir.stepwise.plan import SPIKING_NODES, make_plan
from export.nir.stepwise.units import NODES_WITH_UNIT, unit
from export.nir.synapse_matrix import LINEAR_NODES, bias_vector
from spikinghash.errors import GraphError

__all__ = ["DEFAULT_TIME_STEP", "Array", "Interpreter", "Observer"]

Array = NDArray[np.float64]
Observer = Callable[[str, Array, Array, Array | None], None]
"""Sees each node that is not linear after each step: name, input, output and potentials, each (neurons, samples)."""


class _LinearUnit:
    """A linear node, whose product is kept: clocks, valid lines, and what they hold back seldom change."""

    def __init__(self, matrix: Matrix, bias: Array | None) -> None:
        self.matrix, self.bias = matrix, bias
        self.arrived: Array | None = None

    def advance(self, arriving: Array) -> Array:
        """What the node emits."""
        if self.arrived is None or not np.array_equal(self.arrived, arriving):
            mapped = self.matrix @ arriving
            self.arrived, self.emitted = arriving, mapped if self.bias is None else mapped + self.bias[:, None]
        return self.emitted


class Interpreter:
    """Runs one NIR graph on batches of recordings.

    Args:
        graph: a graph with one Input and one Output.
        dt: time step in seconds; by default what the graph's metadata say, else ``DEFAULT_TIME_STEP``.

    Raises:
        GraphError: a node that cannot be run, an unknown shape, or not exactly one Input and Output.
    """

    def __init__(self, graph: nir.NIRGraph, dt: float | None = None) -> None:
        self.plan = make_plan(graph, dt)
        self.nodes = self.plan.nodes
        self.input_shape, self.output_shape = self.shape(self.plan.input), self.shape(self.plan.output)
        linear = [name for name, node in self.nodes.items() if isinstance(node, LINEAR_NODES)]
        self.matrices = {name: self.plan.factor(name) for name in linear}
        self.attentions = {
            name: marked for name, node in self.nodes.items() if (marked := read_marked(name, node)) is not None
        }
        self._biases = {name: bias_vector(self.nodes[name]) for name in self.matrices}

    def run(
        self, spikes: NDArray[Any], record: Iterable[str] = (), observer: Observer | None = None
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
        """Run samples from reset.

        Args:
            spikes: (samples, steps, *input shape).
            record: names of nodes whose output is wanted; a node of a nested graph is called ``graph.node``.
            observer: called for every node that is not linear, in every step.

        Returns:
            Outputs (samples, steps, *output shape), float32, and for each recorded node (samples, steps, *shape),
            uint8 for spikes, float32 for anything else.

        Raises:
            GraphError: the input does not have the graph's shape, or a recorded node does not exist.
        """
        samples, steps = spikes.shape[:2]
        if spikes.shape[2:] != self.input_shape:
            raise GraphError(f"input frames have shape {spikes.shape[2:]}, the graph takes {self.input_shape}")
        record = list(record)
        for name in record:
            if name not in self.nodes:
                raise GraphError(f"node {name}: the graph has no such node to record")
        outputs = np.zeros((steps, self._size(self.plan.output), samples), np.float32)
        recorded = {name: np.zeros((steps, self._size(name), samples), self._kind(name)) for name in record}
        for step, values in enumerate(self._steps(spikes, observer)):
            outputs[step] = values[self.plan.output]
            for name in record:
                recorded[name][step] = values[name]
        return _unpack(outputs, self.output_shape), {
            name: _unpack(_as_spikes(value) if isinstance(self.nodes[name], nir.Delay) else value, self.shape(name))
            for name, value in recorded.items()
        }

    def _steps(self, spikes: NDArray[Any], observer: Observer | None) -> Iterable[Mapping[str, Array]]:
        """Yield the value of every node, (neurons, samples), after each step."""
        samples = spikes.shape[0]
        units = {name: self._unit(name, samples) for name in self.nodes}
        late = {source for source, _ in self.plan.late}
        previous = {name: np.zeros((self._size(name), samples)) for name in late}
        for frame in np.moveaxis(spikes, 1, 0):
            values: dict[str, Array] = {}
            for name in self.plan.order:
                if name == self.plan.input:
                    arriving = np.ascontiguousarray(frame.reshape(samples, -1).T, float)
                else:
                    arriving = self._arriving(name, values, previous)
                unit = units[name]
                values[name] = self._stateless(name, arriving) if unit is None else unit.advance(arriving)
                if observer is not None and name not in self.matrices:
                    observer(name, arriving, values[name], getattr(unit, "v", None))
            yield values
            previous = {name: values[name] for name in late}

    def _arriving(self, name: str, values: Mapping[str, Array], previous: Mapping[str, Array]) -> Array:
        sources = self.plan.sources[name]
        first, *others = ((previous if (source, name) in self.plan.late else values)[source] for source in sources)
        return sum(others, start=first)

    def _stateless(self, name: str, arriving: Array) -> Array:
        """What an attention, the Input or the Output emits."""
        return self.attentions[name].counts(arriving) if name in self.attentions else arriving

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of what node ``name`` emits."""
        return self.plan.shapes[name]

    def _size(self, name: str) -> int:
        return int(np.prod(self.shape(name)))

    def _kind(self, name: str) -> type[np.uint8] | type[np.float32]:
        return np.uint8 if isinstance(self.nodes[name], SPIKING_NODES) else np.float32

    def _unit(self, name: str, samples: int) -> Any:
        """The state of a node at rest, or None for a node without."""
        if name in self.matrices:
            return _LinearUnit(self.matrices[name], self._biases[name])
        node = self.nodes[name]
        return unit(node, self.plan.dt, samples) if isinstance(node, NODES_WITH_UNIT) else None


def _as_spikes(values: NDArray[Any]) -> NDArray[Any]:
    """What a Delay emitted, as uint8 where it delays spikes."""
    return values.astype(np.uint8) if np.isin(values, (0, 1)).all() else values


def _unpack(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    return np.ascontiguousarray(np.moveaxis(values, 2, 0)).reshape(values.shape[2], values.shape[0], *shape)
