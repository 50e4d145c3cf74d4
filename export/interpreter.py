"""Reference interpreter of NIR graphs: float64, step by step, every linear node a sparse matrix.

Semantics of one time step, the forward Euler step of NIR's equations (Pedersen et al. 2024, doi
10.1038/s41467-024-52259-9) with ``dt``; a neuron spikes where ``v > v_threshold`` and is then set to ``v_reset``:

* LIF: ``v <- v + dt/tau (v_leak - v + r i)``; IF: ``v <- v + dt r i``; Threshold: ``s = [i > threshold]``;
* Delay: the input of ``round(delay / dt)`` steps ago, zero before the start;
* a nested graph marked as attention: coincidence counts of its spikes (``export.marked_attention``);
* several edges into one node are summed; on a cycle, one edge carries the value of the step before.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from export.marked_attention import read_marked
from export.synapse_matrix import LINEAR_NODES, bias_vector, input_shape, output_shape, synapse_matrix
from spikinghash.errors import GraphError

Array = NDArray[np.float64]
Observer = Callable[[str, Array, Array, Array | None], None]
"""Sees each spiking node after each step: name, input, output and potentials, each (neurons, samples)."""

DEFAULT_TIME_STEP = 1e-4
SPIKING_NODES = (nir.LIF, nir.IF, nir.Threshold, nir.Delay)


@dataclass
class _Plan:
    order: list[str]
    sources: dict[str, list[str]]
    late: set[tuple[str, str]] = field(default_factory=set)
    """Edges that carry the value of the step before, since they close a cycle."""


class Interpreter:
    """Runs one NIR graph on batches of recordings.

    Args:
        graph: a graph with one Input and one Output, flat but for marked attentions.
        dt: time step in seconds.

    Raises:
        GraphError: a node that cannot be run, an unknown shape, or not exactly one Input and Output.
    """

    def __init__(self, graph: nir.NIRGraph, dt: float = DEFAULT_TIME_STEP) -> None:
        self.dt = dt
        self.nodes: dict[str, nir.NIRNode] = dict(graph.nodes)
        self.input = _only(graph, nir.Input)
        self.output = _only(graph, nir.Output)
        self.input_shape = _shape(self.nodes[self.input].input_type["input"])
        self.output_shape = _shape(self.nodes[self.output].output_type["output"])
        self.matrices = {
            name: _matrix(name, node) for name, node in self.nodes.items() if isinstance(node, LINEAR_NODES)
        }
        self.attentions = {
            name: marked for name, node in self.nodes.items() if (marked := read_marked(name, node)) is not None
        }
        self._plan = _plan(self.nodes, graph.edges)
        for name, node in self.nodes.items():
            known = isinstance(node, (nir.Input, nir.Output, *LINEAR_NODES, *SPIKING_NODES))
            if not known and name not in self.attentions:
                raise GraphError(f"node {name}: the interpreter has no {type(node).__name__}")

    def run(
        self, spikes: NDArray[Any], record: Iterable[str] = (), observer: Observer | None = None
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
        """Run samples from reset.

        Args:
            spikes: (samples, steps, *input shape).
            record: names of nodes whose output is wanted.
            observer: called for every spiking node in every step.

        Returns:
            Outputs (samples, steps, *output shape), float32, and for each recorded node (samples, steps, *shape),
            uint8 for spikes, float32 for the counts of an attention.

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
        outputs = np.zeros((steps, int(np.prod(self.output_shape)), samples), np.float32)
        recorded = {name: np.zeros((steps, self._size(name), samples), self._kind(name)) for name in record}
        for step, values in enumerate(self._steps(spikes, observer)):
            outputs[step] = values[self.output]
            for name in record:
                recorded[name][step] = values[name]
        return _unpack(outputs, self.output_shape), {
            name: _unpack(value, self.shape(name)) for name, value in recorded.items()
        }

    def _steps(self, spikes: NDArray[Any], observer: Observer | None) -> Iterable[Mapping[str, Array]]:
        """Yield the value of every node, (neurons, samples), after each step."""
        samples = spikes.shape[0]
        units = {
            name: self._unit(node, samples) for name, node in self.nodes.items() if isinstance(node, SPIKING_NODES)
        }
        biases = {name: bias_vector(self.nodes[name]) for name in self.matrices}
        values = {name: np.zeros((self._size(name), samples)) for name in self.nodes}
        for frame in np.moveaxis(spikes, 1, 0):
            previous, values = values, {}
            for name in self._plan.order:
                if name == self.input:
                    arriving = np.ascontiguousarray(frame.reshape(samples, -1).T, float)
                else:
                    arriving = self._arriving(name, values, previous)
                if name in self.matrices:
                    bias = biases[name]
                    arriving = self.matrices[name] @ arriving
                    values[name] = arriving if bias is None else arriving + bias[:, None]
                    continue
                if name in self.attentions:
                    values[name] = self.attentions[name].counts(arriving)
                    continue
                unit = units.get(name)
                values[name] = arriving if unit is None else unit.advance(arriving)
                if observer is not None:
                    observer(name, arriving, values[name], getattr(unit, "v", None))
            yield values

    def _arriving(self, name: str, values: Mapping[str, Array], previous: Mapping[str, Array]) -> Array:
        sources = self._plan.sources[name]
        parts = [(previous if (source, name) in self._plan.late else values)[source] for source in sources]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    @property
    def order(self) -> list[str]:
        """Names of all nodes in the order in which a step visits them."""
        return self._plan.order

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of what node ``name`` emits."""
        node = self.nodes[name]
        if name in self.matrices:
            return output_shape(node)
        return _shape(node.output_type["output"])

    def _size(self, name: str) -> int:
        return int(np.prod(self.shape(name)))

    def _kind(self, name: str) -> type[np.uint8] | type[np.float32]:
        return np.float32 if name in self.attentions else np.uint8

    def _unit(self, node: nir.NIRNode, samples: int) -> "_Neurons | _DelayLine | _Gate":
        if isinstance(node, nir.Threshold):
            return _Gate(_column(node.threshold))
        if isinstance(node, nir.Delay):
            return _DelayLine(np.round(_column(node.delay)[:, 0] / self.dt).astype(int), samples)
        if isinstance(node, nir.IF):
            return _Neurons(node, 0.0, self.dt * _column(node.r), 0.0, samples)
        leak = self.dt / _column(node.tau)
        return _Neurons(node, leak, leak * _column(node.r), _column(node.v_leak), samples)


class _Neurons:
    """LIF and IF."""

    def __init__(
        self, node: nir.LIF | nir.IF, leak: Array | float, gain: Array, rest: Array | float, samples: int
    ) -> None:
        self.threshold, self.reset = _column(node.v_threshold), _column(node.v_reset)
        self.leak, self.gain, self.rest = leak, gain, rest
        self.v = np.zeros((len(self.threshold), samples))

    def advance(self, current: Array) -> Array:
        v = self.v + self.leak * (self.rest - self.v) + self.gain * current
        spikes = v > self.threshold
        self.v = np.where(spikes, self.reset, v)
        return spikes.astype(float)


class _Gate:
    """Threshold: no memory."""

    def __init__(self, threshold: Array) -> None:
        self.threshold = threshold

    def advance(self, current: Array) -> Array:
        return (current > self.threshold).astype(float)


class _DelayLine:
    """Delay: a ring buffer, each neuron reading at its own lag."""

    def __init__(self, lags: NDArray[np.int64], samples: int) -> None:
        self.lags, self.rows, self.now = lags, np.arange(len(lags)), -1
        self.history = np.zeros((int(lags.max(initial=0)) + 1, len(lags), samples))

    def advance(self, current: Array) -> Array:
        self.now = (self.now + 1) % len(self.history)
        self.history[self.now] = current
        delayed: Array = self.history[(self.now - self.lags) % len(self.history), self.rows]
        return delayed


def _plan(nodes: Mapping[str, nir.NIRNode], edges: Sequence[tuple[str, str]]) -> _Plan:
    """Depth-first topological order; an edge back to a node that is still open closes a cycle and is made late."""
    sources: dict[str, list[str]] = {name: [] for name in nodes}
    targets: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        sources[target].append(source)
        targets[source].append(target)
    for name, node in nodes.items():
        if not sources[name] and not isinstance(node, nir.Input):
            raise GraphError(f"node {name}: nothing arrives at it: connect or remove it")
    plan = _Plan([], sources)
    state: dict[str, bool] = {}
    for root in [name for name, node in nodes.items() if isinstance(node, nir.Input)]:
        stack = [(root, iter(targets[root]))]
        state[root] = False
        while stack:
            name, remaining = stack[-1]
            for target in remaining:
                if target not in state:
                    state[target] = False
                    stack.append((target, iter(targets[target])))
                    break
                if not state[target]:
                    plan.late.add((name, target))
            else:
                stack.pop()
                state[name] = True
                plan.order.append(name)
    plan.order.reverse()
    return plan


def _only(graph: nir.NIRGraph, kind: type[nir.NIRNode]) -> str:
    names = [name for name, node in graph.nodes.items() if isinstance(node, kind)]
    if len(names) != 1:
        raise GraphError(f"graph has {len(names)} {kind.__name__} nodes, the interpreter takes exactly 1")
    return names[0]


def _matrix(name: str, node: nir.NIRNode) -> sparse.csr_matrix:
    try:
        input_shape(node)
        return synapse_matrix(node)
    except ValueError as error:
        raise GraphError(f"node {name}: {error}") from None


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in np.ravel(value))


def _column(values: Any) -> Array:
    return np.asarray(values, float).reshape(-1, 1)


def _unpack(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    return np.ascontiguousarray(np.moveaxis(values, 2, 0)).reshape(values.shape[2], values.shape[0], *shape)
