"""Shapes that a NIR file may leave open: nodes learn theirs from what arrives."""

import copy
from typing import Any

import nir
import numpy as np

from export.nir.synapse_matrix import LINEAR_NODES, Shape, input_shape

_PARAMETERS = (
    "tau", "tau_mem", "tau_syn", "r", "w_in", "v_leak", "v_threshold", "v_reset", "threshold", "delay", "scale"
)  # fmt: skip
"""Attributes with one value per neuron."""
_MAY_BE_ENDLESS = ("tau", "tau_mem", "tau_syn", "v_threshold", "threshold")
"""Without a leak, and without a spike."""


def settled(node: nir.NIRNode, arriving: Shape) -> nir.NIRNode:
    """The node, with its input shape if it did not know it.

    Parameters of neurons, delays and scales that are one number, or have axes of length 1, hold for all neurons along
    these axes. An Affine or Linear whose weight is one matrix reads the elements of any array in C order.

    Axes of length 1 at the front, batches of one as some tools write them, count for nothing.

    Raises:
        ValueError: the node takes another shape than arrives.
    """
    axes = _axes_read(node)
    if axes and arriving[:-axes] == (1,) * (len(arriving) - axes):
        arriving = arriving[-axes:]
    if isinstance(node, nir.Conv1d | nir.Conv2d) and node.input_shape is None:
        size = arriving[1] if isinstance(node, nir.Conv1d) else arriving[1:]
        node = _changed(node, input_shape=size)
    elif isinstance(node, nir.Flatten) and node.input_type["input"] is None:
        node = nir.Flatten({"input": np.array(arriving)}, int(node.start_dim), int(node.end_dim))
    elif isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        node = _changed(node, input_type={"input": np.array(arriving)})
    elif any(hasattr(node, name) for name in _PARAMETERS):
        node = _broadcast(node, arriving)
    takes = taken_shape(node)
    same = _without_ones(takes) == _without_ones(arriving)
    if not same and not (_reads_any_shape(node) and np.prod(takes) == np.prod(arriving)):
        raise ValueError(f"it takes shape {takes}, but {arriving} arrives")
    return node


def check_values(node: nir.NIRNode) -> None:
    """Refuse parameters of neurons that are no numbers.

    Raises:
        ValueError: with the parameter and its value.
    """
    for name in _PARAMETERS:
        values = np.asarray(getattr(node, name, 0.0), np.float64)
        wrong = np.isnan(values) if name in _MAY_BE_ENDLESS else ~np.isfinite(values)
        if np.any(wrong):
            raise ValueError(f"its {name} is {values[wrong][0]}: use a finite number")


def _axes_read(node: nir.NIRNode) -> int:
    """How many axes a convolution or a pooling reads; 0 where any number will do."""
    if isinstance(node, nir.Conv2d | nir.SumPool2d | nir.AvgPool2d):
        return 3
    return 2 if isinstance(node, nir.Conv1d) else 0


def _without_ones(shape: Shape) -> Shape:
    """The shape without the axes of length 1 at its front."""
    first = next((axis for axis, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]


def taken_shape(node: nir.NIRNode) -> Shape:
    """Shape of what a settled node reads."""
    if isinstance(node, LINEAR_NODES):
        return input_shape(node)
    kind = "output" if isinstance(node, nir.Output) else "input"
    types = node.output_type if kind == "output" else node.input_type
    return tuple(int(size) for size in np.ravel(next(iter(types.values()))))


def _reads_any_shape(node: nir.NIRNode) -> bool:
    """Whether only the number of elements counts."""
    return isinstance(node, nir.Output) or (isinstance(node, nir.Affine | nir.Linear) and node.weight.ndim == 2)


def _broadcast(node: nir.NIRNode, arriving: Shape) -> nir.NIRNode:
    """The node with its parameters repeated along the axes on which they have length 1."""
    parameters = {name: np.asarray(getattr(node, name)) for name in _PARAMETERS if hasattr(node, name)}
    if all(value.shape == arriving for value in parameters.values()):
        return node
    wide = {name: _repeated(value, arriving) for name, value in parameters.items()}
    size = next(iter(wide.values())).shape
    return _changed(node, **wide, input_type={"input": np.array(size)}, output_type={"output": np.array(size)})


def _repeated(value: np.ndarray, arriving: Shape) -> np.ndarray:
    if value.size == 1:
        return np.full(arriving, value.item())
    ones_match = value.ndim == len(arriving) and all(
        own in (1, size) for own, size in zip(value.shape, arriving, strict=True)
    )
    return np.broadcast_to(value, arriving) if ones_match else value


def _changed(node: nir.NIRNode, **attributes: Any) -> nir.NIRNode:
    node = copy.copy(node)
    for name, value in attributes.items():
        setattr(node, name, value)
    return node
