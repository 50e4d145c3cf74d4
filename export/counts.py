"""What a network did on a set of recordings: spikes, synaptic operations and neuron updates, per neuron population.

The NIR interpreter fills these records while it runs the deployed graph; the energy model prices them.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import GraphError

Kind = Literal["lif", "threshold", "delay", "counter", "input"]
_KINDS = ("lif", "threshold", "delay", "counter", "input")
_SAMPLED = ("spikes", "synops", "active_updates")


@dataclass(frozen=True)
class LayerCounts:
    """One neuron population of the deployed graph, over a set of recordings."""

    name: str
    """Node name in the NIR graph."""
    layer: str
    """Population of the encoder that this belongs to; for helpers (delay lines, clocks, AND), the layer they serve."""
    kind: Kind
    neurons: int
    synapses: int
    """Non-zero synapses arriving: convolutions unrolled, taps that fall outside the map left out."""
    weights: int
    """Stored non-zero weights: a shared convolution kernel counts once."""
    fan_in_max: int
    steps: int
    """Time steps run per recording: the window and the drain of the pipeline."""
    spikes: NDArray[np.float64]
    """(samples,) spikes emitted per recording."""
    synops: NDArray[np.float64]
    """(samples,) synaptic operations arriving per recording: one per spike and synapse that it reaches."""
    active_updates: NDArray[np.float64]
    """(samples,) neuron-steps in which a spike arrived, the membrane potential was not zero, or a spike was emitted."""


@dataclass(frozen=True)
class NetworkCounts:
    """All populations of one graph, in topological order."""

    network: str
    """``network_id`` of the graph file that was traced."""
    samples: int
    time_steps: int
    """T, the steps of the window."""
    steps: int
    """T + latency."""
    latency: int
    window_us: float
    """Mean real duration of a recording's window, in microseconds."""
    layers: tuple[LayerCounts, ...]
    edges: tuple[tuple[str, str], ...] = ()
    """(source, destination) names of populations joined by synapses; empty when unknown. Places the spike traffic."""

    def to_json(self) -> str:
        """Return the counts as one JSON document."""
        return json.dumps(dataclasses.asdict(self), default=np.ndarray.tolist, indent=1) + "\n"

    @staticmethod
    def from_json(text: str, source: str = "counts") -> "NetworkCounts":
        """Read what ``to_json`` wrote.

        Raises:
            GraphError: ``text`` is no such document; the message names ``source`` and what is wrong.
        """
        try:
            values = json.loads(text)
            layers = tuple(_layer(layer) for layer in values.pop("layers"))
            edges = tuple((str(src), str(dst)) for src, dst in values.pop("edges", ()))
            counts = NetworkCounts(layers=layers, edges=edges, **values)
        except json.JSONDecodeError as error:
            raise GraphError(f"{source}:{error.lineno}: not JSON: {error.msg}") from None
        except KeyError as error:
            raise GraphError(f"{source}: key {error} is missing: trace the network again") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise GraphError(f"{source}: not a trace: {error}") from None
        _check(counts, source)
        return counts

    def require_network(self, graph: Path, source: str = "counts") -> None:
        """Refuse counts that were traced from another graph file than ``graph``.

        Raises:
            GraphError: the hashes differ.
        """
        expected = network_id(graph)
        if _digest(self.network) != _digest(expected):
            raise GraphError(f"{source}: traced from {self.network}, but the network is {expected}: trace it again")


def network_id(graph: Path) -> str:
    """``NAME sha256:HEX`` of a graph file. Two files with equal bytes are the same network whatever their names."""
    try:
        digest = hashlib.sha256(Path(graph).read_bytes()).hexdigest()
    except OSError as error:
        raise GraphError(f"{graph}: cannot be read: {error.strerror}") from None
    return f"{Path(graph).name} sha256:{digest}"


def _digest(network: str) -> str:
    return network.rpartition("sha256:")[2]


def _layer(values: dict[str, Any]) -> LayerCounts:
    arrays = {key: np.asarray(values[key], dtype=np.float64) for key in _SAMPLED}
    return LayerCounts(**(values | arrays))


def _check(counts: NetworkCounts, source: str) -> None:
    if counts.samples < 1 or not counts.layers:
        raise GraphError(
            f"{source}: holds {counts.samples} samples of {len(counts.layers)} layers: trace at least one of each"
        )
    if not counts.window_us > 0:
        raise GraphError(f"{source}: window_us is {counts.window_us}: give the recordings' duration in microseconds")
    for layer in counts.layers:
        _check_layer(layer, counts, source)
    names = {layer.name for layer in counts.layers}
    for name in (end for edge in counts.edges for end in edge):
        if name not in names:
            raise GraphError(f"{source}: an edge names {name}, which is no layer of the trace")


def _check_layer(layer: LayerCounts, counts: NetworkCounts, source: str) -> None:
    if layer.kind not in _KINDS:
        raise GraphError(f"{source}: layer {layer.name}: kind is {layer.kind}, use one of {', '.join(_KINDS)}")
    if layer.neurons < 1 or layer.steps < 1:
        raise GraphError(
            f"{source}: layer {layer.name}: {layer.neurons} neurons over {layer.steps} steps: both must be positive"
        )
    if layer.synapses > layer.neurons * layer.fan_in_max:
        raise GraphError(
            f"{source}: layer {layer.name}: {layer.synapses} synapses, but {layer.neurons} neurons with at most "
            f"{layer.fan_in_max} each"
        )
    for key in _SAMPLED:
        values = getattr(layer, key)
        if values.shape != (counts.samples,):
            raise GraphError(
                f"{source}: layer {layer.name}: {key} has shape {values.shape}, samples is {counts.samples}"
            )
        if not (np.isfinite(values).all() and (values >= 0).all()):
            raise GraphError(f"{source}: layer {layer.name}: {key} holds a negative or non-finite count")
    for key in ("spikes", "active_updates"):
        if (getattr(layer, key) > layer.neurons * layer.steps).any():
            raise GraphError(
                f"{source}: layer {layer.name}: {key} exceeds {layer.neurons} neurons x {layer.steps} steps"
            )
