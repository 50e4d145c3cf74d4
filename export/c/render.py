"""The files of a C program, by the templates beside this module."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.c.packing import BLOCK
from export.c.program import Table
from export.c.writer import CWriter
from export.encoder.network import Network
from export.encoder.operations import Input
from spikinghash.errors import GraphError
from spikinghash.templates import text_templates

SCRATCH = {
    "lists": "uint16_t",
    "pixel": "uint32_t",
    "sums": "int32_t",
    "block": "uint32_t",
    "cell": "uint32_t",
    "products": "uint16_t",
}
"""Types of the arrays that layers work in."""
BYTES = {"uint32_t": 4, "int32_t": 4, "uint16_t": 2, "int8_t": 1, "uint8_t": 1}
FILES = ("encoder.h", "encoder.c", "main.c")
LARGEST_FLASH, LARGEST_MEMORY = 16 * 2**20, 256 * 2**20
"""Bytes of tables and of static memory: more is for no microcontroller, and no file that a compiler reads in time."""
_PER_LINE = 12


@dataclass(frozen=True)
class Source:
    """A C program."""

    files: dict[str, str]
    """Content by name."""
    table_bytes: int
    """Of weights and biases, which lie in flash."""
    memory_bytes: int
    """Static, all that is written to."""
    sizes: tuple[str, ...]
    """The same in words."""


def render(network: Network) -> Source:
    """``network`` as C.

    Raises:
        GraphError: it has float numbers, needs more than 32 bits, or is too large.
    """
    writer = write(network)
    buffers, words = writer.place()
    tables = sum(len(table.values) * BYTES[table.kind] for table in writer.tables)
    memory = 4 * words + sum(_elements(writer, name) * BYTES[SCRATCH[name]] for name in writer.needs)
    _require_small(tables, memory)
    sizes = _sizes(writer, tables, memory)
    answer = "uint16_t classes[ENCODER_CLASSES]" if writer.network.classes else "uint8_t code[ENCODER_CODE_BYTES]"
    out = "spikes of each class" if writer.network.classes else "hash code"
    values = {
        "title": f"Encoder {network.checkpoint_sha256[:16] or 'of no file'}: frames in, {out} out.",
        "sizes": sizes, "network": writer.network, "tables": writer.tables, "records": writer.records,
        "calls": writer.calls, "uses": writer.uses, "buffers": buffers, "memory_words": words, "types": SCRATCH,
        "scratch": sorted(writer.needs.items()), "frame_bytes": frame_bytes(network), "block": BLOCK, "answer": answer,
        "packed_bits": [bits for bits in (4, 8) if f"add_rows_{bits}" in writer.uses],
    }  # fmt: skip
    files = {name: _TEMPLATES.get_template(f"{name}.j2").render(values) for name in FILES}
    return Source(files, tables, memory, sizes)


def _require_small(tables: int, memory: int) -> None:
    for what, size, limit in (("tables", tables, LARGEST_FLASH), ("memory", memory, LARGEST_MEMORY)):
        if size > limit:
            raise GraphError(
                f"as C the encoder has {size:,} bytes of {what}, limit {limit:,}: export it to ONNX or NIR, or train "
                "one with fewer channels, steps or pixels"
            )


def write(network: Network) -> CWriter:
    """The calls and tables of ``network``."""
    integer, nodes = network.integer(), network.graph.nodes
    writer = CWriter(integer)
    writer.frames()
    for layer in (*integer.layers, integer.vote):
        nodes[layer.name].to_c(layer, writer)
    return writer


def frame_bytes(network: Network) -> int:
    """Bytes of a recording, a bit per pixel."""
    _, frames = network.graph.only(Input)
    return -(-network.graph.time_steps * int(np.prod(frames.shape)) // 8)


def _sizes(writer: CWriter, tables: int, memory: int) -> tuple[str, ...]:
    neurons = sum(int(np.prod(layer.shape)) for layer in writer.network.layers if layer.kind == "neurons")
    return (
        f"flash: {tables:,} bytes of weights and biases, and the code",
        f"RAM: {memory:,} bytes static, frames of {writer.network.time_steps} steps and the stack beside it",
        f"work: {writer.steps * neurons:,} updates of {neurons:,} neurons per code, and additions for spikes",
    )


def _elements(writer: CWriter, name: str) -> int:
    return writer.needs[name] * (writer.steps if name == "lists" else 1)


def _numbers(table: Table) -> str:
    form = "0x{:08X}" if table.kind == "uint32_t" else "{}"
    texts = [form.format(int(value)) for value in table.values]
    lines = [", ".join(texts[start : start + _PER_LINE]) for start in range(0, len(texts), _PER_LINE)]
    return ",\n".join(f"    {line}" for line in lines)


_TEMPLATES = text_templates(Path(__file__).parent / "templates")
_TEMPLATES.filters["numbers"] = _numbers
