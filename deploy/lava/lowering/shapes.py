"""Shapes that a NIR file may leave open: pools, flattenings and convolutions learn theirs from what arrives."""

import nir
import numpy as np

from deploy.lava.network import Shape
from export.synapse_matrix import input_shape


def settle_input_shape(node: nir.NIRNode, arriving: Shape) -> nir.NIRNode:
    """The node, told its input shape if it did not know it.

    Raises:
        ValueError: the node takes another shape than arrives.
    """
    if isinstance(node, nir.Conv1d | nir.Conv2d) and node.input_shape is None:
        node.input_shape = arriving[1] if isinstance(node, nir.Conv1d) else arriving[1:]
    elif node.input_type["input"] is None:
        node = _with_input_type(node, {"input": np.array(arriving)})
    if input_shape(node) != arriving:
        raise ValueError(f"it takes shape {input_shape(node)}, but {arriving} arrives")
    return node


def _with_input_type(node: nir.NIRNode, input_type: dict[str, np.ndarray]) -> nir.NIRNode:
    if isinstance(node, nir.Flatten):
        return nir.Flatten(input_type, node.start_dim, node.end_dim)
    node.input_type = input_type
    return node
