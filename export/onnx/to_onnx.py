"""Write a checkpoint as an ONNX model: ``python -m export.to_onnx CKPT [-o OUT.onnx]``.

The model takes frames, uint8 (batch, T, 2, H, W), and returns ``codes``, packed uint8 (batch, K/8), and
``spike_counts``, int32 (batch, populations), whose names are in the metadata. With a classification head it returns in
place of the codes ``classes``, the spikes of each class, int32 (batch, K), and ``class``, the number of the class that
has most of them, int64 (batch). It needs no operator of ours.

``--batch N`` and ``--no-counts`` are for runtimes that compile the whole graph: ONNX Runtime itself takes any batch as
fast, and counts nothing that it is not asked for. What ``--for ncnn`` writes takes and returns float32; see ``ncnn``.
"""

import itertools
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
from export.onnx.form import ANY, Form, Runtime
from export.onnx.int8 import store_weights_as_int8
from export.onnx.ncnn import NcnnWriter
from export.onnx.writer import OnnxWriter
from spikinghash.errors import ComparisonError, GraphError
from spikinghash.files import atomic_path, beside
from spikinghash.progress import working
from spikinghash.resources import CHECKPOINTS, named
from spikinghash.seal import ONNX

OPSET = 20
IR_VERSION = 10
"""Of the ONNX file format; older runtimes refuse newer ones."""
BATCHES = (1, 3)
"""Batch sizes of the self-check, besides that of ``probe_frames``, as far as they are smaller."""


def batches_checked(network: Network, form: Form = ANY) -> tuple[int, ...]:
    """Batch sizes of the self-check."""
    most = probes(network.config)
    if form.size is not None:
        return (form.size,) * -(-most // form.size)
    return (most, *(batch for batch in BATCHES if batch < most))


def build_operators(network: Network, form: Form = ANY) -> onnx.ModelProto:
    """The network as an ONNX model: operators and weights alone.

    Raises:
        GraphError: the network cannot have this form.
    """
    if form.for_ncnn:
        graph = NcnnWriter(_exact(network).integer()).write()
    else:
        dtype = np.float32 if network.exact_in_float32 else np.float64
        graph = OnnxWriter(network.graph, dtype, form.batch, form.counts).write()
    opset = onnx.helper.make_opsetid("", OPSET)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="spikinghash")


def _exact(network: Network) -> Network:
    """``network``, if it is exact in the one arithmetic that ncnn has."""
    if not network.exact_in_float32:
        why = network.certificate or "float numbers are not certified"
        raise GraphError(f"--for ncnn: it computes in float32, which is not exact here ({why}): use another runtime")
    return network


def build_onnx(network: Network, form: Form = ANY) -> onnx.ModelProto:
    """``build_operators`` with metadata, checked by onnx.checker with shape inference."""
    model = build_operators(network, form)
    properties = {KEY: describe_onnx(network, form).model_dump_json()}
    if network.certificate is not None:
        properties[integer.KEY] = network.integer().to_text()
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    return store_weights_as_int8(model) if form.int8 else model


def describe_onnx(network: Network, form: Form = ANY) -> Metadata:
    """Metadata of the ONNX model; its populations are the columns of ``spike_counts``."""
    nodes = network.graph.nodes
    numbers = "float32" if form.for_ncnn else "uint8"
    return metadata_of(
        network,
        dialect="ncnn" if form.for_ncnn else "onnx",
        dt=0.0,
        latency=0,
        input_layout=f"{form.size or 'batch'} x time steps x (ON, OFF) x height x width, {numbers}, 0 or 1",
        populations=tuple(
            EncoderLayer(name=name, kind="map", nodes=(name,), shape=nodes[name].shape)
            for name in (population_names(network.graph) if form.counted else ())
        ),
    )


def export_onnx(
    network: Network,
    path: Path,
    int8: bool = False,
    batch: int | None = None,
    counts: bool = True,
    runtime: Runtime = "any",
) -> None:
    """Write ``network`` to ``path``, run it with ONNX Runtime and compare it with ``network``.

    Args:
        int8, batch, counts, runtime: see ``Form``.

    Raises:
        GraphError: the network cannot be written in this form.
        ComparisonError: the model computes something else; nothing is left at ``path``.
    """
    form = Form(int8, batch, counts, runtime)
    model = build_onnx(network, form)
    with atomic_path(path) as temporary:
        temporary.write_bytes(ONNX.sealed(model.SerializeToString()))
        _check(network, temporary, form)


def _check(network: Network, path: Path, form: Form) -> None:
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False  # it would keep what the largest layer took
    options.enable_mem_reuse = False  # planning it takes longer than this run where steps are many, and saves nothing
    options.intra_op_num_threads = 1  # more would spin between operators
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    executor, frames = network.executor(), probe_frames(network.config)[::-1].copy()  # the busiest comes first
    with torch.no_grad():
        expected, wanted = (each.numpy() for each in executor(torch.from_numpy(frames)))
    sizes = batches_checked(network, form)
    for batch, start in zip(sizes, itertools.accumulate(sizes, initial=0), strict=False):
        rows = np.arange(start, start + batch) % len(frames)  # a large fixed batch holds them several times
        taken = frames[rows].astype(np.float32 if form.for_ncnn else np.uint8)
        codes, *others = session.run(None, {"frames": taken})
        if form.counted:
            require_equal_counts("the ONNX model", executor.populations, others[-1], wanted[rows])
        if not np.array_equal(codes, expected[rows]):
            raise ComparisonError("the ONNX model gives other answers than the network; nothing was written")


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint to export.", metavar="CKPT")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write; beside the checkpoint by default.")
    ] = None,
    numbers: Annotated[Numbers, typer.Option(help="integer (quantised), or float as trained.")] = "integer",
    int8: Annotated[bool, typer.Option("--int8", help="Store weights as int8: same numbers, smaller file.")] = False,
    batch: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Recordings that the model takes; any number by default.")
    ] = None,
    counts: Annotated[bool, typer.Option(help="Return the spike counts of all layers, too.")] = True,
    runtime: Annotated[
        Runtime, typer.Option("--for", help="any, or ncnn: operators that it takes, floats, one recording.")
    ] = "any",
) -> None:
    """Write a checkpoint as an ONNX model, run what was written, and compare."""
    form = Form(int8, batch, counts, runtime)
    path = out or beside(checkpoint, ".onnx")
    with working("writing, running, comparing"):
        network = load_network(named(checkpoint, CHECKPOINTS, ".pt"), numbers)
        export_onnx(network, path, int8, batch, counts, runtime)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"certificate: {network.certificate or 'none: float numbers are not certified'}")
    console.print(
        f"checked: answers{' and spike counts' if form.counted else ''} of batches of "
        f"{', '.join(map(str, dict.fromkeys(batches_checked(network, form))))} equal the network's"
    )
    console.print(f"wrote {path}: {path.stat().st_size / 1e6:.1f} MB, opset {OPSET}")
