"""Show what a file holds: ``python -m export.inspect FILE [-o OUT.svg]``.

Any NIR graph: its nodes with their sizes by block of the network, totals, metadata, and a picture. An ONNX model: its
operators and metadata.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from export.encoder.certificate import Certificate
from export.nir.marked_attention import MarkedAttention, as_gates, as_product
from export.nir.metadata import Metadata, parse_metadata, read_metadata
from export.nir.read import KEY, read_graph
from export.nir.structure import Node, Structure, describe_structure
from spikinghash.cli import wide_console
from spikinghash.errors import GraphError, SpikinghashError
from spikinghash.files import beside
from spikinghash.progress import working
from spikinghash.resources import CHECKPOINTS, named
from spikinghash.seal import ONNX
from training.data.binning import crop_text
from training.data.facts import crop_of

if TYPE_CHECKING:
    import onnx

COLUMNS = ("neurons", "synapses", "weights")
NUMBERS = (*COLUMNS, "nodes", "latency", "steps")


def nodes_table(structure: Structure) -> Table:
    """One row per node, a section per group."""
    table = _table("node", "kind", "shape", *COLUMNS, "latency", "layer")
    for nodes in structure.groups().values():
        table.add_section()
        for node in nodes:
            latency = "" if node.latency is None else str(node.latency)
            shape = "x".join(map(str, node.shape))
            table.add_row(node.name, node.kind, shape, *_sums([node]), latency, node.layer)
    return table


def groups_table(structure: Structure) -> Table:
    """One row per group, with sums."""
    table = _table("group", "nodes", "kinds", *COLUMNS, "latency")
    for group, nodes in structure.groups().items():
        kinds = Counter(node.kind for node in nodes)
        latencies = [node.latency for node in nodes if node.latency is not None]
        table.add_row(
            group,
            str(len(nodes)),
            ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())),
            *_sums(nodes),
            str(max(latencies)) if latencies else "",
        )
    table.add_section()
    table.add_row("total", f"{len(structure.nodes):,}", "", *_sums(list(structure.nodes.values())), "")
    return table


def attentions_table(attentions: Mapping[str, MarkedAttention]) -> Table:
    """What marked attentions take in either mapping, from the spikes of queries, keys and values to their counts."""
    table = _table("marked attention", "mapping", "neurons", "synapses", "steps")
    for name, attention in attentions.items():
        table.add_section()
        for mapping, size in (("one product", as_product(attention)), ("coincidence gates", as_gates(attention))):
            table.add_row(name, mapping, f"{size.neurons:,}", f"{size.synapses:,}", str(size.steps))
    return table


def operators_table(model: "onnx.ModelProto") -> Table:
    """Operators of an ONNX model by type, the most frequent first."""
    counts = Counter(f"{node.domain}.{node.op_type}".lstrip(".") for node in model.graph.node)
    table = _table("operator", "nodes")
    for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(kind, f"{count:,}")
    table.add_section()
    table.add_row("total", f"{counts.total():,}")
    return table


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, justify="right" if column in NUMBERS else "left")
    return table


def _sums(nodes: Sequence[Node]) -> list[str]:
    sums = (sum(getattr(node, column) for node in nodes) for column in COLUMNS)
    return [f"{total:,}" if total else "" for total in sums]


def describe_metadata(metadata: Metadata, source: str) -> list[str]:
    """What the metadata say, one statement per line.

    Raises:
        GraphError: the certificate cannot be read; ``source`` is named in the message.
    """
    try:
        certificate = TypeAdapter(Certificate | None).validate_python(metadata.certificate)
        told = str(certificate or "none: float numbers are not certified")
    except ValueError:
        raise GraphError(f"{source}: its certificate cannot be read: export it again") from None
    lines = [
        f"dialect: {metadata.dialect}, {metadata.numbers} numbers, metadata format {metadata.format}",
        _describe_answer(metadata),
        f"input: {metadata.input_layout}; {metadata.size}x{metadata.size} pixels",
        f"crop of the sensor: {_describe_crop(metadata)}",
        f"certificate: {told}",
        f"checkpoint: sha256 {metadata.checkpoint_sha256 or 'unknown'}",
    ]
    if metadata.dialect not in ("onnx", "ncnn"):
        steps = f"{metadata.time_steps} steps and {metadata.latency} of latency"
        lines.insert(1, f"time: {steps}, dt {metadata.dt:g} s; {metadata.spike_rule}")
    return lines


def _describe_crop(metadata: Metadata) -> str:
    return crop_text(crop_of(metadata.data), metadata.data.sensor if metadata.data else None, metadata.size)


def _describe_answer(metadata: Metadata) -> str:
    if metadata.classes:
        return f"classes: {', '.join(metadata.classes)}; the class is that of the neuron that spikes most often"
    return f"code: {metadata.bits} bits, a bit is 1 from {metadata.vote} spikes in {metadata.time_steps} steps"


def inspect_nir(path: Path, out: Path, every_node: bool, console: Console) -> None:
    """Print the NIR graph ``path`` and draw it to ``out``.

    Raises:
        GraphError: the file is broken, or the shape of a node unknown.
    """
    graph = read_graph(path)
    metadata = read_metadata(graph, str(path))
    with working("following shapes and synapses"):
        structure = describe_structure(graph, metadata, str(path))
    console.print(nodes_table(structure) if every_node else groups_table(structure))
    size = path.stat().st_size
    console.print(
        f"{len(structure.nodes):,} nodes, {structure.neurons:,} neurons, {structure.synapses:,} synapses, "
        f"{size / 1e6:.1f} MB"
    )
    for line in describe_metadata(metadata, str(path)) if metadata else ["metadata: none of this project"]:
        console.print(line)
    attentions = {name: node.attention for name, node in structure.nodes.items() if node.attention is not None}
    if attentions:
        console.print(attentions_table(attentions))
    from export.nir.picture import draw  # networkx lays it out

    with working("drawing"):
        draw(structure, path.name, out)
    console.print(f"wrote {out}")


def inspect_onnx(path: Path, console: Console) -> None:
    """Print the ONNX model ``path``.

    Raises:
        GraphError: the file is broken.
    """
    import onnx

    if not path.is_file():
        raise GraphError(f"{path}: no such file")
    try:
        model = onnx.load_model_from_string(ONNX.read(path))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and onnx raise whatever a broken file leads them to
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise GraphError(f"{path}: not a readable ONNX model ({reason}): export it again") from None
    console.print(operators_table(model))
    weights = sum(math.prod(tensor.dims) for tensor in model.graph.initializer)
    opsets = ", ".join(f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import)
    console.print(f"{weights:,} stored weights, opset {opsets}, {path.stat().st_size / 1e6:.1f} MB")
    text = next((entry.value for entry in model.metadata_props if entry.key == KEY), None)
    if text is None:
        console.print("metadata: none of this project")
        return
    for line in describe_metadata(parse_metadata(text, str(path)), str(path)):
        console.print(line)


def main(
    file: Annotated[Path, typer.Argument(help="NIR graph (.nir) or ONNX model (.onnx).", metavar="FILE")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Picture of a NIR graph (SVG); beside the file by default.")
    ] = None,
    nodes: Annotated[bool, typer.Option("--nodes", help="One row for every node instead of every block.")] = False,
) -> None:
    """Show the nodes, sizes and metadata of a NIR or ONNX file, and draw a NIR graph."""
    console, file = wide_console(), named(file, CHECKPOINTS, ".onnx")
    if file.suffix != ".onnx":
        inspect_nir(file, out or beside(file, ".svg"), nodes, console)
        return
    if out or nodes:
        raise SpikinghashError(f"{file}: --out and --nodes are for NIR graphs: leave them out for an ONNX model")
    inspect_onnx(file, console)
