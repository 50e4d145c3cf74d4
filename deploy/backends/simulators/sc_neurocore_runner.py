"""sc-neurocore: NIR graphs through ``sc_neurocore.nir_bridge.from_nir`` and its own NumPy executor.

The executor has no sample axis and puts out flat vectors: samples run one after the other.
"""

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from sc_neurocore.nir_bridge import from_nir

from deploy.backends.simulators.graphs import TIME_STEP, neuron_shapes, output_shape
from deploy.backends.simulators.recording import SimulatorRun


def run(graph: nir.NIRGraph, spikes: NDArray[np.float32], record: tuple[str, ...]) -> SimulatorRun:
    """Run ``graph`` on ``spikes``, float32 (samples, steps, *input shape), and record the nodes in ``record``."""
    network = from_nir(graph, dt=TIME_STEP)
    (output,) = network.output_nodes
    network.output_nodes.extend(record)  # a step returns the values of all nodes in this list
    runs = [_run_sample(network, sample) for sample in spikes]
    shapes = neuron_shapes(graph)
    recorded = {name: _stack(runs, name, shapes[name]) != 0 for name in record}
    return SimulatorRun(_stack(runs, output, output_shape(graph)).astype(np.float32), recorded)


def _run_sample(network: Any, sample: NDArray[np.float32]) -> list[dict[str, NDArray[np.float64]]]:
    (source,) = network.input_nodes
    network.reset()
    return [network.step({source: frame}) for frame in sample]


def _stack(runs: list[list[dict[str, NDArray[np.float64]]]], name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return one node's values as (samples, steps, *shape)."""
    return np.array([[values[name].reshape(shape) for values in steps] for steps in runs])
