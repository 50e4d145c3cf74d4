"""What a NIR graph does, straight from the equations: one node, one step, one sample at a time."""

from functools import cache
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Array = NDArray[Any]
Edge = tuple[str, str]


def oracle(
    graph: nir.NIRGraph, spikes: Array, dt: float = 1e-4, late: frozenset[Edge] = frozenset()
) -> dict[str, Array]:
    """What every node of a flat graph emits, (samples, steps, *shape); ``late`` edges carry the step before."""
    samples = [_sample(graph, sample.astype(float), dt, late) for sample in spikes]
    return {name: np.array([sample[name] for sample in samples]) for name in graph.nodes}


def _sample(graph: nir.NIRGraph, frames: Array, dt: float, late: frozenset[Edge]) -> dict[str, list[Array]]:
    @cache
    def arriving(name: str, step: int) -> Any:
        parts = [emitted(a, step - ((a, b) in late)) for a, b in graph.edges if b == name]
        return sum(parts[1:], parts[0])

    @cache
    def emitted(name: str, step: int) -> Any:
        if step < 0:
            return 0.0
        node = graph.nodes[name]
        if isinstance(node, nir.Input):
            return frames[step]
        if isinstance(node, nir.Delay):
            return delayed(name, node, step)
        return state(name, step)[2] if has_state(node) else linear(node, np.asarray(arriving(name, step), float))

    @cache
    def state(name: str, step: int) -> tuple[Any, Any, Any]:
        """Synaptic current, membrane potential after the reset, and what is emitted."""
        if step < 0:
            return 0.0, 0.0, 0.0
        current, v, _ = state(name, step - 1)
        return neuron(graph.nodes[name], current, v, arriving(name, step), dt)

    def delayed(name: str, node: nir.Delay, step: int) -> Array:
        lags = np.rint(node.delay / dt).astype(int)
        values = [np.where(lags == lag, arriving(name, step - lag), 0) for lag in range(min(step, lags.max()) + 1)]
        return np.sum(values, axis=0)

    values: dict[str, list[Array]] = {name: [] for name in graph.nodes}
    for step in range(len(frames)):  # from the start on, so that the recursion stays shallow
        for name, steps in values.items():
            steps.append(np.asarray(emitted(name, step), float))
    return values


def has_state(node: Any) -> bool:
    return isinstance(node, nir.LIF | nir.IF | nir.LI | nir.I | nir.CubaLIF | nir.CubaLI | nir.Threshold)


def neuron(node: Any, current: Any, v: Any, i: Any, dt: float) -> tuple[Any, Any, Any]:
    """One Euler step of NIR's equations."""
    if isinstance(node, nir.Threshold):
        return 0, 0, (i > node.threshold) * 1.0
    if isinstance(node, nir.CubaLIF | nir.CubaLI):
        current = current + dt / node.tau_syn * (node.w_in * i - current)
        v = v + dt / node.tau_mem * (node.v_leak - v + node.r * current)
    elif isinstance(node, nir.LIF | nir.LI):
        v = v + dt / node.tau * (node.v_leak - v + node.r * i)
    else:
        v = v + dt * node.r * i
    if isinstance(node, nir.LI | nir.I | nir.CubaLI):
        return current, v, v
    spikes = v > node.v_threshold
    return current, np.where(spikes, node.v_reset, v), spikes * 1.0


def linear(node: Any, x: Array) -> Array:
    """Nodes without state, by numpy and torch."""
    if isinstance(node, nir.Affine | nir.Linear):
        return (node.weight @ x[..., None])[..., 0] + getattr(node, "bias", 0)
    if isinstance(node, nir.Scale):
        return node.scale * x
    if isinstance(node, nir.Flatten):
        start, end = (axis % x.ndim for axis in (node.start_dim, node.end_dim))
        return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])
    if isinstance(node, nir.Output):
        return x
    tensor = torch.from_numpy(np.ascontiguousarray(x))
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        convolve = functional.conv1d if isinstance(node, nir.Conv1d) else functional.conv2d
        weight, bias = torch.from_numpy(node.weight), torch.from_numpy(node.bias)
        return convolve(tensor, weight, bias, node.stride, node.padding, node.dilation, node.groups).numpy()
    kernel, stride, padding = (tuple(map(int, v)) for v in (node.kernel_size, node.stride, node.padding))
    mean = functional.avg_pool2d(tensor, kernel, stride, padding).numpy()
    return mean * np.prod(kernel) if isinstance(node, nir.SumPool2d) else mean
