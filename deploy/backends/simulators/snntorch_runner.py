"""snnTorch: NIR graphs through ``snntorch.import_nir.import_from_nir``.

Its neurons keep their membrane potential between calls, so every batch starts with ``snntorch.utils.reset``.
"""

import contextlib
import functools
import io

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from snntorch import utils
from snntorch.import_nir import import_from_nir

from deploy.backends.simulators.recording import SimulatorRun
from deploy.backends.simulators.torch_loop import counts_axes_from_front, run_module


def load(graph: nir.NIRGraph) -> torch.nn.Module:
    """Import a graph as a torch module of snnTorch neurons; the importer's chatter on standard output is dropped."""
    with contextlib.redirect_stdout(io.StringIO()):
        return import_from_nir(graph)


def run(graph: nir.NIRGraph, spikes: NDArray[np.float32], record: tuple[str, ...]) -> SimulatorRun:
    """Run ``graph`` on ``spikes``, float32 (samples, steps, *input shape), and record the nodes in ``record``."""
    module = load(graph)
    reset = functools.partial(utils.reset, module)
    return run_module(module, graph, spikes, record, reset, singly=counts_axes_from_front(graph))
