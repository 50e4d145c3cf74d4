"""Encoders as C on a Cortex-M in an emulator, beside their int8 twins: ``python -m benchmarks.microcontroller``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.microcontroller.board import BOARDS, Board, Image, Measured, build, measure, missing_tools
from benchmarks.microcontroller.page import page
from benchmarks.microcontroller.twin import keyword_files, library, twin_source
from export.c.render import render
from export.encoder.evaluate import held_out
from export.encoder.network import Network, build_network
from spikinghash.cli import run, wide_console
from spikinghash.errors import ComparisonError, MissingToolError
from spikinghash.files import atomic_path, file_sha256, private_folder
from spikinghash.seal import parse_json, sealed_row
from training.checkpoint import load_checkpoint

CHECKPOINTS = (Path("checkpoints/digits.pt"), Path("checkpoints/nmnist.pt"))
RECORDINGS = 20
KINDS = ("encoder", "int8_twin", "int8_twin_maps", "keyword_spotting")
Row = dict[str, Any]


def encoder_row(network: Network, board: Board, frames: NDArray[np.uint8]) -> Row:
    """The encoder on a board.

    Raises:
        ComparisonError: it gives another code than the network.
    """
    with private_folder("snh-board-") as folder:
        image = build(folder, board, render(network).files)
        done = measure(image, board, frames)
    differing = np.flatnonzero((done.codes != network.executor().encode(frames)).any(axis=1))
    if len(differing):
        raise ComparisonError(f"{board.name}: recording {differing[0]} has another code than in the network")
    return _row("encoder", image, done)


def twin_rows(network: Network, board: Board, frames: NDArray[np.uint8], cmsis: Sequence[str]) -> Iterator[Row]:
    """The int8 twin of its sizes on a board, and its linear maps alone."""
    header = render(network).files["encoder.h"]
    kinds = {"int8_twin": False, "int8_twin_maps": True}
    sources = {kind: twin_source(network.config, maps_alone) for kind, maps_alone in kinds.items()}
    return library_rows(
        board, frames, cmsis, {kind: {"encoder.c": c, "encoder.h": header} for kind, c in sources.items()}
    )


def library_rows(
    board: Board, frames: NDArray[np.uint8], cmsis: Sequence[str], programs: dict[str, dict[str, str]]
) -> Iterator[Row]:
    """Programs that use CMSIS-NN, by kind, on a board.

    Args:
        cmsis: what the compiler is told to use it, see ``library``.

    Raises:
        ComparisonError: the library refuses a layer.
    """
    for kind, files in programs.items():
        with private_folder("snh-board-") as folder:
            image = build(folder, board, files, cmsis)
            done = measure(image, board, frames)
        if (done.codes == 0xFF).all():
            raise ComparisonError(f"{board.name}: CMSIS-NN refuses a layer of {kind}")
        yield _row(kind, image, done)


def _row(kind: str, image: Image, done: Measured) -> Row:
    instructions = done.instructions
    return {
        "kind": kind,
        "flash_bytes": image.flash,
        "ram_bytes": image.ram,
        "stack_bytes": done.stack,
        "compile_s": round(image.compile_seconds, 2),
        "recordings": len(instructions),
        "instructions": round(float(instructions.mean())),
        "least": int(instructions.min()),
        "most": int(instructions.max()),
    }


def rows(checkpoint: Path, root: Path | None, libraries: Mapping[str, Sequence[str]]) -> Iterator[Row]:
    """An encoder and its twin on every board, on recordings that it was not trained on."""
    loaded = load_checkpoint(checkpoint)
    dataset, sets = held_out(loaded, root)
    frames = dataset.frames[np.sort(sets.test[:RECORDINGS])]
    network = build_network(loaded.model())
    about = {
        "checkpoint": checkpoint.as_posix(),
        **_digest(checkpoint.as_posix()),
        "dataset": loaded.config.data.name,
    }
    for profile, board in BOARDS.items():
        yield about | {"profile": profile} | encoder_row(network, board, frames)
        if profile in libraries:
            twins = twin_rows(network, board, frames, libraries[profile])
            yield from (about | {"profile": profile} | row for row in twins)


def all_rows(nmnist: Path | None, libraries: Mapping[str, Sequence[str]]) -> Iterator[Row]:
    """Encoders, and what CMSIS-NN runs where it was built."""
    for checkpoint in CHECKPOINTS:
        if checkpoint.stem != "nmnist" or nmnist is not None:
            yield from rows(checkpoint, nmnist if checkpoint.stem == "nmnist" else None, libraries)
    for profile, cmsis in libraries.items():
        keywords = library_rows(
            BOARDS[profile], np.zeros((1, 8), np.uint8), cmsis, {"keyword_spotting": keyword_files()}
        )
        yield from ({"checkpoint_sha256": "", "profile": profile} | row for row in keywords)


def _other_rows(path: Path) -> list[Row]:
    """Rows of networks that are no encoders, of a former run; a twin's work depends on its encoder's sizes alone."""
    kept = parse_json(path.read_bytes()) if path.exists() else []
    return [row | _digest(row.get("checkpoint")) for row in kept if row["kind"] != "encoder"]


def _digest(checkpoint: str | None) -> Row:
    if checkpoint is None:
        return {}
    return {"checkpoint_sha256": file_sha256(Path(checkpoint))}


def _place(row: Row) -> tuple[bool, str, int, int]:
    """By data set, core and kind; what is of no data set is last."""
    return "dataset" not in row, row.get("dataset", ""), list(BOARDS).index(row["profile"]), KINDS.index(row["kind"])


def main(
    nmnist: Annotated[
        Path | None, typer.Option(help="Folder that holds NMNIST/Train; without it digits alone.")
    ] = None,
    cmsis: Annotated[
        Path | None, typer.Option(help="Checkout of CMSIS-NN; without it twins stay as counted before.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Page and figures, without suffix.")] = Path("docs/microcontroller"),
) -> None:
    """Build the committed encoders for microcontrollers, run them in QEMU, compare their codes, count instructions."""
    if why := missing_tools():
        raise MissingToolError(why)
    with private_folder("snh-cmsis-") as folder:
        libraries = (
            {} if cmsis is None else {name: library(folder / name, board, cmsis) for name, board in BOARDS.items()}
        )
        found = list(all_rows(nmnist, libraries))
    if cmsis is None:
        found += _other_rows(out.with_suffix(".json"))
    found.sort(key=_place)
    with atomic_path(out.with_suffix(".json")) as path:
        path.write_text(json.dumps([*map(sealed_row, found)], indent=1) + "\n")
    with atomic_path(out.with_suffix(".md")) as path:
        path.write_text(page(found))
    wide_console().print(page(found))


if __name__ == "__main__":
    run(main)
