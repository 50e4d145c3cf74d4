"""Attention as a marked subgraph: what NIR has no node for, kept whole for backends that can multiply two signals.

A coincidence gate per (query, key, value) triple is exact everywhere, but N tokens take N^2 gates. An attention too
large for that is written as a nested NIRGraph whose metadata say what it computes. Its body is a placeholder of the
right shapes with NaN for weights: a backend replaces it, and one that runs it all the same gets no plausible number.

Either mapping, formed as one product or spelled out in gates, leads from the spikes of queries, keys and values to what
reads the counts, over one synapse per count.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from spikinghash.errors import GraphError
from spikinghash.seal import parse_json

MARK = "spikinghash_attention"
"""Metadata key of the subgraph; its value is a JSON object."""
EQUATION = "out[b, i] = sum over j, a of q[a, i] k[a, j] v[b, j], per head"


@dataclass(frozen=True)
class MarkedAttention:
    """Coincidence counts Q (K^T V) of binary queries, keys and values, per time step and head."""

    shape: tuple[int, int, int]
    """(C, H, W) of the counts; the source is (3 C, H, W), queries, keys and values one after the other."""
    heads: int
    factor: int = 1
    """Polyphase factor f of the layout of either: (f^2 C, H/f, W/f), in which a channel's f^2 phases follow on each
    other. Its tokens then stand in another order, the same for queries, keys, values and counts."""

    @classmethod
    def stored(cls, shape: tuple[int, ...], heads: int, factor: int) -> "MarkedAttention":
        """The one whose counts have ``shape`` in their layout."""
        channels, height, width = shape
        return cls((channels // factor**2, height * factor, width * factor), heads, factor)

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        """Shape of the counts in their layout."""
        channels, height, width = self.shape
        return channels * self.factor**2, height // self.factor, width // self.factor

    @property
    def largest(self) -> int:
        """The count of spikes everywhere."""
        channels, height, width = self.shape
        return channels // self.heads * height * width

    def subgraph(self) -> nir.NIRGraph:
        """The nested graph that stands for it."""
        channels, *size = self.stored_shape
        body = nir.Conv2d(
            input_shape=tuple(size),
            weight=np.full((channels, 3 * channels, 1, 1), np.nan, np.float32),
            stride=(1, 1),
            padding=(0, 0),
            dilation=(1, 1),
            groups=1,
            bias=np.zeros(channels, np.float32),
        )
        nodes = {
            "input": nir.Input(np.array([3 * channels, *size])),
            "placeholder": body,
            "output": nir.Output(np.array(self.stored_shape)),
        }
        told = {"heads": self.heads, "layout": "(q, k, v) x head x channel", "equation": EQUATION}
        if self.factor > 1:
            told |= {"layout": f"{told['layout']} x phase", "factor": self.factor}
        mark = json.dumps(told)
        return nir.NIRGraph(nodes, [("input", "placeholder"), ("placeholder", "output")], metadata={MARK: mark})

    def products(self, spikes: NDArray[Any]) -> NDArray[np.float64]:
        """Products K^T V (heads, C / heads, C / heads, samples) of spikes (3 C H W, samples)."""
        _, k, v = self._split(spikes)
        return np.asarray(np.einsum("hajs,hbjs->habs", k, v, optimize=True))

    def counts(self, spikes: NDArray[Any]) -> NDArray[np.float64]:
        """Counts (C H W, samples) of spikes (3 C H W, samples)."""
        queries = self._split(spikes)[0]
        summed = np.einsum("hais,habs->hbis", queries, self.products(spikes), optimize=True)
        return summed.reshape(-1, spikes.shape[1])

    def _split(self, spikes: NDArray[Any]) -> NDArray[Any]:
        """Queries, keys and values, (3, heads, C / heads, tokens, samples)."""
        channels, height, width = self.shape
        return spikes.reshape(3, self.heads, channels // self.heads, height * width, spikes.shape[1])


STEPS = 2
"""Time steps that an attention takes in either mapping: into the product or the gates, and out of them."""


@dataclass(frozen=True)
class MappingSize:
    """What a network takes on hardware."""

    neurons: int
    """A product counts with one per value that it emits."""
    synapses: int
    steps: int
    """Time steps of the hardware from the input to the output."""


def as_product(attention: MarkedAttention) -> MappingSize:
    """A product reads each query, key and value once and emits a count per channel and token."""
    counts = math.prod(attention.shape)
    return MappingSize(counts, 3 * counts + counts, STEPS)


def as_gates(attention: MarkedAttention) -> MappingSize:
    """``N^2 d_h^2`` gates per head of width d_h on N tokens, each with three synapses and one onwards."""
    channels, height, width = attention.shape
    gates = (height * width) ** 2 * channels * (channels // attention.heads)
    return MappingSize(gates, 3 * gates + gates, STEPS)


def read_marked(name: str, node: nir.NIRNode) -> MarkedAttention | None:
    """The attention that nested graph ``node`` is marked as, or ``None`` where it bears no mark.

    Raises:
        GraphError: its mark cannot be read, or does not fit its shapes.
    """
    mark = node.metadata.get(MARK) if isinstance(node, nir.NIRGraph) else None
    if mark is None:
        return None
    try:
        told = parse_json(mark)
        heads, factor = int(told["heads"]), int(told.get("factor", 1))
        channels, height, width = (int(size) for size in node.output_type["output"])
        arriving = tuple(int(size) for size in node.input_type["input"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise GraphError(f"node {name}: its mark '{MARK}' cannot be read: export the graph again") from None
    phases = factor**2 if factor > 0 else 0
    if heads < 1 or not phases or channels % (phases * heads) or arriving != (3 * channels, height, width):
        raise GraphError(
            f"node {name}: marked as attention of {heads} heads in polyphase layout {factor}, but it maps "
            f"{arriving} to {(channels, height, width)}: export the graph again"
        )
    return MarkedAttention.stored((channels, height, width), heads, factor)
