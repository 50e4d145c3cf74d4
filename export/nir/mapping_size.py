"""What an attention takes on hardware: formed as one product, or spelled out in coincidence gates.

Both ways lead from the spikes of queries, keys and values to what reads the counts, over one synapse per count.
"""

from dataclasses import dataclass

from export.nir.marked_attention import MarkedAttention

STEPS = 2
"""Time steps either way takes: into the product or the gates, and out of them."""


@dataclass(frozen=True)
class MappingSize:
    """What a network takes."""

    neurons: int
    """A product counts with one per value that it emits."""
    synapses: int
    steps: int
    """Time steps of the hardware from the input to the output."""


def as_product(attention: MarkedAttention) -> MappingSize:
    """A product reads each query, key and value once and emits a count per channel and token."""
    channels, height, width = attention.shape
    counts = channels * height * width
    return MappingSize(counts, 3 * counts + counts, STEPS)


def as_gates(attention: MarkedAttention) -> MappingSize:
    """``N^2 d_h^2`` gates per head of width d_h on N tokens, each with three synapses and one onwards."""
    channels, height, width = attention.shape
    gates = (height * width) ** 2 * channels * (channels // attention.heads)
    return MappingSize(gates, 3 * gates + gates, STEPS)
