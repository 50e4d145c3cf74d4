"""The plain way to run a chain of layers on Lava: one stock process per node, one run per recording.

``python lava_plain.py JOB_DIR``, in Lava's environment. Reads ``graph.nir`` and ``input.npy``, (samples, steps, C, H,
W). Writes ``outputs.npy``, (samples, steps, neurons).
"""

import sys
from pathlib import Path
from typing import Any

import nir
import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF

Shape = tuple[int, ...]


def run_recording(graph: nir.NIRGraph, frames: np.ndarray) -> np.ndarray:
    """Spikes (steps, neurons) of the last layer for frames (steps, C, H, W)."""
    names = chain(graph)
    layers = [graph.nodes[name] for name in names]
    synapses = sum(not isinstance(layer, nir.LIF) for layer in layers)  # each takes one step
    steps = len(frames) + synapses
    padded = np.concatenate([frames, np.zeros((synapses, *frames.shape[1:]))])
    port = Source(data=np.moveaxis(padded, (0, 1), (3, 2))).s_out
    for layer in layers:
        port = connect(port, layer)
    sink = Sink(shape=port.shape, buffer=steps)
    port.connect(sink.a_in)
    sink.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag="floating_pt"))
    spikes = sink.data.get()[:, synapses:]
    sink.stop()
    return spikes.T


def chain(graph: nir.NIRGraph) -> list[str]:
    """Nodes between Input and Output, in their order."""
    following = dict(graph.edges)
    names, name = [], next(name for name, node in graph.nodes.items() if isinstance(node, nir.Input))
    while not isinstance(graph.nodes[name := following[name]], nir.Output):
        names.append(name)
    return [name for name in names if not isinstance(graph.nodes[name], nir.Flatten)]


def connect(port: Any, layer: nir.NIRNode) -> Any:
    """The stock process of ``layer`` behind ``port``; its OutPort. Lava's maps are (H, W, C)."""
    if isinstance(layer, nir.Conv2d):
        weight = layer.weight[:, :, ::-1, ::-1].transpose(0, 2, 3, 1)
        conv = Conv(weight=weight, input_shape=port.shape, stride=layer.stride, padding=layer.padding)
        port.connect(conv.s_in)
        return conv.a_out
    if isinstance(layer, nir.Linear):
        height, width, channels = port.shape
        columns = np.arange(channels * height * width).reshape(channels, height, width).transpose(1, 2, 0).ravel()
        dense = Dense(weights=layer.weight[:, columns])
        port.flatten().connect(dense.s_in)
        return dense.a_out
    decay = float(1e-4 / layer.tau.flat[0])
    lif = LIF(shape=port.shape, du=1, dv=decay, vth=float(layer.v_threshold.flat[0]))
    port.connect(lif.a_in)
    return lif.s_out


def main(job: Path) -> None:
    """Run all recordings of a job."""
    graph = nir.read(job / "graph.nir", type_check=False)
    frames = np.load(job / "input.npy")
    outputs = [run_recording(graph, recording) for recording in frames]
    np.save(job / "outputs.npy", np.stack(outputs))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
