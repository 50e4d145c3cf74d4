"""Write a checkpoint as a NIR graph: ``python -m export.to_nir CKPT [-o OUT.nir] [--for TOOL]``."""

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from export.encoder.forms import Attentions, Biases, Numbers, Streams
from export.encoder.network import Network, load_network, probe_frames, probes
from export.nir.metadata import Dialect, Metadata
from export.nir.to_nir import GraphSize, export_nir
from spikinghash.errors import ComparisonError, GraphError, SpikinghashError
from spikinghash.files import atomic_path, beside
from spikinghash.progress import working
from spikinghash.resources import CHECKPOINTS, named

PROBES = 2
"""Random recordings on which a tool has to give the network's spikes before its file is written."""

Target = Literal[
    "norse", "snntorch", "spikingjelly", "sc-neurocore", "nest", "lava", "sinabs", "rockpool", "spyx", "nengo"
]


class Form(NamedTuple):
    """What a tool reads."""

    dialect: Dialect
    dense: bool = False


FORMS: dict[Target, Form] = {
    "norse": Form("portable"),
    "snntorch": Form("portable"),
    "spikingjelly": Form("portable"),
    "sc-neurocore": Form("portable", dense=True),
    "nest": Form("native"),
    "lava": Form("native"),
}
UNABLE: dict[Target, str] = {
    "sinabs": "sinabs 3.1.3 wants nir 1.0.4 at most, which refuses v_reset; with a newer one it takes tau as steps and "
    "ignores r, and it refuses cycles",
    "rockpool": "rockpool 3.1.0 reads no Conv2d, and refused all graphs that were tried",
    "spyx": "spyx 1.0.0 reads chains of nodes alone and drops all branches without a word",
    "nengo": "the NIR repository's script for nengo 4.1.0 runs no residual graphs and no LIF with memory alike",
}
"""Tools that cannot run such graphs, and what was seen."""


def write_for(
    target: Target, network: Network, path: Path, streams: Streams, biases: Biases, attention: Attentions
) -> tuple[Metadata, GraphSize]:
    """Write ``network`` as ``target`` reads it, run the file there, and compare every spike of every layer.

    Raises:
        GraphError: the tool cannot run such graphs.
        MissingToolError: it is not there.
        ComparisonError: it gives other spikes; nothing is left at ``path``.
    """
    from deploy.backends.verify import compare, trace_backend  # all backends, which writing alone does without

    if target in UNABLE:
        raise GraphError(f"--for {target}: {UNABLE[target]}: use {', '.join(FORMS)}")
    form, frames = FORMS[target], probe_frames(network.config)[:PROBES]
    codes, spikes = network.executor().layers(frames)
    with atomic_path(path) as temporary:
        written = export_nir(network, temporary, form.dialect, form.dense, streams, biases, attention)
        found = compare(target, codes, spikes, trace_backend(target, temporary, frames))
        if not found.equal:
            what = found.difference or f"{found.differing_bits} bits of the codes"
            raise ComparisonError(f"{target} differs from the network: {what}; nothing was written")
    return written


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint to export.", metavar="CKPT")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write; beside the checkpoint by default.")
    ] = None,
    dialect: Annotated[Dialect | None, typer.Option(help="native (the default), or portable.")] = None,
    numbers: Annotated[Numbers, typer.Option(help="integer (quantised), or float as trained.")] = "integer",
    no_conv: Annotated[
        bool, typer.Option("--no-conv", help="Write convolutions as Affine (small networks, portable).")
    ] = False,
    streams: Annotated[
        Streams, typer.Option(help="Residual streams: copied maps, or shared by graded spikes (native, Loihi 2).")
    ] = "copied",
    biases: Annotated[
        Biases, typer.Option(help="Biases: synapses from the valid line, or in the neurons (native).")
    ] = "line",
    attention: Annotated[
        Attentions, typer.Option(help="Attention: coincidence gates (up to a size), or marked products (native).")
    ] = "gates",
    target: Annotated[
        Target | None,
        typer.Option("--for", help="The tool that will read it: its form, run there before it is written."),
    ] = None,
) -> None:
    """Write a checkpoint as a NIR graph, run what was written, and compare."""
    path = out or beside(checkpoint, ".nir")
    if target is not None and (no_conv or dialect is not None):
        raise SpikinghashError(f"--for {target} chooses the form: leave --dialect and --no-conv out")
    form: Dialect = "portable" if no_conv else dialect or "native"
    with working("lowering, writing, running, comparing"):
        network = load_network(named(checkpoint, CHECKPOINTS, ".pt"), numbers)
        if target is not None:
            written = write_for(target, network, path, streams, biases, attention)
        else:
            written = export_nir(network, path, form, no_conv, streams, biases, attention)
    _tell(network, path, *written)
    if target is not None:
        print(f"run in {target}: every spike of every layer is the network's on {PROBES} random recordings")


def _tell(network: Network, path: Path, metadata: Metadata, size: GraphSize) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table("nodes", "neurons", "synapses", "file", "time steps", "latency")
    table.add_row(
        f"{size.nodes:,}", f"{size.neurons:,}", f"{size.synapses:,}", f"{size.bytes / 1e6:.1f} MB",
        str(metadata.time_steps), str(metadata.latency),
    )  # fmt: skip
    console.print(table)
    console.print(f"certificate: {network.certificate or 'none: float numbers are not certified'}")
    console.print(
        f"checked: every spike of {len(metadata.populations)} layers equals the network's "
        f"on {probes(network.config)} random recordings"
    )
    console.print(f"wrote {path}")
