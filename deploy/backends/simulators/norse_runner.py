"""Norse: NIR graphs through nirtorch's interpreter and Norse's own node importer.

``norse.torch.from_nir`` goes through nirtorch's older loader, which drops an edge where a node feeds two others. The
newer ``nirtorch.nir_to_torch`` keeps all edges; it needs a map from node types to modules, which is Norse's importer.
"""

import functools

import nir
import nirtorch
import numpy as np
import torch
from norse.torch.utils.import_nir import _import_norse_module
from numpy.typing import NDArray

from deploy.backends.simulators.graphs import TIME_STEP
from deploy.backends.simulators.recording import SimulatorRun
from deploy.backends.simulators.torch_loop import counts_axes_from_front, run_module

_NODE_TYPES = (nir.Affine, nir.Linear, nir.Conv2d, nir.Flatten, nir.SumPool2d, nir.IF, nir.LIF, nir.CubaLIF)


def load(graph: nir.NIRGraph) -> torch.nn.Module:
    """Import a graph as a torch module of Norse cells."""
    convert = functools.partial(_import_norse_module, dt=TIME_STEP)
    return nirtorch.nir_to_torch(graph, dict.fromkeys(_NODE_TYPES, convert))


def run(graph: nir.NIRGraph, spikes: NDArray[np.float32], record: tuple[str, ...]) -> SimulatorRun:
    """Run ``graph`` on ``spikes``, float32 (samples, steps, *input shape), and record the nodes in ``record``."""
    return run_module(load(graph), graph, spikes, record, singly=counts_axes_from_front(graph))
