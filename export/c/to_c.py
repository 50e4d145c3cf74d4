"""Write a checkpoint as C99: ``python -m export.to_c CKPT -o FOLDER``.

The folder gets ``encoder.h``, ``encoder.c`` (static memory, whole numbers, no library) and ``main.c``, which encodes
recordings on a machine that has files.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from export.c.check import PROBES, check, find_compiler
from export.c.render import Source, render
from export.encoder.network import load_network
from spikinghash.errors import GraphError
from spikinghash.files import atomic_path, beside
from spikinghash.progress import working
from spikinghash.resources import CHECKPOINTS, named

KILO = 1024


def require_room(source: Source, flash: int | None, ram: int | None) -> None:
    """Raise a GraphError where tables or memory are larger than a board's, in KiB."""
    for what, needed, room in (("flash", source.table_bytes, flash), ("RAM", source.memory_bytes, ram)):
        if room is not None and needed > room * KILO:
            raise GraphError(
                f"the encoder needs {needed:,} bytes of {what}, the board has {room * KILO:,}: train one with fewer "
                "channels, steps or pixels, or take a larger board"
            )


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint to export.", metavar="CKPT")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder to write to; beside the checkpoint by default.")
    ] = None,
    flash: Annotated[int | None, typer.Option(min=1, help="KiB of flash that the board has.")] = None,
    ram: Annotated[int | None, typer.Option(min=1, help="KiB of RAM that the board has.")] = None,
) -> None:
    """Write a checkpoint as C for a microcontroller, compile and run it on this machine, and compare."""
    folder = out or beside(checkpoint, ".c")
    with working("writing, compiling, running, comparing"):
        network = load_network(named(checkpoint, CHECKPOINTS, ".pt"))
        source = render(network)
        require_room(source, flash, ram)
        check(network, source.files)
    for name, content in source.files.items():
        with atomic_path(folder / name) as path:
            path.write_text(content)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"certificate: {network.certificate}")
    for line in source.sizes:
        console.print(line)
    console.print(f"checked: compiled by {Path(find_compiler()).name}, codes and spike counts of {PROBES} equal")
    console.print(f"wrote {folder}: {', '.join(source.files)}")
