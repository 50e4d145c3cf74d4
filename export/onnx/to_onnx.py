"""Write a checkpoint as an ONNX model: ``python -m export.to_onnx CKPT [-o OUT.onnx]``.

The model takes frames, uint8 (batch, T, 2, H, W), and returns ``codes``, packed uint8 (batch, K/8), and
``spike_counts``, int32 (batch, populations), whose names are in the metadata. With a classification head it returns in
place of the codes ``classes``, the spikes of each class, int32 (batch, K), and ``class``, the number of the class that
has most of them, int64 (batch). It needs no operator of ours.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import onnxruntime
import torch
import typer
from rich.console import Console

from export.encoder import integer
from export.encoder.executor import population_names, require_equal_counts
from export.encoder.forms import Numbers
from export.encoder.network import Network, load_network, probe_frames, probes
from export.nir.describe import metadata_of
from export.nir.metadata import EncoderLayer, Metadata
from export.nir.read import KEY
from export.onnx.int8 import store_weights_as_int8
from export.onnx.writer import OnnxWriter
from spikinghash.errors import ComparisonError
from spikinghash.files import atomic_path, beside
from spikinghash.progress import working
from spikinghash.resources import CHECKPOINTS, named
from spikinghash.seal import ONNX

OPSET = 20
IR_VERSION = 10
"""Of the ONNX file format; older runtimes refuse newer ones."""
BATCHES = (1, 3)
"""Batch sizes of the self-check, besides that of ``probe_frames``, as far as they are smaller."""


def batches_checked(network: Network) -> tuple[int, ...]:
    """Batch sizes of the self-check."""
    most = probes(network.config)
    return (most, *(batch for batch in BATCHES if batch < most))


def build_operators(network: Network) -> onnx.ModelProto:
    """The network as an ONNX model with dynamic batch: operators and weights alone."""
    graph = OnnxWriter(network.graph, np.float32 if network.exact_in_float32 else np.float64).write()
    opset = onnx.helper.make_opsetid("", OPSET)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="spikinghash")


def build_onnx(network: Network) -> onnx.ModelProto:
    """``build_operators`` with metadata, checked by onnx.checker with shape inference."""
    model = build_operators(network)
    properties = {KEY: describe_onnx(network).model_dump_json()}
    if network.certificate is not None:
        properties[integer.KEY] = network.integer().to_text()
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    return model


def describe_onnx(network: Network) -> Metadata:
    """Metadata of the ONNX model; its populations are the columns of ``spike_counts``."""
    nodes = network.graph.nodes
    return metadata_of(
        network,
        dialect="onnx",
        dt=0.0,
        latency=0,
        input_layout="batch x time steps x (ON, OFF) x height x width, uint8, 0 or 1",
        populations=tuple(
            EncoderLayer(name=name, kind="map", nodes=(name,), shape=nodes[name].shape)
            for name in population_names(network.graph)
        ),
    )


def export_onnx(network: Network, path: Path, int8: bool = False) -> None:
    """Write ``network`` to ``path``, run it with ONNX Runtime and compare it with ``network``.

    Args:
        int8: store the weights of an integer network as int8.

    Raises:
        ComparisonError: the model computes something else; nothing is left at ``path``.
    """
    model = store_weights_as_int8(build_onnx(network)) if int8 else build_onnx(network)
    with atomic_path(path) as temporary:
        temporary.write_bytes(ONNX.sealed(model.SerializeToString()))
        _check(network, temporary)


def _check(network: Network, path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False  # it would keep what the largest layer took
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    executor = network.executor()
    for seed, batch in enumerate(batches_checked(network)):
        frames = probe_frames(network.config, batch, seed)
        codes, *_, counts = session.run(None, {"frames": frames})
        with torch.no_grad():
            expected, wanted = (each.numpy() for each in executor(torch.from_numpy(frames)))
        require_equal_counts("the ONNX model", executor.populations, counts, wanted)
        if not np.array_equal(codes, expected):
            raise ComparisonError("the ONNX model gives other answers than the network; nothing was written")


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint to export.", metavar="CKPT")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write; beside the checkpoint by default.")
    ] = None,
    numbers: Annotated[Numbers, typer.Option(help="integer (quantised), or float as trained.")] = "integer",
    int8: Annotated[bool, typer.Option("--int8", help="Store weights as int8: same numbers, smaller file.")] = False,
) -> None:
    """Write a checkpoint as an ONNX model, run what was written, and compare."""
    path = out or beside(checkpoint, ".onnx")
    with working("writing, running, comparing"):
        network = load_network(named(checkpoint, CHECKPOINTS, ".pt"), numbers)
        export_onnx(network, path, int8)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"certificate: {network.certificate or 'none: float numbers are not certified'}")
    console.print(
        f"checked: answers and spike counts of batches of {', '.join(map(str, batches_checked(network)))} equal the "
        "network's"
    )
    console.print(f"wrote {path}: {path.stat().st_size / 1e6:.1f} MB, opset {OPSET}")
