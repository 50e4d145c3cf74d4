"""SpikingJelly: NIR graphs through ``spikingjelly.activation_based.nir_exchange.import_from_nir``.

Its importer moves the axes of a Flatten by one, so the modules always take a sample axis.
"""

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from spikingjelly.activation_based.nir_exchange import import_from_nir

from deploy.backends.simulators.graphs import TIME_STEP
from deploy.backends.simulators.recording import SimulatorRun
from deploy.backends.simulators.torch_loop import run_module


def load(graph: nir.NIRGraph) -> torch.nn.Module:
    """Import a graph as a torch module of SpikingJelly neurons."""
    return import_from_nir(graph, dt=TIME_STEP)


def run(graph: nir.NIRGraph, spikes: NDArray[np.float32], record: tuple[str, ...]) -> SimulatorRun:
    """Run ``graph`` on ``spikes``, float32 (samples, steps, *input shape), and record the nodes in ``record``."""
    return run_module(load(graph), graph, spikes, record)
