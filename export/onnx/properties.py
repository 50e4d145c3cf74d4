"""Metadata of an ONNX file, read without the library for ONNX: a Protocol Buffers message is a row of tagged fields.

https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from pathlib import Path

from spikinghash.errors import GraphError
from spikinghash.files import reason
from spikinghash.seal import ONNX

METADATA_KEY = "spikinghash"
"""Under which an encoder's JSON is kept in NIR's graph metadata and ONNX's model metadata."""
_PROPERTIES = 14
"""Number of the field ``metadata_props`` of ``ModelProto``."""
_NAME, _VALUE = 1, 2
"""Those of its entries."""
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


def read_model(path: Path) -> bytes:
    """All of the ONNX file ``path``, which is as it was written if it is sealed.

    Raises:
        GraphError: it cannot be read, or is damaged.
    """
    try:
        return ONNX.read(path)
    except OSError as error:
        raise GraphError(f"{path}: cannot be read: {reason(error)}") from None
    except ValueError as error:
        raise GraphError(f"{path}: {error}: export it again") from None


def read_property(path: Path, name: str) -> str | None:
    """The text called ``name`` in the metadata of the ONNX model ``path``; None if it has none.

    Raises:
        GraphError: the file cannot be read, or is no ONNX model.
    """
    try:
        for field, value in _fields(memoryview(read_model(path))):
            if field == _PROPERTIES:
                entry = {number: bytes(part).decode() for number, part in _fields(value)}
                if entry.get(_NAME) == name:
                    return entry.get(_VALUE)
    except (ValueError, IndexError):
        raise GraphError(f"{path}: not a readable ONNX model (damaged): export it again") from None
    return None


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field; numbers come as no content."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        size, kind = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4, _VARINT: 0}.get(tag & 7), tag & 7
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _BYTES:
            size, at = _varint(message, at)
        if size is None or at + size > len(message) or tag >> 3 == 0:
            raise ValueError("no field")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("no number")
