"""What a network did on a set of recordings: spikes, synaptic operations and neuron updates, per neuron population.

The NIR interpreter fills these records while it runs the deployed graph; the energy model prices them.
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from export.synaptic.natural import NaturalCounts
from spikinghash.errors import GraphError, in_one_line
from spikinghash.files import read_file
from spikinghash.seal import LARGEST_MODEL, parse_json

Kind = Literal["lif", "threshold", "delay", "counter", "input", "attention", "integrator"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
LARGEST_COUNT = 2**53
"""Of neurons, synapses, steps."""
_SAMPLED = ("spikes", "synops", "active_updates")
_OPTIONAL = ("integer_synops", "ands", "adds", "neuron_spikes", "step_spikes")
_FORMER = ("dense_macs", "state_bits", "dense_ands", "dense_adds")
"""Keys of former versions, which no bill reads."""


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
    integer_synops: NDArray[np.float64] | None = None
    """(samples,) those of ``synops`` that bring a whole number, not a spike, and multiply; ``None`` without any."""
    weight_bits: int = 8
    """Of the widest stored weight: its mantissa where a map shares a power of two; biases apart; 32 for floats."""
    ands: NDArray[np.float64] | None = None
    """(samples,) pairs of spikes in the products K^T V of a marked attention: what a popcount counts."""
    adds: NDArray[np.float64] | None = None
    """(samples,) additions in its counts Q (K^T V) whose spike is there and whose number is not zero."""
    neuron_spikes: NDArray[np.float64] | None = None
    """(neurons,) spikes of each neuron over all recordings, in storage order: they place the traffic."""
    step_spikes: NDArray[np.float64] | None = None
    """(steps,) spikes of all neurons over all recordings, step by step: they say how events bunch."""
    lag: int = 0
    """Steps behind the graph's own time on a machine where every hop takes one."""

    def inactive_updates(self, steps: int) -> NDArray[np.float64]:
        """(samples,) neuron-steps of ``steps`` without an arriving spike, a potential or an emitted spike."""
        return self.neurons * steps - self.active_updates


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
    recordings: str = ""
    """Which recordings were traced, in words; empty when unknown."""
    pace: int = 1
    """Steps of a machine where every hop takes one, per step of the graph."""
    depth: int = 0
    """Steps by which the output lags behind the graph's own time on such a machine."""
    natural: NaturalCounts | None = None
    """The encoder before it was lowered, where the graph's file describes it."""

    @property
    def machine_steps(self) -> int:
        """Steps per recording on a machine where every hop takes one: the window, and what fills and drains it."""
        return self.pace * self.steps + self.depth

    def to_json(self) -> str:
        """Return the counts as one JSON document, one layer a line; whole numbers without a point."""
        values = dataclasses.asdict(dataclasses.replace(self, natural=None))
        layers = [json.dumps(layer, default=_plain) for layer in values.pop("layers")]
        values["natural"] = self.natural and self.natural.to_values()
        head = json.dumps(values, indent=1, default=_plain).removesuffix("\n}")
        return head + ',\n "layers": [\n' + ",\n".join(layers) + "\n ]\n}\n"

    @staticmethod
    def from_json(text: str, source: str = "counts") -> "NetworkCounts":
        """Read what ``to_json`` wrote.

        Raises:
            GraphError: ``text`` is no such document; the message names ``source`` and what is wrong.
        """
        try:
            values = parse_json(text)
            layers = tuple(_layer(layer) for layer in values.pop("layers"))
            edges = tuple((str(src), str(dst)) for src, dst in values.pop("edges", ()))
            depth = values.pop("depth")  # older versions did not write it: a machine's steps would be too few
            described = values.pop("natural", None)
            natural = NaturalCounts.from_values(described, source, values["samples"]) if described else None
            counts = NetworkCounts(layers=layers, edges=edges, depth=depth, natural=natural, **values)
            _check(counts, source)
        except json.JSONDecodeError as error:
            raise GraphError(f"{source}:{error.lineno}: not JSON: {error.msg}") from None
        except KeyError as error:
            raise GraphError(f"{source}: key {error} is missing: trace the network again") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise GraphError(f"{source}: not a trace: {in_one_line(error)}") from None
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
        digest = hashlib.sha256(read_file(Path(graph), LARGEST_MODEL)).hexdigest()
    except OSError as error:
        raise GraphError(f"{graph}: cannot be read: {error.strerror}") from None
    return f"{Path(graph).name} sha256:{digest}"


def _digest(network: str) -> str:
    return network.rpartition("sha256:")[2]


def _plain(values: NDArray[np.float64]) -> list[float] | list[int]:
    whole = values.astype(np.int64)
    listed: list[float] | list[int] = (whole if np.array_equal(whole, values) else values).tolist()
    return listed


def _layer(values: dict[str, Any]) -> LayerCounts:
    arrays = {key: np.asarray(values[key], dtype=np.float64) for key in _SAMPLED}
    arrays |= {key: np.asarray(values[key], dtype=np.float64) for key in _OPTIONAL if values.get(key) is not None}
    return LayerCounts(**{key: value for key, value in (values | arrays).items() if key not in _FORMER})


def _check_types(record: NetworkCounts | LayerCounts, where: str) -> None:
    """Whole numbers and texts are what they should be, and no number is absurd."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if field.type in (int, str) and type(value) is not field.type:
            raise GraphError(f"{where}: {field.name} is {str(value)[:40]!r}, not of type {field.type.__name__}")
        if field.type is int and not 0 <= value <= LARGEST_COUNT:
            raise GraphError(f"{where}: {field.name} is {value}: use 0 to {LARGEST_COUNT}")


def _check(counts: NetworkCounts, source: str) -> None:
    _check_types(counts, source)
    if counts.samples < 1 or not counts.layers:
        raise GraphError(
            f"{source}: holds {counts.samples} samples of {len(counts.layers)} layers: trace at least one of each"
        )
    for key in ("time_steps", "steps", "pace"):
        if getattr(counts, key) < 1:
            raise GraphError(
                f"{source}: {key} is {getattr(counts, key)}: at least 1 is needed: trace the network again"
            )
    if not 0 < counts.window_us < math.inf:
        raise GraphError(f"{source}: window_us is {counts.window_us}: give the recordings' duration in microseconds")
    for layer in counts.layers:
        _check_layer(layer, counts, source)
    names = {layer.name for layer in counts.layers}
    for name in (end for edge in counts.edges for end in edge):
        if name not in names:
            raise GraphError(f"{source}: an edge names {name}, which is no layer of the trace")


def _check_layer(layer: LayerCounts, counts: NetworkCounts, source: str) -> None:
    _check_types(layer, f"{source}: layer {layer.name}")
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
    for key in (*_SAMPLED, *_OPTIONAL):
        values = getattr(layer, key)
        if values is not None:
            wanted = {"neuron_spikes": layer.neurons, "step_spikes": layer.steps}.get(key, counts.samples)
            _check_array(f"{source}: layer {layer.name}: {key}", values, (wanted,))
    for key in ("spikes", "active_updates"):
        if (getattr(layer, key) > layer.neurons * layer.steps).any():
            raise GraphError(
                f"{source}: layer {layer.name}: {key} exceeds {layer.neurons} neurons x {layer.steps} steps"
            )


def _check_array(what: str, values: NDArray[np.float64], wanted: tuple[int, ...]) -> None:
    if values.shape != wanted:
        raise GraphError(f"{what} has shape {values.shape}, {wanted} is needed")
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise GraphError(f"{what} holds a negative or non-finite count")
