"""One attention, mapped in both ways: as a product that a backend forms, and as coincidence gates that any can run."""

from itertools import pairwise

import nir
import numpy as np

from export.encoder.operations.attention import gate_weights
from export.nir.marked_attention import MarkedAttention

DT = 1e-4


def attention_graph(attention: MarkedAttention, marked: bool) -> nir.NIRGraph:
    """Spikes of queries, keys and values, (3 C, H, W), through an attention to one LIF neuron per count.

    Args:
        attention: its shape and heads.
        marked: whether it stays a marked subgraph; else it is written as gates, one chain for all heads.
    """
    channels, height, width = attention.shape
    size = channels * height * width
    lif = nir.LIF(*(np.full(size, value) for value in (2 * DT, 2.0, 0.0, 2.25, 0.0)))
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([3 * channels, height, width]))}
    if marked:
        flat = nir.Flatten({"input": np.array(attention.shape)}, start_dim=0)
        nodes |= {"attention": attention.subgraph(), "flat": flat}
    else:
        into, total = _all_heads(attention)
        flat = nir.Flatten({"input": np.array([3 * channels, height, width])}, start_dim=0)
        gates = nir.Threshold(np.full(len(into), 2.5))
        nodes |= {"flat": flat, "into": nir.Linear(into), "gates": gates, "sum": nir.Linear(total)}
    nodes |= {"lif": lif, "output": nir.Output(np.array([size]))}
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)), type_check=False)


def _all_heads(attention: MarkedAttention) -> tuple[np.ndarray, np.ndarray]:
    """Matrices into and out of the gates of all heads, one head after the other."""
    channels, height, width = attention.shape
    tokens, per_head = height * width, channels // attention.heads
    into, total = (weights[:, :, 0, 0] for weights in gate_weights(per_head, tokens))
    one_per_head = np.eye(attention.heads)
    all_into = np.hstack([np.kron(one_per_head, part) for part in np.split(into, 3, axis=1)])
    return all_into, np.kron(one_per_head, total)
