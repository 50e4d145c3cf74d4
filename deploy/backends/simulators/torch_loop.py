"""The step loop of the three simulators that import a NIR graph as a ``torch.fx`` module.

Norse, snnTorch and SpikingJelly all build on nirtorch, whose modules take ``(input, state)`` and return
``(output, state)``; ``state=None`` starts from rest.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray

from deploy.backends.simulators.graphs import values_per_step
from deploy.backends.simulators.recording import SimulatorRun

_WORKING_BYTES = 2**30
_BYTES_PER_VALUE = 12  # a float32 output, a membrane potential, and one value in flight

Spikes = dict[str, torch.Tensor]


def batch_size(graph: nir.NIRGraph) -> int:
    """Return how many samples may run side by side within about 1 GiB."""
    return max(1, _WORKING_BYTES // (_BYTES_PER_VALUE * values_per_step(graph)))


def counts_axes_from_front(graph: nir.NIRGraph) -> bool:
    """Say whether a Flatten would swallow a sample axis in torch, since NIR counts the axes of one sample alone."""
    return any(isinstance(node, nir.Flatten) and node.start_dim >= 0 for node in graph.nodes.values())


def run_module(
    module: torch.nn.Module,
    graph: nir.NIRGraph,
    spikes: NDArray[np.float32],
    record: Sequence[str],
    reset: Callable[[], None] = lambda: None,
    *,
    singly: bool = False,
) -> SimulatorRun:
    """Run ``spikes`` (samples, steps, *input shape) through the imported ``graph``.

    Args:
        reset: called before each batch, for simulators that keep state inside their modules.
        singly: one sample at a time, without a sample axis inside the module; else as many as fit side by side.
    """
    parts, size = [], 1 if singly else batch_size(graph)
    for first in range(0, len(spikes), size):
        reset()
        batch = torch.from_numpy(spikes[first : first + size])
        if singly:
            alone = _run(module, batch[0], record, time_axis=0)
            parts.append({name: values[None] for name, values in alone.items()})
        else:
            parts.append(_run(module, batch, record, time_axis=1))
    joined = {name: torch.cat([part[name] for part in parts]).numpy() for name in ("", *record)}
    return SimulatorRun(joined.pop("").astype(np.float32), joined)


def _run(module: torch.nn.Module, spikes: torch.Tensor, record: Sequence[str], time_axis: int) -> Spikes:
    """Run from rest; return the outputs (key "") and the recorded nodes with time along ``time_axis``."""
    series: dict[str, list[torch.Tensor]] = {name: [] for name in ("", *record)}
    state: Any = None
    with torch.no_grad(), _listening(module, record, series):
        for frame in spikes.unbind(time_axis):
            output, state = module(frame, state)
            series[""].append(output)
    return {name: torch.stack(values, dim=time_axis) for name, values in series.items()}


@contextlib.contextmanager
def _listening(module: torch.nn.Module, record: Sequence[str], series: dict[str, list[torch.Tensor]]) -> Iterator[None]:
    """Append what each recorded submodule puts out to ``series`` while the context is open."""

    def keep(name: str, _module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        series[name].append((output[0] if isinstance(output, tuple) else output) != 0)

    hooks = [module.get_submodule(name).register_forward_hook(partial(keep, name)) for name in record]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
