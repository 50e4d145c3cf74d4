"""NIR graphs of every kind, small, with numbers whose sums are exact in whatever order they are taken."""

from itertools import pairwise
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

DT = 1e-4
Array = NDArray[Any]
Shape = tuple[int, ...]


def built(nodes: dict[str, Any], edges: str, source: Shape, target: Shape, **metadata: Any) -> nir.NIRGraph:
    """A graph between ``x`` and ``y``; edges are written "x>a a>b b>y"."""
    named = {"x": nir.Input(np.array(source)), **nodes, "y": nir.Output(np.array(target))}
    pairs = [(a, b) for a, _, b in (edge.partition(">") for edge in edges.split())]
    return nir.NIRGraph(named, pairs, metadata=metadata, type_check=False)


def spikes_for(graph: nir.NIRGraph, samples: int = 3, steps: int = 9, rate: float = 0.5, seed: int = 3) -> Array:
    """Random input, float32 (samples, steps, *shape)."""
    shape = tuple(graph.nodes["x"].input_type["input"])
    return (np.random.default_rng(seed).random((samples, steps, *shape)) < rate).astype(np.float32)


def quarters(rng: np.random.Generator, *shape: int, low: int = -6, high: int = 8) -> Array:
    """Multiples of 1/4."""
    return rng.integers(low, high + 1, shape) / 4


def lif(shape: Shape, rng: np.random.Generator) -> nir.LIF:
    """Parameters differ from neuron to neuron; time constants of 1, 2 and 4 steps."""
    tau = DT * 2.0 ** rng.integers(0, 3, shape)
    r, leak = rng.integers(1, 4, shape) * 1.0, quarters(rng, *shape, low=-2, high=2)
    return nir.LIF(tau, r, leak, rng.integers(1, 4, shape) / 2 + 2.0**-16, quarters(rng, *shape, low=-2, high=0))


def cuba_lif(shape: Shape, rng: np.random.Generator) -> nir.CubaLIF:
    """As ``lif``, with a synaptic current."""
    plain = lif(shape, rng)
    syn, w_in = DT * 2.0 ** rng.integers(0, 3, shape), rng.integers(1, 5, shape) * 1.0
    return nir.CubaLIF(syn, plain.tau, plain.r, plain.v_leak, plain.v_threshold, plain.v_reset, w_in)


def neurons(shape: Shape, rng: np.random.Generator) -> dict[str, Any]:
    """One node of each kind that has a state."""
    plain, cuba = lif(shape, rng), cuba_lif(shape, rng)
    gain = rng.integers(1, 3, shape) / DT
    return {
        "lif": plain,
        "cuba_lif": cuba,
        "if": nir.IF(gain, rng.integers(2, 6, shape) + 0.5, quarters(rng, *shape, low=-4, high=0)),
        "li": nir.LI(plain.tau, plain.r, plain.v_leak),
        "i": nir.I(gain),
        "cuba_li": nir.CubaLI(cuba.tau_syn, cuba.tau_mem, cuba.r, cuba.v_leak, cuba.w_in),
        "threshold": nir.Threshold(quarters(rng, *shape)),
        "delay": nir.Delay(rng.integers(0, 5, shape) * DT),
    }


def linear_maps(rng: np.random.Generator) -> dict[str, tuple[Any, Shape, str]]:
    """Every linear primitive that reads (4, 6, 6) or a flattening of it: node, shape of its output, what it reads."""

    def pool(kind: type, kernel: Shape, stride: Shape, padding: Shape) -> Any:
        return kind(np.array(kernel), np.array(stride), np.array(padding))

    def conv(c_out: int, c_in: int, kernel: Shape, stride: Any, padding: Any, dilation: Any, groups: int) -> nir.Conv2d:
        weight = quarters(rng, c_out, c_in, *kernel)
        return nir.Conv2d((6, 6), weight, stride, padding, dilation, groups, quarters(rng, c_out))

    return {
        "conv2d": (conv(3, 4, (3, 2), (2, 1), (1, 0), (1, 2), 1), (3, 3, 4), "x"),
        "grouped": (conv(4, 2, (3, 3), 1, (1, 1), 1, 2), (4, 6, 6), "x"),
        "same": (conv(2, 4, (3, 5), 1, "same", 1, 1), (2, 6, 6), "x"),
        "valid": (conv(2, 4, (3, 3), 2, "valid", 1, 1), (2, 2, 2), "x"),
        "conv1d": (nir.Conv1d(36, quarters(rng, 4, 2, 3), 2, 1, 2, 2, quarters(rng, 4)), (4, 17), "rows"),
        "sum_pool": (pool(nir.SumPool2d, (3, 2), (2, 2), (1, 0)), (4, 3, 3), "x"),
        "average_pool": (pool(nir.AvgPool2d, (2, 2), (2, 1), (0, 0)), (4, 3, 5), "x"),
        "scale": (nir.Scale(quarters(rng, 4, 6, 6)), (4, 6, 6), "x"),
        "affine": (nir.Affine(quarters(rng, 5, 144), quarters(rng, 5)), (5,), "flat"),
        "linear": (nir.Linear(quarters(rng, 4, 6, 3, 6)), (4, 6, 3), "x"),
    }


def all_primitives(seed: int = 0) -> nir.NIRGraph:
    """Every primitive in one graph; what a linear node sends is seen by a memoryless integrator, ``see_NODE``."""
    rng = np.random.default_rng(seed)
    nodes: dict[str, Any] = {
        "flat": nir.Flatten({"input": np.array([4, 6, 6])}, start_dim=0),
        "rows": nir.Flatten({"input": np.array([4, 6, 6])}, start_dim=1, end_dim=2),
        "spread": nir.Affine(quarters(rng, 6, 144, low=-1, high=1), quarters(rng, 6, low=-1, high=2)),
        **neurons((6,), rng),
        "out": nir.LI(*(np.full(6, value) for value in (4 * DT, 2.0, 0.25))),
    }
    edges = "x>flat x>rows flat>spread out>y"
    for name in neurons((6,), rng):
        edges += f" spread>{name} {name}>out"
    for name, (node, shape, source) in linear_maps(rng).items():
        nodes |= {name: node, f"see_{name}": nir.LI(np.full(shape, DT), np.ones(shape), np.zeros(shape))}
        edges += f" {source}>{name} {name}>see_{name}"
    return built(nodes, edges, (4, 6, 6), (6,))


def recurrent_cuba(seed: int = 0, inputs: int = 12, hidden: int = 10, outputs: int = 7) -> nir.NIRGraph:
    """Affine, CubaLIF with an Affine from itself to itself, Affine, CubaLIF: the NIR paper's Braille network."""
    rng = np.random.default_rng(seed)
    nodes = {
        "fc1": nir.Affine(quarters(rng, hidden, inputs), quarters(rng, hidden)),
        "lif1.lif": cuba_lif((hidden,), rng),
        "lif1.w_rec": nir.Affine(quarters(rng, hidden, hidden), quarters(rng, hidden)),
        "fc2": nir.Affine(quarters(rng, outputs, hidden), quarters(rng, outputs)),
        "lif2": cuba_lif((outputs,), rng),
    }
    edges = "x>fc1 fc1>lif1.lif lif1.lif>lif1.w_rec lif1.w_rec>lif1.lif lif1.lif>fc2 fc2>lif2 lif2>y"
    return built(nodes, edges, (inputs,), (outputs,))


def loops(seed: int = 0) -> tuple[nir.NIRGraph, frozenset[tuple[str, str]]]:
    """Cycles of every kind in one graph, and the edges that close them.

    A population that feeds itself, directly and through an Affine that the input enters; three populations in a ring;
    a ring through a Delay; an accumulator without any neuron.
    """
    rng = np.random.default_rng(seed)
    nodes = {
        "own": lif((4,), rng), "entered": lif((4,), rng),
        "a": lif((4,), rng), "b": cuba_lif((4,), rng), "c": lif((4,), rng),
        "d": lif((4,), rng), "later": nir.Delay(np.array([0, 1, 2, 3]) * DT),
        "sum": nir.Scale(np.full(4, 0.5)), "turn": nir.Linear(np.roll(np.eye(4), 1, 0)),
        "out": nir.LI(*(np.full(4, value) for value in (2 * DT, 2.0, 0.0))),
    }  # fmt: skip
    for name in ("enter", "ab", "bc", "ca"):
        nodes[name] = nir.Affine(quarters(rng, 4, 4, low=-3, high=4), quarters(rng, 4, low=-1, high=2))
    edges = (
        "x>own own>own x>enter enter>entered entered>enter "
        "x>a a>ab ab>b b>bc bc>c c>ca ca>a x>d d>later later>d x>sum sum>turn turn>sum "
        "own>out entered>out b>out later>out turn>out out>y"
    )
    closing = frozenset({("own", "own"), ("entered", "enter"), ("ca", "a"), ("later", "d"), ("turn", "sum")})
    return built(nodes, edges, (4,), (4,)), closing


def nmnist_cnn(seed: int = 0) -> nir.NIRGraph:
    """Convolutions, IF neurons and sum pools, as the NIR paper's N-MNIST network, with small random weights."""
    rng = np.random.default_rng(seed)

    def conv(size: int, c_in: int, c_out: int, kernel: int, stride: int) -> nir.Conv2d:
        weight = quarters(rng, c_out, c_in, kernel, kernel, low=-2, high=2)
        return nir.Conv2d((size, size), weight, stride, (1, 1), (1, 1), 1, np.zeros(c_out))

    def fire(*shape: int) -> nir.IF:
        return nir.IF(np.full(shape, 1 / DT), np.full(shape, 1 + 2.0**-12), np.zeros(shape))

    def pool() -> nir.SumPool2d:
        return nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))

    nodes = {
        "0": conv(34, 2, 8, 5, 2), "1": fire(8, 16, 16), "2": conv(16, 8, 8, 3, 1), "3": fire(8, 16, 16), "4": pool(),
        "5": conv(8, 8, 8, 3, 1), "6": fire(8, 8, 8), "7": pool(), "8": nir.Flatten({"input": np.array([8, 4, 4])}, 0),
        "9": nir.Affine(quarters(rng, 32, 128, low=-1, high=1), np.zeros(32)), "10": fire(32),
        "11": nir.Affine(quarters(rng, 10, 32), np.zeros(10)), "12": fire(10),
    }  # fmt: skip
    names = ["x", *nodes, "y"]
    edges = " ".join(f"{a}>{b}" for a, b in pairwise(names))
    return built(nodes, edges, (2, 34, 34), (10,))
