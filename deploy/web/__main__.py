"""Write a page that runs an encoder in the browser: ``python -m deploy.web ENCODER.onnx RECORDINGS --out PAGE``."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.search.files import find_sources
from deploy.web.build import write_page
from spikinghash.cli import run
from spikinghash.progress import working
from spikinghash.resources import CHECKPOINTS, named
from training.data.events import parse_sensor


def main(
    encoder: Annotated[Path, typer.Argument(help="Model written by export.to_onnx.", metavar="ENCODER.onnx")],
    recordings: Annotated[Path, typer.Argument(help="Folder of recordings that the page finds, a folder per class.")],
    modules: Annotated[Path, typer.Option(help="Folder node_modules, where npm put what the page is made of.")] = Path(
        "build/web/node_modules"
    ),
    out: Annotated[Path, typer.Option(help="Page to write.")] = Path("build/web/spikinghash.html"),
    sensor: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT, where files do not tell it.")] = None,
) -> None:
    """Write one page that encodes recordings and shows their neighbours, without a server or a network."""
    encoder = named(encoder, CHECKPOINTS, ".onnx")
    size = None if sensor is None else parse_sensor(sensor)
    sources = list(find_sources(recordings))
    with working("encoding recordings and writing the page"):
        written = write_page(encoder, sources, modules, out, size)
    print(f"wrote {out}: {written / 1e6:.1f} MB, {len(sources)} recordings; open it in a browser")


if __name__ == "__main__":
    run(main)
