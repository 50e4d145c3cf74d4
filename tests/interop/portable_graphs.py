"""Small NIR graphs in the portable dialect, one per construct, and a float64 reference that steps through them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import nir
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import correlate

TIME_STEP = 1e-4
MEMORYLESS = TIME_STEP * (1 + 1e-6)
LEAKY = 2 * TIME_STEP
OFF_LATTICE = 2.0**-9

Array = NDArray[np.float64]


@dataclass
class Builder:
    """A graph under construction: nodes in the order in which one time step computes them, edges, shapes.

    With ``dense`` every convolution is written out as an Affine on flat vectors.
    """

    dense: bool = False
    nodes: dict[str, nir.NIRNode] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def input(self, *shape: int) -> str:
        """Add the Input; its name sorts first, since sc-neurocore looks for cycles from the first node on."""
        flat = (int(np.prod(shape)),) if self.dense else shape
        return self._add("a_input", nir.Input({"input": np.array(flat)}), shape, ())

    def conv(
        self, name: str, source: str, weight: ArrayLike, stride: int = 1, padding: int = 0, bias: float = 0.0
    ) -> str:
        """Add a Conv2d (or its Affine) that reads ``source``; ``weight`` is (out, in, height, width)."""
        kernel = np.asarray(weight, dtype=np.float32)
        shape = self.shapes[source]
        side = (shape[1] + 2 * padding - kernel.shape[2]) // stride + 1
        out = (len(kernel), side, (shape[2] + 2 * padding - kernel.shape[3]) // stride + 1)
        biases = np.full(len(kernel), bias, dtype=np.float32)
        node = nir.Conv2d(shape[1:], kernel, stride, padding, 1, 1, biases)
        if self.dense:
            matrix = _written_out(kernel, shape, out, stride, padding)
            node = nir.Affine(matrix, np.full(len(matrix), bias, dtype=np.float32))
        return self._add(name, node, out, (source,))

    def neurons(self, name: str, sources: Iterable[str], threshold: float, tau: float = LEAKY) -> str:
        """Add a LIF that reads the sum of ``sources``, with the same parameters for all neurons."""
        sources = tuple(sources)
        shape = self.shapes[sources[0]]
        ones = np.ones((int(np.prod(shape)),) if self.dense else shape)
        node = nir.LIF(tau * ones, ones, 0 * ones, threshold * ones, v_reset=0 * ones)
        return self._add(name, node, shape, sources)

    def gate(self, name: str, sources: Iterable[str], least: int) -> str:
        """Add memoryless neurons that spike where the sum of ``sources`` is at least ``least``."""
        return self.neurons(name, sources, least - 0.5, MEMORYLESS)

    def flatten(self, name: str, source: str, start: int) -> str:
        """Add a Flatten from axis ``start`` to the last."""
        shape = self.shapes[source]
        flat = (int(np.prod(shape)),)
        node = nir.Flatten({"input": np.array(flat if self.dense else shape)}, 0 if self.dense else start, -1)
        return self._add(name, node, flat, (source,))

    def connect(self, source: str, target: str) -> None:
        """Add an edge; one to an earlier node closes a cycle and carries the step before."""
        self.edges.append((source, target))

    def output(self, source: str) -> None:
        """Add the Output."""
        shape = self.shapes[source]
        flat = (int(np.prod(shape)),) if self.dense else shape
        self._add("output", nir.Output({"output": np.array(flat)}), shape, (source,))

    def write(self, path: Path) -> Path:
        """Write the graph as a NIR file."""
        nir.write(path, nir.NIRGraph(self.nodes, self.edges))
        return path

    def _add(self, name: str, node: nir.NIRNode, shape: tuple[int, ...], sources: Iterable[str]) -> str:
        self.nodes[name] = node
        self.shapes[name] = shape
        self.edges.extend((source, name) for source in sources)
        return name


def shift_register(builder: Builder, name: str, source: str, lanes: int) -> str:
    """Add a LIF with ``lanes + 1`` copies of ``source``'s channels, lane k late by k steps; return its name.

    Channel ``k * channels + c`` is lane k of channel c. Lane 0 reads the source; a cycle, which takes one step, carries
    lane k to lane k + 1.
    """
    channels = builder.shapes[source][0]
    total = (lanes + 1) * channels
    builder.conv(f"{name}_in", source, np.eye(total, channels)[:, :, None, None])
    register = builder.gate(f"{name}_lanes", [f"{name}_in"], 1)
    builder.conv(f"{name}_next", register, np.eye(total)[:, :, None, None])
    builder.gate(f"{name}_relay", [f"{name}_next"], 1)
    builder.conv(f"{name}_shift", f"{name}_relay", np.eye(total, k=-channels)[:, :, None, None])
    builder.connect(f"{name}_shift", register)
    return register


def simulate(builder: Builder, spikes: NDArray[np.float32]) -> dict[str, Array]:
    """Run float64 LIF dynamics, one sample (steps, *shape) at a time in the order of construction.

    Returns every node's values, (samples, steps, *shape). An edge from a later node carries the step before.
    """
    runs = [_simulate_sample(builder, sample) for sample in spikes]
    return {name: np.array([run[name] for run in runs]) for name in builder.nodes}


def _simulate_sample(builder: Builder, sample: NDArray[np.float32]) -> dict[str, list[Array]]:
    sources = {name: [source for source, target in builder.edges if target == name] for name in builder.nodes}
    values = {name: np.zeros(shape) for name, shape in builder.shapes.items()}
    potential = {name: np.zeros(shape) for name, shape in builder.shapes.items()}
    series: dict[str, list[Array]] = {name: [] for name in builder.nodes}
    for frame in sample.astype(np.float64):
        for name, node in builder.nodes.items():
            x = sum((values[source] for source in sources[name]), np.zeros(())) if sources[name] else frame
            if isinstance(node, nir.LIF):
                rate = TIME_STEP / node.tau.reshape(builder.shapes[name])
                potential[name] = potential[name] + rate * (x - potential[name])
                x = (potential[name] > node.v_threshold.flat[0]).astype(float)
                potential[name] = np.where(x == 1, 0, potential[name])
            elif isinstance(node, nir.Conv2d):
                x = _convolve(x, node.weight, node.stride[0], node.padding[0]) + node.bias[:, None, None]
            elif isinstance(node, nir.Affine):
                x = node.weight.astype(float) @ x.ravel() + node.bias
            values[name] = x.reshape(builder.shapes[name])
            series[name].append(values[name])
    return series


def _written_out(
    kernel: NDArray[np.float32], shape: tuple[int, ...], out: tuple[int, ...], stride: int, padding: int
) -> NDArray[np.float32]:
    """The (outputs, inputs) matrix of a convolution from flat ``shape`` to flat ``out``: one kernel per output."""
    rows = []
    for channel, y, x in np.ndindex(*out):
        row = np.zeros((shape[0], shape[1] + 2 * padding, shape[2] + 2 * padding), dtype=np.float32)
        top, left = y * stride, x * stride
        row[:, top : top + kernel.shape[2], left : left + kernel.shape[3]] = kernel[channel]
        rows.append(row[:, padding : padding + shape[1], padding : padding + shape[2]].ravel())
    return np.array(rows)


def _convolve(x: Array, weight: NDArray[np.float32], stride: int, padding: int) -> Array:
    """Convolve (in, height, width) with (out, in, height, width) as neural networks do: no flip, zeros around."""
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    full = np.stack([correlate(padded, kernel.astype(float), "valid", "direct")[0] for kernel in weight])
    return full[:, ::stride, ::stride]
